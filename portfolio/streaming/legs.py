"""Whether the quantities that a stream states are those of the book. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from positions.venues.base import Report

Legs = dict[tuple[str, str], Decimal]
"""Signed quantity by (venue symbol, leg); what is flat is left out."""
Book = Mapping[tuple[str, str], tuple[Decimal, str]]
"""Signed quantity and scope by (venue symbol, leg), of what is open."""


def quantities(report: Report) -> Legs:
    """Return what the report states of each leg."""
    return {(row.venue_symbol, row.leg.value): row.quantity for row in report.positions if row.quantity}


def differs(report: Report, book: Book) -> bool:
    """Whether a leg that this report proves has another quantity in the book."""
    stated = quantities(report)
    if any(book.get(key, (Decimal(0), ""))[0] != quantity for key, quantity in stated.items()):
        return True
    return any(key not in stated and report.observed(key[0], scope=scope) for key, (_, scope) in book.items())


class Comparison:
    """Which streamed reports are still to be compared with the book: those whose quantities changed, once
    they have stood still, so that the fill behind the change has had its time to arrive.
    """

    def __init__(self) -> None:
        self._pending: dict[tuple[str, ...], tuple[Report, float]] = {}
        self._seen: dict[tuple[str, ...], Legs] = {}

    def saw(self, report: Report, *, at: float) -> None:
        """A report came at a (monotonic) time."""
        scopes = tuple(scope.name for scope in report.scopes)
        legs = quantities(report)
        if self._seen.get(scopes) != legs:
            self._seen[scopes] = legs
            self._pending[scopes] = report, at

    def due(self, *, at: float, after: float) -> list[Report]:
        """Return, once, each report whose quantities have not changed for `after` seconds."""
        ready = [scopes for scopes, (_, since) in self._pending.items() if at - since >= after]
        return [self._pending.pop(scopes)[0] for scopes in ready]
