"""Phemex: integers that count in a scale of their market, which ccxt hands on as they are; unproven.

Fields that end in Ep, Ev, Er count in 10^-scale; those in Rp, Rv, Rq are real numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Entry
from positions.venues.base import Method, PositionRow, VenueInstrument
from positions.venues.fields import InvalidField, number
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall
from positions.venues.generic.unified_rows import Row

_SCALED = ("Ep", "Ev", "Er")
_NUMBERS = ("price", "amount", "cost", "entryPrice", "markPrice", "liquidationPrice", "collateral")


class Phemex(Generic):
    """Spot and perpetuals, symbol by symbol (options.symbols); of its wallets ccxt reads one of several."""

    exchange_id = "phemex"
    doubts: ClassVar[Mapping[Method, str]] = {
        Method.BALANCES: "one of several wallets, in a scale that is guessed where it is not listed",
    }
    fills: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_my_trades", per_symbol=True),)
    funding: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_funding_history", per_symbol=True),)

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """A trade whose numbers were scaled. Raises InvalidField for one whose were not."""
        refuse_unscaled(row)
        return super().fills_of(row, instrument)

    def funding_of(self, row: Row, instrument: VenueInstrument) -> Entry:
        """Raise InvalidField: whether a positive amount was paid or received is not proven."""
        raise InvalidField("whether this funding was paid or received is not proven")

    def funding_symbol(self, row: Row) -> Any:
        """The unified symbol; ccxt leaves the venue's own."""
        return self.client.exchange.safe_symbol(row.get("symbol"), None, None, "contract")

    def position_row(self, row: Row, market: VenueInstrument) -> PositionRow:
        """A position that states its size; ccxt falls back to what was closed. Raises InvalidField."""
        refuse_unscaled(row)
        info = row.get("info")
        if isinstance(info, Mapping) and info.get("size") is None and info.get("sizeRq") is None:
            raise InvalidField("size is missing")
        return super().position_row(row, market)


def refuse_unscaled(row: Row) -> None:
    """Raise InvalidField where a number is the very integer of a scaled field."""
    info = row.get("info")
    if not isinstance(info, Mapping):
        return
    integers = {
        Decimal(str(value))
        for name, value in info.items()
        if str(name).endswith(_SCALED) and str(value).lstrip("-").isdigit() and Decimal(str(value))
    }
    fee = row.get("fee")
    values = [(name, row.get(name)) for name in _NUMBERS]
    values.append(("fee", fee.get("cost") if isinstance(fee, Mapping) else None))
    for name, value in values:
        if number(value, name) in integers:
            raise InvalidField(f"{name} is {value}, an integer whose scale is not known")
