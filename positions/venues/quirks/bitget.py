"""Bitget (v2): fills of hedge mode name the leg's side, not their own; unproven.

ccxt takes `side` as it stands: closing a long is "buy" there. Fees of the unified account (v3) are positive
when paid, ccxt takes them as rebates; its fills do not say which leg they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Leg
from positions.venues.base import VenueInstrument
from positions.venues.fields import InvalidField
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall
from positions.venues.generic.unified_rows import Row

_LEGS = {"buy": Leg.LONG, "sell": Leg.SHORT}
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}
_CAUSES = {"burst": Cause.LIQUIDATION, "delivery": Cause.SETTLEMENT, "dte": Cause.ADL}


class Bitget(Generic):
    """Fills symbol by symbol (options.symbols): spot, and futures in one-way and hedge mode."""

    exchange_id = "bitget"
    fills: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_my_trades", per_symbol=True),)

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """Put the side and the fee right. Raises InvalidField where the row does not say enough."""
        info = row.get("info")
        raw: Row = info if isinstance(info, Mapping) else {}
        if "category" in raw:
            raise InvalidField("a fill of the unified account does not say which leg it changes")
        if any(_is_deducted(fee) for fee in _fees(raw)):
            row = {**row, "fee": None, "fees": []}  # paid in another coin, by an amount that ccxt misreads
        action = str(raw.get("tradeSide") or "")
        if action and instrument.scope != "spot" and self.leg_of(raw) is not Leg.NET:
            closes = "close" in action
            side = str(row.get("side"))
            row = {**row, "side": _OTHER_SIDE.get(side) if closes else side}
        return super().fills_of(row, instrument)

    def leg_of(self, row: Row) -> Leg:
        """In hedge mode `side` is the side of the leg; what was forced names the leg itself."""
        action = str(row.get("tradeSide") or "")
        if row.get("posMode") != "hedge_mode" and action not in ("open", "close"):
            return Leg.NET
        for name, leg in (("_long", Leg.LONG), ("_short", Leg.SHORT)):
            if action.endswith(name) and _LEGS.get(str(row.get("side"))) is not leg:
                raise InvalidField(f"side {row.get('side')!r} contradicts {action!r}")
        leg_named = _LEGS.get(str(row.get("side")))
        if leg_named is None:
            raise InvalidField(f"side is {row.get('side')!r}, neither buy nor sell")
        return leg_named

    def cause_of(self, row: Row) -> Cause:
        """The first word of tradeSide says what was forced."""
        return _CAUSES.get(str(row.get("tradeSide") or "").partition("_")[0], Cause.TRADE)


def _fees(raw: Row) -> list[Any]:
    found = raw.get("feeDetail")
    return found if isinstance(found, list) else [found]


def _is_deducted(fee: Any) -> bool:
    return isinstance(fee, Mapping) and fee.get("deduction") == "yes"
