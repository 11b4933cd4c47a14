"""A margin position on a spot pair: coin and debt beside the wallet, never a leg beside the coin it is."""

from __future__ import annotations

from typing import Any

import pytest

from positions.venues.base import Report
from positions.venues.generic.adapter import Generic
from positions.venues.generic.markets import store
from positions.venues.registry import VENUES
from tests.positions.venues.replay import Answer, market, opened, put_in

OKX_ROW = {
    "instType": "MARGIN", "instId": "BTC-USDT", "pos": "0.02", "posCcy": "BTC", "posSide": "net",
    "mgnMode": "isolated", "avgPx": "60000", "markPx": "61000", "lever": "3", "upl": "20", "liab": "-800",
    "liabCcy": "USDT", "notionalUsd": "1220", "uTime": "1700000000000", "ccy": "USDT", "margin": "400",
}  # fmt: skip
OKX_SHORT = {**OKX_ROW, "pos": "1200", "posCcy": "USDT", "liab": "-0.02", "liabCcy": "BTC"}
OKX_OVER = {**OKX_ROW, "pos": "0", "posCcy": "", "liab": "", "margin": "", "notionalUsd": ""}
OKX_COINS = {"code": "0", "data": [{"details": [
    {"ccy": "BTC", "eq": "1", "cashBal": "1", "availBal": "1", "frozenBal": "0", "liab": ""},
    {"ccy": "USDT", "eq": "5", "cashBal": "5", "availBal": "5", "frozenBal": "0", "liab": ""},
    {"ccy": "ETH", "eq": "2", "cashBal": "2", "availBal": "2", "frozenBal": "0", "liab": ""},
]}]}  # fmt: skip
KRAKEN_ROW = {
    "pair": "XXBTZUSD", "positions": "1", "type": "buy", "leverage": "2.0", "cost": "1200", "fee": "1",
    "vol": "0.02", "vol_closed": "0", "margin": "600", "net": "+10",
}  # fmt: skip


async def okx_report(*rows: Any, adapter: Any = None) -> Report:
    store.forget()
    pair = market(["BTC-USDT", "BTC/USDT", None]) | {"margin": True}
    perpetual = market(["BTC-USDT-SWAP", "BTC/USDT:USDT", 0.01])
    venue = opened(adapter or VENUES["okx"], "okx", [pair, perpetual], {})

    def answer(method: str, url: str, body: Any) -> Answer:
        if "/account/positions" in url:
            return Answer({"code": "0", "msg": "", "data": list(rows)})
        return Answer(OKX_COINS if "/account/balance" in url else {"code": "0", "data": []})

    put_in(venue.client, answer)
    report: Report = await venue.report()
    await venue.close()
    return report


async def kraken_report(*rows: Any) -> Report:
    store.forget()
    venue = opened(VENUES.get("kraken", Generic), "kraken", [market(["XXBTZUSD", "BTC/USD", None])], {})

    def answer(method: str, url: str, body: Any) -> Answer:
        if "OpenPositions" in url:
            return Answer({"error": [], "result": list(rows)})
        return Answer({"error": [], "result": {"XXBT": {"balance": "1.0", "hold_trade": "0"}}})

    put_in(venue.client, answer)
    report: Report = await venue.report()
    await venue.close()
    return report


def totals(report: Report) -> dict[str, Any]:
    return {row.asset: row.total for row in report.balances if row.wallet != "funding"}


@pytest.mark.parametrize("row", [OKX_ROW, OKX_SHORT], ids=["bought", "sold short"])
@pytest.mark.parametrize("adapter", [None, Generic], ids=["with its quirks", "as any exchange"])
class TestAMarginPositionOfOkx:
    async def test_is_no_leg(self, row: Any, adapter: Any) -> None:
        report = await okx_report(row, adapter=adapter)
        assert report.positions == ()

    async def test_leaves_both_coins_of_its_pair_unknown(self, row: Any, adapter: Any) -> None:
        report = await okx_report(row, adapter=adapter)
        found = totals(report)
        assert (found["BTC"], found["USDT"]) == (None, None)
        assert found["ETH"] is not None
        assert not report.balances_complete
        assert not report.observed("BTC/USDT", scope="spot")

    async def test_is_named_among_the_problems(self, row: Any, adapter: Any) -> None:
        report = await okx_report(row, adapter=adapter)
        assert any("margin position on BTC/USDT is not read" in one for one in report.problems)

    async def test_says_nothing_of_the_perpetual(self, row: Any, adapter: Any) -> None:
        report = await okx_report(row, adapter=adapter)
        assert report.unreadable == ()


class TestAMarginPositionThatIsOver:
    async def test_leaves_the_coins_known_at_okx(self) -> None:
        report = await okx_report(OKX_OVER)
        assert (totals(report)["BTC"], totals(report)["USDT"], report.zero_rows) == (1, 5, 1)
        assert report.balances_complete

    async def test_still_counts_at_okx_while_a_debt_is_left(self) -> None:
        report = await okx_report({**OKX_OVER, "liab": "-3"})
        assert totals(report)["USDT"] is None

    async def test_is_not_believed_of_an_unreadable_size(self) -> None:
        report = await okx_report({**OKX_ROW, "pos": "many"})
        assert report.positions == ()
        assert not report.complete
        assert totals(report)["BTC"] is None or [row.venue_symbol for row in report.unreadable] == [None]


class TestAMarginPositionOfKraken:
    async def test_is_no_leg_and_leaves_both_coins_unknown(self) -> None:
        report = await kraken_report(KRAKEN_ROW)
        assert report.positions == ()
        assert totals(report) == {"BTC": None}
        assert not report.balances_complete
