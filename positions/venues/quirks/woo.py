"""WOO: funding is paid in what the contract settles in; ccxt says USD; unproven."""

from __future__ import annotations

from positions.book.entries import Entry
from positions.venues.base import VenueInstrument
from positions.venues.generic.adapter import Generic
from positions.venues.generic.unified_rows import Row


class Woo(Generic):
    """Spot and perpetuals."""

    exchange_id = "woo"

    def funding_of(self, row: Row, instrument: VenueInstrument) -> Entry:
        """A funding payment in settle currency."""
        return super().funding_of({**row, "code": instrument.contract.settle}, instrument)
