"""Deribit: sizes and amounts are already in units (US dollars for inverse contracts), not in contracts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from positions.book.entries import Entry
from positions.venues.base import PositionRow, VenueInstrument
from positions.venues.evidence import evidence_of
from positions.venues.generic import unified_facts, unified_rows
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ReportCall
from positions.venues.generic.unified_rows import Row


class Deribit(Generic):
    """Futures and options; one wallet per currency."""

    exchange_id = "deribit"
    proven = True
    capabilities = evidence_of("deribit")
    position_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_positions", scopes=("linear:*", "inverse:*", "option:*")),
    )

    def position_row(self, row: Row, market: VenueInstrument) -> PositionRow:
        """`size` is in units: ccxt passes it on as contracts."""
        return unified_rows.position(row, market, hedged=self.hedged(row), size=Decimal(1))

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """`amount` is in units too."""
        info = row.get("info")
        raw: Row = info if isinstance(info, Mapping) else {}
        return unified_facts.fill(
            row,
            instrument,
            venue=self.config.venue,
            wallet=self.wallet_of(instrument),
            leg=self.leg_of(raw),
            cause=self.cause_of(raw),
            amount_in_units=True,
        )
