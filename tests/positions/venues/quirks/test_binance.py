"""Binance: rows that ccxt's own reading of positionRisk leaves out, or reads by their notional."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from positions.venues.base import Report
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ReportCall
from tests.positions.venues.generic.test_adapter import venue_of
from tests.positions.venues.replay import Answer, put_in

ROW = {
    "symbol": "BTCUSDT",
    "positionAmt": "0.010",
    "entryPrice": "60000.0",
    "markPrice": "61000",
    "unRealizedProfit": "10.0",
    "liquidationPrice": "0",
    "marginType": "cross",
    "positionSide": "BOTH",
    "notional": "610",
    "updateTime": 1625474304765,
}
OTHER = {**ROW, "symbol": "ETHUSDT", "positionAmt": "2", "notional": "6000", "markPrice": "3000"}
NO_PRICE: dict[str, Any] = {"0": "0", "0.0": "0.0", "none": None, "an empty text": ""}


def without_price(price: Any, **more: Any) -> dict[str, Any]:
    return {**ROW, "entryPrice": price, **more}


async def report_of(*rows: Any, adapter: Any = None) -> Report:
    venue = venue_of("binanceusdm", adapter)
    put_in(venue.client, lambda *_: Answer(list(rows)))
    call = ReportCall("fetch_positions_risk", scopes=("linear:*",))
    report: Report = await venue.answered([call])
    await venue.close()
    return report


@pytest.mark.parametrize("price", NO_PRICE.values(), ids=NO_PRICE.keys())
class TestAPositionWithASizeAndAnEntryPriceOf:
    async def test_is_a_position_whose_entry_price_is_unknown(self, price: Any) -> None:
        report = await report_of(without_price(price))
        assert [(row.quantity, row.entry_price) for row in report.positions] == [(Decimal("0.01"), None)]
        assert report.complete

    async def test_is_a_short_when_its_amount_is_negative(self, price: Any) -> None:
        report = await report_of(without_price(price, positionAmt="-3", notional="0", markPrice="0"))
        assert [row.quantity for row in report.positions] == [Decimal(-3)]

    async def test_is_never_flat_where_ccxt_leaves_it_out(self, price: Any) -> None:
        report = await report_of(OTHER, without_price(price), adapter=Generic)
        assert not report.complete
        assert not report.observed("BTC/USDT:USDT", scope="linear:USDT")


async def test_a_position_of_size_zero_is_a_zero_row() -> None:
    report = await report_of(without_price("0", positionAmt="0.000", notional="0"))
    assert (report.positions, report.zero_rows, report.complete) == ((), 1, True)
    assert report.observed("BTC/USDT:USDT", scope="linear:USDT")


async def test_no_position_at_all_is_flat() -> None:
    report = await report_of()
    assert report.complete
    assert report.observed("BTC/USDT:USDT", scope="linear:USDT")
