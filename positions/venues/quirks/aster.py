"""Aster: Binance's rows under another name; ccxt leaves out positions without an entry price; unproven."""

from __future__ import annotations

from typing import Any

from positions.book.entries import Leg
from positions.venues.base import Corrupt
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ReportCall
from positions.venues.generic.unified_rows import Row
from positions.venues.quirks.binance import LEGS
from positions.venues.transport.conversation import Conversation


class Aster(Generic):
    """Perpetuals, one-way and hedge mode."""

    exchange_id = "aster"

    async def ask(self, call: ReportCall) -> tuple[Any, Conversation]:
        """Read every position row, whatever its entry price."""
        if call.method != "fetch_positions":
            return await super().ask(call)
        return await self.client.reading(self._position_rows)

    async def _position_rows(self) -> list[Any]:
        exchange = self.client.exchange
        answer = await exchange.fapiprivate_get_v3_positionrisk()
        if not isinstance(answer, list):
            raise Corrupt(f"positions: expected a list, got {type(answer).__name__}", payload=repr(answer))
        return [exchange.parse_position_risk(row) for row in answer]

    def leg_of(self, row: Row) -> Leg:
        """positionSide of a fill: BOTH in one-way mode."""
        return LEGS.get(str(row.get("positionSide")), Leg.NET)
