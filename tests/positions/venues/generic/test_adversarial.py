"""Answers that no exchange should give: each ends in a row that is reported, or in a typed error; never in a
crash, a zero or a flat leg. Through the unified reading, on answers of Bybit's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from ccxt.base.precise import Precise

from positions.venues.base import Corrupt, Method, Report, VenueError
from positions.venues.fields import InvalidField, number
from positions.venues.generic.adapter import Generic
from positions.venues.generic.markets import store
from tests.positions.venues.generic.test_adapter import SINCE, bybit_list, bybit_position, execution, venue_of
from tests.positions.venues.replay import Answer, market, opened, put_in

SYMBOL = "ETH/USDT:USDT"
NO_NUMBER = {
    "a word": "two",
    "a word with digits": "0.01eth",
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "yes": True,
    "a list": [],
    "an object": {"value": "2"},
    "an exponent that fills the memory": "1e999999999",
    "an exponent that is none": "1e",
    "more than anybody has": "9" * 40,
    "hexadecimal": "0x10",
}
TWO = {
    "text": "2",
    "with zeros": "2.000",
    "an integer": 2,
    "a float": 2.0,
    "an exponent": "2e0",
    "a negative exponent": "20E-1",
    "negative, with its side": "-2",
}


def named(values: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("value", values.values(), ids=values.keys())


async def report_of(*rows: Any, adapter: Any = None) -> Report:
    venue = venue_of("bybit", *([adapter] if adapter else []))
    put_in(venue.client, lambda *_: bybit_list(*rows))
    report: Report = await venue.answered(venue.position_calls[:1])
    return report


def other(**more: Any) -> dict[str, Any]:
    return bybit_position("BTCUSDT", **more)


@pytest.fixture(params=[None, Generic], ids=["with its quirks", "as any exchange"])
def read(request: Any) -> Callable[..., Any]:
    """The report of some rows."""
    return lambda *rows: report_of(*rows, adapter=request.param)


class TestAPosition:
    @named(NO_NUMBER)
    async def test_of_a_size_that_is_no_number_is_unreadable(self, read: Any, value: Any) -> None:
        report = await read(bybit_position(size=value), other())
        assert SYMBOL not in {row.venue_symbol for row in report.positions}
        assert "BTC/USDT:USDT" in {row.venue_symbol for row in report.positions}
        assert not report.complete
        assert not report.observed(SYMBOL, scope="linear:USDT"), "not flat: unknown"

    @named(TWO)
    async def test_of_a_size_written_otherwise_is_that_size(self, read: Any, value: Any) -> None:
        report = await read(bybit_position(size=value))
        assert [row.quantity for row in report.positions] == [Decimal(2)]

    @named({"missing": None, "empty": "", "unheard of": "Sideways", "a number": 7})
    async def test_of_no_side_is_unreadable(self, read: Any, value: Any) -> None:
        report = await read(bybit_position(side=value))
        assert report.positions == ()
        assert not report.observed(SYMBOL, scope="linear:USDT")

    async def test_of_size_zero_with_a_notional_is_not_flat(self, read: Any) -> None:
        report = await read(bybit_position(size="0"))
        assert not report.observed(SYMBOL, scope="linear:USDT")

    @named({"missing": None, "empty": "", "a list": ["ETHUSDT"]})
    async def test_of_no_symbol_makes_every_leg_unknown(self, read: Any, value: Any) -> None:
        report = await read(bybit_position(symbol=value), other())
        assert not report.complete
        assert not report.observed(SYMBOL, scope="linear:USDT")

    async def test_of_a_market_that_is_not_listed_is_named(self, read: Any) -> None:
        report = await read(bybit_position("NEWUSDT"), other())
        assert len(report.unknown_symbols) == 1
        assert not report.complete

    @named({"null": None, "a number": 7, "a word": "row", "a list": []})
    async def test_that_is_no_object_is_reported(self, read: Any, value: Any) -> None:
        try:
            report = await read(value, other())
        except VenueError:
            return
        assert not report.complete
        assert not report.observed(SYMBOL, scope="linear:USDT")

    @named({key: NO_NUMBER[key] for key in ("a word", "NaN", "an object", "more than anybody has")})
    @pytest.mark.parametrize("field", ["avgPrice", "markPrice", "liqPrice", "unrealisedPnl", "leverage"])
    async def test_of_a_price_that_is_no_number_shows_none(self, read: Any, field: str, value: Any) -> None:
        report = await read(bybit_position(**{field: value}))
        shown = [
            getattr(row, name)
            for row in report.positions
            for name in ("entry_price", "mark_price", "liquidation_price", "unrealized_pnl", "leverage")
        ]
        assert all(one is None or one.is_finite() for one in shown)
        assert len(report.positions) + len(report.unreadable) == 1

    @named({"long": ("Buy", "2"), "short": ("Sell", "-2"), "short, written negative": ("Sell", "-2")})
    async def test_has_the_sign_of_its_side(self, read: Any, value: Any) -> None:
        side, units = value
        report = await read(bybit_position(side=side, size=units))
        assert [row.quantity for row in report.positions] == [Decimal(units)]

    async def test_of_two_sides_that_does_not_say_hedged_is_two_legs(self, read: Any) -> None:
        rows = [bybit_position(positionIdx=None), bybit_position(positionIdx=None, side="Sell", size="1")]
        report = await read(*rows)
        assert {(row.leg.value, row.quantity) for row in report.positions} == {("long", 2), ("short", -1)}

    async def test_whose_size_ccxt_made_of_the_notional_is_unreadable(self, read: Any) -> None:
        report = await read({key: value for key, value in bybit_position().items() if key != "size"})
        assert report.positions == ()
        assert not report.observed(SYMBOL, scope="linear:USDT")


class TestAMarket:
    """Of a position that is read well: what is missing in the list of markets."""

    async def read(self, **missing: Any) -> Report:
        store.forget()
        listed = market(["ETHUSDT", SYMBOL, 1]) | missing
        venue = opened(Generic, "bybit", [listed], {})
        put_in(venue.client, lambda *_: bybit_list(bybit_position()))
        report: Report = await venue.answered(venue.position_calls[:1])
        return report

    @named({"missing": None, "zero": 0, "negative": -1, "a word": "one"})
    async def test_without_a_contract_size_counts_nothing(self, value: Any) -> None:
        report = await self.read(contractSize=value)
        assert report.positions == ()
        assert not report.complete
        assert not report.observed(SYMBOL, scope="linear:USDT")

    async def test_without_a_settle_currency_settles_in_its_quote(self) -> None:
        report = await self.read(settle=None)
        assert [(row.quantity, row.currency) for row in report.positions] == [(2, "USDT")]


class TestABalance:
    """One asset that cannot be read: nothing is concluded of the wallet, which would look complete."""

    async def read(self, **fields: Any) -> Report:
        venue = venue_of("binance")
        rows = [
            {"asset": "BTC", "free": "1", "locked": "0"},
            {"asset": "ADA", "free": "2", "locked": "0"} | fields,
        ]
        put_in(venue.client, lambda *_: Answer({"balances": rows}))
        report: Report = await venue.answered(venue.balance_calls)
        return report

    @named({name: value for name, value in NO_NUMBER.items() if value not in (True, [])})
    async def test_that_is_no_number_is_never_a_zero(self, value: Any) -> None:
        try:
            report = await self.read(free=value)
        except Corrupt:
            return
        assert not report.balances_complete
        assert [row.asset for row in report.balances if row.total is not None] == ["BTC"]

    @named({"yes": True, "a list": [], "missing": None, "empty": ""})
    async def test_that_is_not_said_is_unknown(self, value: Any) -> None:
        try:
            report = await self.read(free=value)
        except Corrupt:
            return
        ada = [row.total for row in report.balances if row.asset == "ADA"]
        assert ada in ([], [None])
        assert not report.balances_complete

    @named(TWO | {"negative, with its side": 2})
    async def test_written_otherwise_is_that_much(self, value: Any) -> None:
        report = await self.read(free=value)
        assert {row.asset: row.total for row in report.balances} == {"BTC": Decimal(1), "ADA": Decimal(2)}


DAMAGED = [
    pytest.param(field, value, id=f"{field} is {name}")
    for field in ("execPrice", "execQty", "execFee", "execTime", "side", "symbol", "execId", "orderId")
    for name, value in (NO_NUMBER | {"missing": None, "empty": ""}).items()
]


class TestAFill:
    @pytest.mark.parametrize(("field", "value"), DAMAGED)
    async def test_that_is_damaged_is_reported_and_takes_no_other_along(self, field: str, value: Any) -> None:
        venue = venue_of("bybit")
        rows = [execution(1, positionIdx=0), execution(2, positionIdx=0, **{field: value})]
        put_in(venue.client, lambda *_: bybit_list(*rows))
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        fills = [entry for entry in batch.entries if entry.quantity is not None]
        assert any(entry.venue_ref.endswith("e1:o1") for entry in fills)
        assert all(entry.quantity == 1 and entry.price in (None, 1000) for entry in fills)
        assert len(fills) == 2 or batch.unreadable


class TestANumber:
    @named({name: value for name, value in NO_NUMBER.items() if name != "more than anybody has"})
    def test_that_is_none_says_so(self, value: Any) -> None:
        with pytest.raises(InvalidField):
            number(value)

    @named({"that the book cannot hold": "1e20", "below what anybody counts in": "1e-61"})
    def test_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidField, match="of that size"):
            number(value)

    @named({"the largest": "99999999999999999999", "a billionth of a billionth": "1e-18", "zero": "0e99999"})
    def test_is_taken(self, value: Any) -> None:
        assert number(value) == Decimal(value)

    async def test_whose_exponent_fills_the_memory_is_refused_in_ccxt_too(self) -> None:
        exchange = venue_of("binanceusdm").client.exchange
        for read in (exchange.number_to_string, exchange.parse_to_int, Precise):
            with pytest.raises(ValueError, match="no number of a venue"):
                read("1e999999999")
        assert str(Precise("1.5e-8")) == exchange.number_to_string("1.5e-8") == "0.000000015"
