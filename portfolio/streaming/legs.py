"""Whether the quantities that a stream states are those of the book. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from positions.venues.base import Report

ZERO = Decimal(0)
Key = tuple[str, str]
Legs = dict[Key, Decimal]
"""Signed quantity by (venue symbol, leg); what is flat is left out."""
Book = Mapping[Key, tuple[Decimal, str]]
"""Signed quantity and scope by (venue symbol, leg), of what is open."""
Differences = dict[Key, tuple[Decimal, Decimal]]
"""(stated, booked) quantity by leg."""


def quantities(report: Report) -> Legs:
    """Return what the report states of each leg."""
    return {(row.venue_symbol, row.leg.value): row.quantity for row in report.positions if row.quantity}


def differing(report: Report, book: Book) -> Differences:
    """Return the legs that this report proves to have another quantity than the book says."""
    stated = quantities(report)
    found = {key: (quantity, book.get(key, (ZERO, ""))[0]) for key, quantity in stated.items()}
    for key, (quantity, scope) in book.items():
        if key not in stated and report.observed(key[0], scope=scope):
            found[key] = ZERO, quantity
    return {key: pair for key, pair in found.items() if pair[0] != pair[1]}


class Comparison:
    """Which streamed reports are to be compared with the book: those whose quantities changed, once they have
    stood still. A difference counts when a later report shows the very same: until then a fill may be on its
    way, or the report older than the book.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[str, ...], Report] = {}
        self._seen: dict[tuple[str, ...], Legs] = {}
        self._pending: dict[tuple[str, ...], float] = {}
        self._suspected: dict[tuple[str, ...], Differences] = {}

    def saw(self, report: Report, *, at: float) -> None:
        """A report came at a (monotonic) time."""
        scopes = _scopes(report)
        legs = quantities(report)
        self._latest[scopes] = report
        if self._seen.get(scopes) != legs:
            self._seen[scopes] = legs
            self._pending[scopes] = at

    def due(self, *, at: float, after: float) -> list[Report]:
        """Return, once, the newest report of each part that is to be compared now."""
        ready = [scopes for scopes, since in self._pending.items() if at - since >= after]
        for scopes in ready:
            del self._pending[scopes]
        return [self._latest[scopes] for scopes in ready]

    def judge(self, report: Report, book: Book, *, at: float) -> Differences:
        """Compare; return the differences that an earlier comparison showed just so."""
        scopes = _scopes(report)
        found = differing(report, book)
        before = self._suspected.pop(scopes, {})
        if found and found != before:
            self._suspected[scopes] = found
            self._pending[scopes] = at
            return {}
        return found


def _scopes(report: Report) -> tuple[str, ...]:
    return tuple(scope.name for scope in report.scopes)
