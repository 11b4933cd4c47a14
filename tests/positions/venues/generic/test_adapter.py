"""What the unified reading concludes, and what it refuses to conclude."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from positions.book.entries import Cause, Kind, Leg
from positions.venues.base import Corrupt, Denied, Method, Unsupported
from positions.venues.generic.adapter import Generic
from positions.venues.registry import VENUES, open_venue
from positions.venues.transport.client import Retries
from tests.positions.venues.replay import DATA, NOW, Answer, config_for, opened, put_in

SINCE = NOW - timedelta(days=2)


def venue_of(exchange: str, adapter: Any = None, **more: Any) -> Any:
    markets = json.loads((DATA / exchange / "markets.json").read_text())
    venue = opened(adapter or VENUES[exchange], exchange, markets["markets"], markets["options"], **more)
    venue.client.retries = Retries(attempts=1)
    return venue


def bybit_list(*rows: Any, **more: Any) -> Answer:
    return Answer(
        {"retCode": 0, "retMsg": "OK", "result": {"list": list(rows), "nextPageCursor": ""}, **more}
    )


def bybit_position(symbol: str = "ETHUSDT", **more: Any) -> dict[str, Any]:
    row = {
        "symbol": symbol,
        "side": "Buy",
        "size": "2",
        "avgPrice": "1000",
        "markPrice": "1100",
        "positionIdx": 0,
        "positionValue": "2000",
        "unrealisedPnl": "200",
        "liqPrice": "",
        "leverage": "5",
        "updatedTime": "1700000000000",
    }
    return {**row, **more}


def bybit(positions: dict[str, Answer], balance: Answer | None = None) -> Any:
    """Bybit with an answer per category (linear:USDT, linear:USDC, inverse)."""
    venue = venue_of("bybit")

    def answer(method: str, url: str, body: Any) -> Answer:
        if "wallet-balance" in url:
            return balance or Answer(
                {"retCode": 0, "result": {"list": [{"accountType": "UNIFIED", "coin": []}]}}
            )
        category = (
            "inverse" if "category=inverse" in url else "linear:USDC" if "USDC" in url else "linear:USDT"
        )
        return positions.get(category, bybit_list())

    put_in(venue.client, answer)
    return venue


class TestScopesOfAReport:
    async def test_every_category_is_asked_and_what_is_absent_is_flat(self) -> None:
        report = await bybit({"linear:USDT": bybit_list(bybit_position())}).report()
        assert [row.quantity for row in report.positions] == [Decimal(2)]
        assert report.complete
        assert report.observed("BTC/USD:BTC", scope="inverse:BTC")
        assert report.observed("ETH/USDC:USDC", scope="linear:USDC")

    async def test_a_category_that_fails_is_unknown(self) -> None:
        report = await bybit({"inverse": Answer("null", 500)}).report()
        assert report.observed("ETH/USDT:USDT", scope="linear:USDT")
        assert not report.observed("BTC/USD:BTC", scope="inverse:BTC")

    async def test_a_full_page_was_cut_and_proves_nothing_flat(self) -> None:
        full = bybit_list(*(bybit_position() for _ in range(200)))
        report = await bybit({"linear:USDT": full}).report()
        assert not report.observed("BTC/USDT:USDT", scope="linear:USDT")
        assert not report.complete

    async def test_a_symbol_that_is_not_listed_is_named(self) -> None:
        report = await bybit(
            {"linear:USDT": bybit_list(bybit_position("NEWUSDT"), bybit_position())}
        ).report()
        assert len(report.positions) == 1
        assert len(report.unknown_symbols) == 1
        assert not report.complete

    async def test_one_bad_row_costs_its_own_leg_and_not_the_report(self) -> None:
        rows = [bybit_position(size="two"), bybit_position("BTCUSDT")]
        report = await bybit({"linear:USDT": bybit_list(*rows)}).report()
        assert [row.venue_symbol for row in report.positions] == ["BTC/USDT:USDT"]
        assert not report.observed("ETH/USDT:USDT", scope="linear:USDT")
        assert report.observed("BTC/USDT:USDT", scope="linear:USDT")

    async def test_a_venue_that_nobody_proved_claims_no_flat_leg(self) -> None:
        venue = venue_of("gate", Generic)
        spot = {"currency": "USDT", "available": "5", "locked": "0"}
        put_in(venue.client, lambda method, url, body: Answer([spot] if "/spot/" in url else []))
        report = await venue.report()
        assert not report.observed("BTC/USDT:USDT", scope="linear:USDT")
        assert not report.complete

    async def test_rows_that_no_parser_was_given_are_not_an_empty_list(self) -> None:
        """An endpoint changed its shape: ccxt looks elsewhere and finds nothing."""
        venue = venue_of("bybit")
        put_in(venue.client, lambda *_: Answer({"retCode": 0, "result": {"elsewhere": [bybit_position()]}}))
        with pytest.raises(Corrupt):
            await venue.answered(venue.position_calls)

    async def test_an_empty_balance_of_an_unproven_venue_is_not_believed(self) -> None:
        venue = venue_of("gate", Generic)
        put_in(venue.client, lambda *_: Answer([]))
        with pytest.raises(Corrupt):
            await venue.answered(venue.balance_calls)


class TestLegsOfAReport:
    async def test_two_sides_of_one_symbol_are_hedge_legs(self) -> None:
        rows = [bybit_position(positionIdx=1), bybit_position(positionIdx=2, side="Sell", size="1")]
        report = await bybit({"linear:USDT": bybit_list(*rows)}).report()
        assert [(row.leg, row.quantity) for row in report.positions] == [(Leg.LONG, 2), (Leg.SHORT, -1)]
        assert report.hedge is True

    async def test_what_the_venue_did_not_say_is_marked_as_derived(self) -> None:
        report = await bybit({"linear:USDT": bybit_list(bybit_position(unrealisedPnl=""))}).report()
        assert "unrealized_pnl" in report.positions[0].derived
        assert "entry_price" not in report.positions[0].derived

    async def test_units_that_contradict_the_notional_are_not_believed(self) -> None:
        report = await bybit({"linear:USDT": bybit_list(bybit_position(positionValue="20000"))}).report()
        assert report.positions == ()
        assert "do not make the reported notional" in report.unreadable[0].reason


class TestBalancesOfAReport:
    async def test_the_wallet_balance_is_without_unrealized_profit(self) -> None:
        coin = {"coin": "USDT", "walletBalance": "100", "equity": "130", "unrealisedPnl": "30", "locked": "0"}
        balance = Answer({"retCode": 0, "result": {"list": [{"accountType": "UNIFIED", "coin": [coin]}]}})
        report = await bybit({}, balance).report()
        assert [(row.asset, row.total) for row in report.balances] == [("USDT", Decimal(100))]

    async def test_junk_in_an_asset_is_corrupt_and_nothing_is_concluded(self) -> None:
        venue = venue_of("binance")
        rows = [{"asset": "BTC", "free": "1", "locked": "0"}, {"asset": "ADA", "free": "lots", "locked": "0"}]
        put_in(venue.client, lambda *_: Answer({"balances": rows}))
        with pytest.raises(Corrupt) as failure:
            await venue.report()
        assert "lots" in str(failure.value.payload)


def execution(number: int, **more: Any) -> dict[str, Any]:
    time = int((NOW - timedelta(hours=1)).timestamp() * 1000) + number
    row = {
        "symbol": "ETHUSDT",
        "side": "Buy",
        "orderId": f"o{number}",
        "execId": f"e{number}",
        "execPrice": "1000",
        "execQty": "1",
        "execFee": "0.6",
        "execType": "Trade",
        "execTime": str(time),
        "isMaker": False,
        "category": "linear",
    }
    return {**row, **more}


class TestListsOfACcxtExchange:
    def venue(self, rows: list[dict[str, Any]], *, cut: int = 100) -> Any:
        venue = venue_of("bybit")

        def answer(method: str, url: str, body: Any) -> Answer:
            if "execType=Trade" not in url or "category=linear" not in url:
                return bybit_list()
            query = dict(part.split("=") for part in url.partition("?")[2].split("&"))
            low, high = int(query["startTime"]), int(query["endTime"])
            inside = [row for row in rows if low <= int(row["execTime"]) <= high]
            return bybit_list(*sorted(inside, key=lambda row: -int(row["execTime"]))[:cut])

        put_in(venue.client, answer)
        return venue

    async def test_pages_go_back_until_nothing_older_comes(self) -> None:
        venue = self.venue([execution(number) for number in range(250)])
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert len(batch.entries) == 250
        assert batch.complete
        assert batch.covered == (SINCE, NOW - timedelta(seconds=1))

    async def test_pages_cut_short_lose_nothing(self) -> None:
        venue = self.venue([execution(number) for number in range(30)], cut=7)
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert len(batch.entries) == 30

    async def test_a_liquidation_is_one_by_its_type(self) -> None:
        venue = venue_of("bybit")
        put_in(
            venue.client,
            lambda method, url, body: (
                bybit_list(execution(1, execType="BustTrade"))
                if "BustTrade" in url and "linear" in url
                else bybit_list()
            ),
        )
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert [entry.cause for entry in batch.entries] == [Cause.LIQUIDATION]

    @pytest.mark.parametrize(
        ("side", "closed", "leg"),
        [("Buy", "0", Leg.LONG), ("Sell", "2", Leg.LONG), ("Sell", "0", Leg.SHORT), ("Buy", "2", Leg.SHORT)],
    )
    async def test_bybits_fills_in_hedge_mode_belong_to_the_leg_they_open_or_close(
        self, side: str, closed: str, leg: Leg
    ) -> None:
        row = execution(1, side=side, execQty="2", closedSize=closed, createType="CreateByUser")
        legs = [bybit_position(positionIdx=2, side="Sell"), bybit_position(positionIdx=1, side="", size="0")]
        venue = venue_of("bybit")

        def answer(method: str, url: str, body: Any) -> Answer:
            if "position/list" in url:
                return bybit_list(*legs) if "symbol=ETHUSDT" in url else bybit_list()
            return bybit_list(*([row] if "execType=Trade" in url and "category=linear" in url else []))

        put_in(venue.client, answer)
        [entry] = (await venue.entries(since=SINCE, methods=[Method.FILLS])).entries
        assert entry.leg is leg

    async def test_a_history_that_was_cut_is_read_to_its_beginning(self) -> None:
        venue = self.venue([])
        batch = await venue.entries(since=NOW - timedelta(days=800), methods=[Method.FUNDING])
        kept = NOW - timedelta(days=729)
        assert (batch.kept_since, batch.goes_on, batch.complete) == (kept, True, False)
        assert any("keeps nothing from before" in problem for problem in batch.problems)
        assert batch.covered is not None
        while batch.goes_on:
            assert batch.covered is not None
            batch = await venue.entries(since=batch.covered[1], methods=[Method.FUNDING])
        assert batch.complete

    async def test_an_older_history_than_one_question_reads_goes_on_with_the_next(self) -> None:
        venue = self.venue([])
        batch = await venue.entries(since=datetime(2009, 1, 3, tzinfo=UTC), methods=[Method.FILLS])
        assert not batch.complete
        assert batch.covered is not None
        again = await venue.entries(since=batch.covered[1], methods=[Method.FILLS])
        assert again.covered is not None
        assert again.covered[1] > batch.covered[1]

    async def test_a_withdrawal_under_way_holds_the_window_back(self) -> None:
        venue = venue_of("bybit")
        then = NOW - timedelta(hours=5)
        rows = [
            {
                "coin": "USDT",
                "amount": "77",
                "status": "SecurityCheck",
                "withdrawId": "1",
                "withdrawFee": "1",
                "createTime": str(int(then.timestamp() * 1000)),
                "updateTime": "",
            },
        ]

        def answer(method: str, url: str, body: Any) -> Answer:
            if "withdraw/query-record" in url:
                return Answer({"retCode": 0, "result": {"rows": rows, "nextPageCursor": ""}})
            return Answer({"retCode": 0, "result": {"rows": [], "list": [], "nextPageCursor": ""}})

        put_in(venue.client, answer)
        batch = await venue.entries(since=SINCE, methods=[Method.TRANSFERS])
        assert batch.entries == ()
        assert batch.covered is not None
        assert batch.covered[1] < then

    async def test_an_unproven_venue_claims_a_short_list_only(self) -> None:
        venue = venue_of("gate", Generic)
        rows = [
            {
                "id": str(n),
                "create_time": "1645464610",
                "create_time_ms": f"{1645464610000 + n}.1",
                "side": "sell",
                "currency_pair": "DOGE_USDT",
                "role": "taker",
                "amount": "1",
                "price": "0.1",
                "order_id": str(n),
                "fee": "0",
                "fee_currency": "USDT",
            }
            for n in range(60)
        ]
        put_in(venue.client, lambda *_: Answer(rows))
        since = datetime(2022, 1, 1, tzinfo=UTC)
        batch = await venue.entries(since=since, methods=[Method.FILLS])
        assert len(batch.entries) == 60
        assert batch.covered is None
        assert not batch.complete

    async def test_fills_per_symbol_need_to_know_the_symbols(self) -> None:
        venue = venue_of("binance")
        put_in(venue.client, lambda method, url, body: Answer({"balances": []} if "/account" in url else []))
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert batch.entries == ()
        assert batch.covered is not None, "nothing is held, so nothing is asked"

    async def test_usdm_symbols_come_from_the_income_list(self) -> None:
        venue = venue_of("binanceusdm")
        time = int((NOW - timedelta(hours=1)).timestamp() * 1000)
        income = [
            {"symbol": "BTCUSDT", "incomeType": "COMMISSION", "income": "-1", "asset": "USDT", "time": time}
        ]
        trade = {
            "symbol": "BTCUSDT",
            "id": 1,
            "orderId": 2,
            "side": "SELL",
            "price": "60000",
            "qty": "0.01",
            "time": time,
            "commission": "0.2",
            "commissionAsset": "USDT",
            "positionSide": "SHORT",
            "maker": False,
            "buyer": False,
        }
        session = put_in(
            venue.client, lambda method, url, body: Answer(income if "/income" in url else [trade])
        )
        batch = await venue.entries(since=SINCE, methods=[Method.FILLS])
        assert [(entry.kind, entry.leg) for entry in batch.entries] == [(Kind.FILL, Leg.SHORT)]
        assert batch.complete
        assert any("symbol=BTCUSDT" in url for _, url, _ in session.requests)


class TestTheRegistryOfVenues:
    def test_opens_any_ccxt_exchange(self) -> None:
        assert type(open_venue(config_for("kucoin"), venue_of("gate", Generic).ports)) is Generic

    def test_refuses_a_name_that_is_none(self) -> None:
        with pytest.raises(Unsupported, match="no venue is called 'nosuch'"):
            open_venue(config_for("nosuch"), venue_of("gate", Generic).ports)

    def test_a_live_account_cannot_point_elsewhere(self) -> None:
        with pytest.raises(Unsupported, match="base URL"):
            open_venue(config_for("bybit", base_url="http://localhost:1"), venue_of("gate", Generic).ports)


class TestMarksOfACcxtExchange:
    async def test_prefer_the_mark_price_and_drop_what_is_none(self) -> None:
        venue = venue_of("bybit")
        rows = [
            {"symbol": "ETHUSDT", "lastPrice": "1001", "markPrice": "1000", "time": "1700000000000"},
            {"symbol": "XRPUSDT", "lastPrice": "", "markPrice": ""},
        ]
        put_in(venue.client, lambda *_: bybit_list(*rows))
        marks = await venue.marks(symbols=["ETH/USDT:USDT", "XRP/USDT:USDT"])
        assert [(mark.venue_symbol, mark.price) for mark in marks] == [("ETH/USDT:USDT", Decimal(1000))]

    async def test_an_answer_of_another_shape_is_corrupt_and_wrong_keys_are_denied(self) -> None:
        venue = venue_of("bybit")
        put_in(venue.client, lambda *_: Answer("<html></html>"))
        with pytest.raises(Corrupt):
            await venue.marks()
        put_in(venue.client, lambda *_: Answer({"retCode": 10003, "retMsg": "API key is invalid."}))
        with pytest.raises(Denied):
            await venue.marks()
