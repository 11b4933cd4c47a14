"""Judge: Hyperliquid's own Python SDK: reads, signed orders, WebSocket."""

import asyncio
import threading

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid


@pytest.fixture
def sdk(stage):
    """Runs a function with (Info, Exchange) in a thread, while the venue answers in this one."""

    async def run(work):
        def talk():
            info = Info(stage.base, skip_ws=True, timeout=5)
            exchange = Exchange(Account.from_key(stage.key), stage.base, meta=info.meta(), timeout=5)
            return work(info, exchange)

        return await asyncio.to_thread(talk)

    return run


class TestTheSdksInfo:
    async def test_reads_what_it_knows(self, stage, sdk):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        stage.cause("funding")

        def work(info, _):
            return {
                "state": info.user_state(stage.user),
                "spot": info.spot_user_state(stage.user),
                "fills": info.user_fills(stage.user),
                "since": info.user_fills_by_time(stage.user, 0),
                "funding": info.user_funding_history(stage.user, 0),
                "ledger": info.user_non_funding_ledger_updates(stage.user, 0),
                "mids": info.all_mids(),
                "book": info.l2_snapshot("BTC"),
                "candles": info.candles_snapshot("BTC", "1h", 0, 2**50),
                "contexts": info.meta_and_asset_ctxs(),
                "spot_contexts": info.spot_meta_and_asset_ctxs(),
                "history": info.historical_orders(stage.user),
                "fees": info.user_fees(stage.user),
                "role": info.user_role(stage.user),
                "abstraction": info.query_user_abstraction_state(stage.user),
                "dexs": info.perp_dexs(),
            }

        seen = await sdk(work)
        assert seen["state"]["assetPositions"][0]["position"]["szi"] == "0.01"
        assert seen["fills"] == seen["since"]
        assert len(seen["funding"]) == len(seen["ledger"]) == 1
        assert set(seen["mids"]) >= {"BTC", "@1", "PURR/USDC"}
        assert seen["role"] == {"role": "user"}
        assert seen["abstraction"] == "default"
        assert [dex and dex["name"] for dex in seen["dexs"]] == [None, "flx"]


class TestTheSdksExchange:
    async def test_opens_and_closes_a_position_at_the_market(self, stage, sdk):
        stage.fund()

        def work(info, exchange):
            opened = exchange.market_open("ETH", True, 0.5)
            held = info.user_state(stage.user)["assetPositions"][0]["position"]["szi"]
            closed = exchange.market_close("ETH")
            return opened, held, closed, info.user_state(stage.user)["assetPositions"]

        opened, held, closed, after = await sdk(work)
        assert opened["response"]["data"]["statuses"][0]["filled"]["totalSz"] == "0.5"
        assert (held, after) == ("0.5", [])
        assert "filled" in closed["response"]["data"]["statuses"][0]

    async def test_limit_orders_are_placed_found_modified_and_cancelled(self, stage, sdk):
        stage.fund()
        cloid = Cloid.from_int(7)

        def work(info, exchange):
            gtc = {"limit": {"tif": "Gtc"}}
            placed = exchange.order("BTC", True, 0.01, 90_000, gtc, cloid=cloid)
            oid = placed["response"]["data"]["statuses"][0]["resting"]["oid"]
            by_oid = info.query_order_by_oid(stage.user, oid)
            by_cloid = info.query_order_by_cloid(stage.user, cloid)
            exchange.modify_order(oid, "BTC", True, 0.02, 91_000, gtc)
            (after,) = info.open_orders(stage.user)
            cancelled = exchange.cancel("BTC", after["oid"])
            again = exchange.cancel("BTC", after["oid"])
            return by_oid, by_cloid, after, cancelled, again

        by_oid, by_cloid, after, cancelled, again = await sdk(work)
        assert by_oid == by_cloid
        assert by_oid["order"]["status"] == "open"
        assert (after["sz"], after["limitPx"]) == ("0.02", "91000.0")
        assert cancelled["response"]["data"]["statuses"] == ["success"]
        assert "never placed" in again["response"]["data"]["statuses"][0]["error"]

    async def test_a_price_off_the_tick_is_refused_in_the_venues_words(self, stage, sdk):
        stage.fund()
        answer = await sdk(
            lambda _, exchange: exchange.order("BTC", True, 0.01, 90_000.5, {"limit": {"tif": "Gtc"}})
        )
        assert answer["response"]["data"]["statuses"] == [
            {"error": "Price must be divisible by tick size. asset=0"}
        ]

    async def test_money_moves_and_leverage_changes(self, stage, sdk):
        stage.fund()
        other = "0x" + "1" * 40

        def work(info, exchange):
            return [
                exchange.update_leverage(7, "SOL", is_cross=False),
                exchange.usd_class_transfer(500, False),
                exchange.usd_transfer(100, other),
                exchange.withdraw_from_bridge(50, stage.user),
                exchange.update_leverage(99, "SOL"),
            ]

        *done, refused = await sdk(work)
        assert all(answer == {"status": "ok", "response": {"type": "default"}} for answer in done)
        assert refused["status"] == "err"
        assert stage.exchange.account(stage.user).cash[""] == 10_000 - 500 - 100 - 50
        assert stage.exchange.account(other).cash[""] == 100
        assert stage.exchange.imbalance() == {}

    async def test_an_agent_is_approved_and_trades(self, stage, sdk):
        stage.fund()

        def work(info, exchange):
            approved, key = exchange.approve_agent("bot")
            agent = Exchange(Account.from_key(key), stage.base, meta=info.meta(), account_address=stage.user)
            placed = agent.order("BTC", True, 0.01, 90_000, {"limit": {"tif": "Alo"}})
            return (
                approved,
                placed,
                info.user_role(Account.from_key(key).address),
                info.open_orders(stage.user),
            )

        approved, placed, role, orders = await sdk(work)
        assert approved["status"] == "ok"
        assert "resting" in placed["response"]["data"]["statuses"][0]
        assert role == {"role": "agent", "data": {"user": stage.user}}
        assert len(orders) == 1

    async def test_a_repeated_nonce_is_refused(self, stage, sdk):
        stage.fund()

        def work(_, exchange):
            sent = {}
            post = exchange.post

            def keep(path, payload):
                sent.update(path=path, payload=payload)
                return post(path, payload)

            exchange.post = keep
            exchange.update_leverage(7, "SOL")
            return post(sent["path"], sent["payload"])

        answer = await sdk(work)
        assert answer["status"] == "err"
        assert "nonce" in answer["response"]


class TestMoneyMovedThroughTheSdk:
    async def test_collateral_moves_between_dexs_and_spot(self, stage, sdk):
        stage.fund(1_000)
        stage.cause("deposit", token="USDH", amount=500, cost=500)

        def work(info, exchange):
            usdh, usdc = "USDH:0x6d1e7cde53ba9467b783cb7c530ce058", "USDC:0x6d1e7cde53ba9467b783cb7c530ce054"
            return [
                exchange.send_asset(stage.user, "spot", "flx", usdh, 200),
                exchange.send_asset(stage.user, "", "spot", usdc, 300),
                exchange.send_asset(stage.user, "", "flx", usdc, 10),
                exchange.send_asset(stage.user, "flx", "spot", usdh, 999),
            ]

        *done, wrong_token, too_much = await sdk(work)
        account = stage.exchange.account(stage.user)
        assert [answer["status"] for answer in done] == ["ok", "ok"]
        assert (wrong_token["status"], too_much["status"]) == ("err", "err")
        assert account.cash == {"": 700, "flx": 200}
        assert account.spot == {"USDH": 300, "USDC": 300}
        assert account.ledger[-1]["delta"]["type"] == "send"
        assert stage.exchange.imbalance() == {}

    async def test_tokens_go_to_another_user_with_what_they_cost(self, stage, sdk):
        stage.cause("deposit", token="PURR", amount=100, cost=50)
        other = "0x" + "1" * 40

        def work(_, exchange):
            token = "PURR:0x6d1e7cde53ba9467b783cb7c530ce055"
            return exchange.spot_transfer(40, other, token), exchange.spot_transfer(400, other, token)

        done, refused = await sdk(work)
        assert (done["status"], refused["status"]) == ("ok", "err")
        (balance,) = stage.exchange.account(other).spot_state()["balances"]
        assert (balance["coin"], balance["total"], balance["entryNtl"]) == ("PURR", "40.0", "20.0")

    async def test_a_builders_fee_is_part_of_the_fee_and_goes_to_the_builder(self, stage, sdk):
        stage.fund()
        builder = "0x" + "c" * 40

        def work(info, exchange):
            early = exchange.market_open("BTC", True, 0.01, builder={"b": builder, "f": 10})
            exchange.approve_builder_fee(builder, "0.01%")
            exchange.market_open("BTC", True, 0.01, builder={"b": builder, "f": 10})
            return early, info.user_fills(stage.user)

        early, (fill,) = await sdk(work)
        assert early == {"status": "err", "response": "Builder fee has not been approved."}
        notional = float(fill["px"]) * 0.01
        assert float(fill["builderFee"]) == pytest.approx(notional * 0.0001, abs=1e-6)
        assert float(fill["fee"]) == pytest.approx(notional * 0.00055, abs=2e-6)
        assert float(stage.exchange.account(builder).spot["USDC"]) == float(fill["builderFee"])
        assert stage.exchange.imbalance() == {}

    async def test_isolated_margin_cannot_be_drained(self, stage, sdk):
        stage.fund()
        stage.cause("lever", coin="ETH", cross=False, leverage=5)

        def work(_, exchange):
            nothing = exchange.update_isolated_margin(10, "ETH")
            exchange.market_open("ETH", True, 1)
            return (
                nothing,
                exchange.update_isolated_margin(100, "ETH"),
                exchange.update_isolated_margin(-5_000, "ETH"),
                exchange.update_isolated_margin(90_000, "ETH"),
                exchange.update_leverage(3, "ETH", is_cross=True),
            )

        nothing, added, drained, too_much, switched = await sdk(work)
        assert added["status"] == "ok"
        assert {answer["status"] for answer in (nothing, drained, too_much, switched)} == {"err"}


class TestTheSdksStreams:
    async def test_events_reach_the_callbacks(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        kinds = (
            "userEvents",
            "userFills",
            "orderUpdates",
            "userFundings",
            "userNonFundingLedgerUpdates",
            "webData2",
        )
        markets = {"allMids", "l2Book", "trades", "bbo", "webData2"}
        seen, changed = {}, threading.Condition()

        def note(message):
            with changed:
                seen.setdefault(message["channel"], []).append(message["data"])
                changed.notify()

        def until(true):
            with changed:
                assert changed.wait_for(true, timeout=30), {name: len(data) for name, data in seen.items()}

        def listen():
            info = Info(stage.base)
            for kind in kinds:
                info.subscribe({"type": kind, "user": stage.user}, note)
            for kind in ("allMids", "l2Book", "trades", "bbo"):
                info.subscribe({"type": kind} | ({} if kind == "allMids" else {"coin": "BTC"}), note)
            return info

        info = await asyncio.to_thread(listen)
        try:
            await asyncio.to_thread(until, lambda: {"userFills", "userNonFundingLedgerUpdates"} <= set(seen))
            told = ("user", "userFills", "userNonFundingLedgerUpdates")
            before = {name: len(seen.get(name, ())) for name in told}
            stage.trade("BTC", "sell", "0.01")
            stage.cause("deposit", amount=5)
            stage.venue.flush()
            await asyncio.to_thread(
                until,
                lambda: markets <= set(seen) and all(len(seen.get(name, ())) > before[name] for name in told),
            )
        finally:
            await asyncio.to_thread(info.disconnect_websocket)
        assert seen["userFills"][0]["isSnapshot"] is True
        assert seen["userFills"][-1]["fills"][0]["dir"] == "Close Long"
        assert seen["user"][-1]["fills"][0]["sz"] == "0.01"
        assert seen["userNonFundingLedgerUpdates"][-1]["nonFundingLedgerUpdates"][0]["delta"]["usdc"] == "5.0"
