"""A number with more than the book's 18 decimals is rounded in the adapter and makes no row unreadable."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from positions.book.entries import Kind
from positions.book.money import CONTEXT
from positions.venues.base import Method
from positions.venues.fields import booked, number
from positions.venues.generic import unified_facts, unified_rows
from positions.venues.hyperliquid import rows as hyperliquid_rows
from tests.positions.venues.generic.test_adapter import SINCE, bybit_list, bybit_position, execution, venue_of
from tests.positions.venues.reading import catalog_for
from tests.positions.venues.replay import market, put_in

LONG = "0.1234567890123456785"
PAIR = unified_rows.instrument(market(["BTCUSDT", "BTC/USDT", None]) | {"precision": {"amount": "0.00001"}})
TRADE = {
    "id": "1",
    "side": "buy",
    "amount": "1",
    "price": "100",
    "timestamp": 1700000000000,
    "symbol": "BTC/USDT",
}


class TestANumberOfAVenue:
    @pytest.mark.parametrize(
        ("text", "kept"),
        {
            "0.1234567890123456785": "0.123456789012345678",
            "0.1234567890123456775": "0.123456789012345678",
            "-0.1234567890123456789": "-0.123456789012345679",
            "1e-18": "1e-18",
            "4e-19": "0",
            "99999999999999999999.123456789012345678": "99999999999999999999.123456789012345678",
            "0.500000000000000000000000": "0.5",
        }.items(),
    )
    def test_is_rounded_half_even_to_18_decimals(self, text: str, kept: str) -> None:
        assert number(text) == Decimal(kept)

    @pytest.mark.parametrize("text", ["0.30000000000000004441", "0.29999999999999998890"])
    def test_becomes_the_multiple_of_the_venues_step_that_it_is_meant_to_be(self, text: str) -> None:
        assert number(text, step=Decimal("0.001")) == Decimal("0.3")

    def test_between_two_steps_is_not_moved_to_one(self) -> None:
        assert number(LONG, step=Decimal("0.001")) == Decimal("0.123456789012345678")

    def test_of_at_most_18_decimals_is_exact_whatever_the_step(self) -> None:
        assert number("0.300000000000000044", step=Decimal("0.001")) == Decimal("0.300000000000000044")

    @given(st.decimals(min_value=-(10**19), max_value=10**19, places=30))
    def test_is_off_by_at_most_half_of_the_last_decimal(self, value: Decimal) -> None:
        kept = booked(value)
        assert int(kept.as_tuple().exponent) >= -18
        assert CONTEXT.abs(CONTEXT.subtract(kept, value)) <= Decimal("5e-19")


class TestARowWithMoreThan18Decimals:
    @pytest.mark.parametrize("field", ["execQty", "execPrice", "execFee"])
    async def test_of_fills_is_read(self, field: str) -> None:
        venue = venue_of("bybit")
        put_in(venue.client, lambda *_: bybit_list(execution(1, positionIdx=0, **{field: LONG})))
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert batch.unreadable == ()
        assert Decimal("0.123456789012345678") in {
            value for one in batch.entries for value in (one.quantity, one.price, one.fee)
        }

    async def test_of_positions_is_read_with_the_same_digits_as_its_fill(self) -> None:
        venue = venue_of("bybit")
        put_in(venue.client, lambda *_: bybit_list(bybit_position(size=LONG, positionValue="")))
        report = await venue.answered(venue.position_calls[:1])
        assert [row.quantity for row in report.positions] == [Decimal("0.123456789012345678")]

    def test_of_hyperliquid_is_read(self) -> None:
        perpetual = catalog_for([{"coin": "ETH"}]).get("ETH")
        assert perpetual is not None
        row: dict[str, Any] = {
            "coin": "ETH",
            "side": "B",
            "sz": "0.30000000000000004441",
            "px": LONG,
            "oid": 1,
        }
        row |= {"tid": 2, "time": 1700000000000, "fee": LONG, "startPosition": "0.0"}
        entry = hyperliquid_rows.fill(row, perpetual, address="0x")
        assert (entry.quantity, entry.fee) == (Decimal("0.3"), Decimal("0.123456789012345678"))

    @pytest.mark.parametrize("field", ["amount", "price"])
    def test_of_a_unified_trade_is_read(self, field: str) -> None:
        (entry,) = unified_facts.fill({**TRADE, field: LONG}, PAIR, venue="v", wallet="w")
        assert Decimal("0.123456789012345678") in (entry.quantity, entry.price)

    def test_whose_contracts_make_more_is_rounded_after_the_product(self) -> None:
        swap = unified_rows.instrument(market(["X", "PEPE/USDT:USDT", "0.0000000001"]))
        (entry,) = unified_facts.fill({**TRADE, "amount": "0.1234567895"}, swap, venue="v", wallet="w")
        assert entry.quantity == Decimal("0.000000000012345679")

    def test_of_more_than_28_digits_keeps_them_all(self) -> None:
        amount = "12345678901234567.123456789012345678"
        (entry,) = unified_facts.fill({**TRADE, "amount": amount}, PAIR, venue="v", wallet="w")
        assert entry.quantity == Decimal(amount)


def test_a_fill_of_less_than_the_book_can_hold_is_its_fee() -> None:
    row = {**TRADE, "amount": "1e-20", "fee": {"cost": "0.5", "currency": "USDT"}}
    entries = unified_facts.fill(row, PAIR, venue="v", wallet="w")
    assert [(one.kind, one.amount) for one in entries] == [(Kind.FEE, Decimal("-0.5"))]
