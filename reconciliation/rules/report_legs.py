"""The legs that a venue's report states, and where the open legs of the book differ from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from positions.venues.base import Report
from reconciliation.rules.compare import Difference, DifferenceKind, Tolerance, differences

EXACT = Tolerance(quantity_step=None, price_tick=None)


class OpenLeg(NamedTuple):
    """An open leg of the book: signed quantity in units, average entry price (None: unknown).

    `scope` names the part of a report that covers it, `tolerance` what it may differ by.
    """

    quantity: Decimal
    entry_price: Decimal | None = None
    scope: str = ""
    tolerance: Tolerance = EXACT


LegId = tuple[str, str]
"""Venue symbol, and net, long or short: equal to the LegKey of the two, and made much faster."""


def stated_quantities(report: Report) -> dict[LegId, Decimal]:
    """Return the signed quantity of each leg that a report states as open."""
    return {(row.venue_symbol, row.leg.value): row.quantity for row in report.positions if row.quantity}


def unexplained_legs(report: Report, book: Mapping[LegId, OpenLeg]) -> dict[LegId, Difference]:
    """Return the first difference of each leg for which a fact may be missing.

    Any difference in size is one, as fills come in whole steps; of entry prices only a drift is. A row of
    the report counts even where the report is not complete; a leg without a row is flat only where the
    report proves it.
    """
    found: dict[LegId, Difference] = {}
    stated = {(row.venue_symbol, row.leg.value): row for row in report.positions}
    for key, row in stated.items():
        leg = book.get(key)
        shown = differences(leg, row, leg.tolerance if leg else EXACT)
        if shown and (shown[0].drift or shown[0].kind is not DifferenceKind.ENTRY_PRICE):
            found[key] = shown[0]
    for key, leg in book.items():
        if key not in stated and report.observed(key[0], scope=leg.scope):
            found.update((key, one) for one in differences(leg, None, leg.tolerance))
    return found
