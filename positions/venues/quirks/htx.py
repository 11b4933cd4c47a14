"""HTX: fills of linear contracts (v5) state a paid fee as positive, and ccxt turns it round; unproven."""

from __future__ import annotations

from collections.abc import Mapping

from positions.book.entries import Entry, Leg
from positions.venues.base import VenueInstrument
from positions.venues.fields import InvalidField, required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.unified_rows import Row

_LEGS = {"long": Leg.LONG, "short": Leg.SHORT}


class Htx(Generic):
    """Spot and contracts, one-way and hedge mode."""

    exchange_id = "htx"

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """Rows of v5 are told by `fee_currency` (older ones have `fee_asset`)."""
        info = row.get("info")
        if isinstance(info, Mapping) and "fee_currency" in info and "trade_fee" in info:
            fee = {"cost": required(info, "trade_fee"), "currency": info["fee_currency"]}
            row = {**row, "fee": fee, "fees": [fee]}
        return super().fills_of(row, instrument)

    def leg_of(self, row: Row) -> Leg:
        """position_side (v5: long, short, both). Raises InvalidField for older rows, which say open or close
        in both modes.
        """
        if "position_side" not in row and row.get("offset") in ("open", "close"):
            raise InvalidField("the row does not say whether its contract is held in two legs")
        return _LEGS.get(str(row.get("position_side")), Leg.NET)

    def hedged(self, row: Row) -> bool | None:
        """position_side of a position (v5); older rows say it by position_mode."""
        info = row.get("info")
        raw: Row = info if isinstance(info, Mapping) else {}
        if "position_side" in raw:
            return str(raw["position_side"]) in _LEGS
        mode = raw.get("position_mode")
        return None if mode is None else mode == "dual_side"
