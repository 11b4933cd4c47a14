"""Both sides of each leg that a report observed: the row's, and the book's as of the report's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from positions.models import Instrument
from positions.venues.base import PositionRow
from reconciliation.cases.case_report import CaseReport
from reconciliation.rules.compare import LegKey, LegResult, LegState
from reconciliation.runs.verdict_store import Key

_FLAT = LegState(Decimal(0))


def stated(rows: Iterable[PositionRow]) -> dict[LegKey, LegState]:
    """Return the legs that a report states."""
    return {LegKey(row.venue_symbol, row.leg.value): _leg_state(row) for row in rows}


def _leg_state(row: PositionRow) -> LegState:
    return LegState(
        row.quantity,
        row.entry_price,
        leverage=row.leverage,
        margin=row.isolated_margin if row.isolated_margin is not None else row.initial_margin,
        liquidation_price=row.liquidation_price,
        realized=row.realized_pnl,
        unrealized=row.unrealized_pnl,
    )


def case_reports(
    *,
    as_of: datetime,
    legs: Iterable[LegResult],
    book: Mapping[LegKey, LegState],
    venue: Mapping[LegKey, LegState],
    instruments: Mapping[str, Instrument],
) -> dict[Key, CaseReport]:
    """Return what cases of legs keep of one report, by subject; a side without the leg is flat."""
    found: dict[Key, CaseReport] = {}
    for one in legs:
        instrument = instruments.get(one.key.venue_symbol)
        if one.observed and instrument is not None:
            ours, theirs = book.get(one.key, _FLAT), venue.get(one.key, _FLAT)
            found[instrument.pk, one.key.leg, "", ""] = CaseReport(
                as_of, ours.quantity, ours.entry_price, theirs.quantity, theirs.entry_price
            )
    return found
