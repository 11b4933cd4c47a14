"""Judge: unmodified ccxt over REST, on every call that an adapter makes."""

import asyncio
from decimal import Decimal
from itertools import pairwise

import ccxt
import pytest

from tests.simulator.clients import post

BTC, SOL, HYPE_SPOT, CRCL = "BTC/USDC:USDC", "SOL/USDC:USDC", "HYPE/USDC", "FLX-CRCL/USDH:USDH"


def no_builder(exchange):
    """What an adapter does to trade without ccxt's builder fee."""

    async def nothing():
        return True

    exchange.initialize_client = nothing
    return exchange


def info(rows):
    return [row["info"] for row in rows]


class TestMarketsThroughCcxt:
    async def test_load_as_on_mainnet(self, stage):
        async with stage.client() as exchange:
            markets = await exchange.load_markets()
        assert {BTC, SOL, HYPE_SPOT, "BTC/USDC", CRCL, "KPEPE/USDC:USDC"} <= set(markets)
        assert markets[BTC]["baseId"] == "0"
        assert markets[CRCL]["baseId"] == "110000"
        assert markets["BTC/USDC"]["baseId"] == "10002"
        assert (markets[BTC]["precision"]["amount"], markets[BTC]["precision"]["price"]) == (0.00001, 1)

    async def test_tickers_carry_mark_and_mid(self, stage):
        async with stage.client() as exchange:
            tickers = await exchange.fetch_tickers()
        assert Decimal(tickers[BTC]["info"]["markPx"]) == stage.exchange.markets["BTC"].mark
        assert tickers[BTC]["bid"] < tickers[BTC]["last"] < tickers[BTC]["ask"]

    async def test_candles_book_and_funding_rates(self, stage):
        stage.cause("funding")
        async with stage.client() as exchange:
            candles = await exchange.fetch_ohlcv(BTC, "15m", limit=20)
            book = await exchange.fetch_order_book(BTC)
            rates = await exchange.fetch_funding_rates()
            history = await exchange.fetch_funding_rate_history(BTC, since=1)
        assert len(candles) == 20
        assert all(later[0] - earlier[0] == 900_000 for earlier, later in pairwise(candles))
        assert all(low <= min(o, c) and max(o, c) <= high for _, o, high, low, c, _ in candles)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert rates[BTC]["fundingRate"] == pytest.approx(history[-1]["fundingRate"])


class TestOrdersThroughCcxt:
    async def test_a_market_order_fills_and_makes_the_position(self, stage):
        stage.fund()
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            order = await exchange.create_order(BTC, "market", "buy", 0.03, 98_000)
            assert Decimal(order["info"]["filled"]["totalSz"]) == Decimal("0.03")
            (fill,) = await exchange.fetch_my_trades()
            (position,) = await exchange.fetch_positions()
        raw = fill["info"]
        assert (raw["side"], raw["dir"], raw["startPosition"], raw["crossed"]) == (
            "B",
            "Open Long",
            "0.0",
            True,
        )
        assert Decimal(raw["fee"]) == round(Decimal(raw["px"]) * Decimal("0.03") * Decimal("0.00045"), 6)
        assert position["contracts"] == 0.03
        assert position["entryPrice"] == float(raw["px"])

    async def test_a_limit_order_rests_fills_in_parts_and_is_cancelled(self, stage):
        stage.fund()
        other = "0x" + "7" * 40
        stage.fund(user=other)
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            best = (await exchange.fetch_order_book(BTC))["bids"][0][0]
            order = await exchange.create_order(BTC, "limit", "buy", 0.01, best + 3)
            stage.trade("BTC", "sell", "0.004", user=other)
            (open_order,) = await exchange.fetch_open_orders()
            assert open_order["remaining"] == 0.006
            (fill,) = await exchange.fetch_my_trades()
            assert fill["takerOrMaker"] == "maker"
            await exchange.cancel_order(order["id"], BTC)
            assert await exchange.fetch_open_orders() == []
            assert (await exchange.fetch_order(order["id"], BTC))["status"] == "canceled"
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order(order["id"], BTC)

    async def test_an_order_is_found_by_client_id(self, stage):
        stage.fund()
        cloid = "0x" + "ab" * 16
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            params = {"clientOrderId": cloid}
            placed = await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000, params)
            found = await exchange.fetch_order(None, BTC, params)
            assert found["id"] == placed["id"]
            await exchange.cancel_order(None, BTC, params)
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.fetch_order("1", BTC)

    async def test_a_stop_waits_for_the_mark(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            params = {"stopLossPrice": 96_000, "reduceOnly": True}
            await exchange.create_order(BTC, "market", "sell", 0.01, 96_000, params)
            (waiting,) = await exchange.fetch_open_orders()
            assert waiting["info"]["isTrigger"] is True
            stage.cause("price", coin="BTC", price=95_900, hold=True)
            stage.pass_time(0.5)
            stage.cause("price", coin="BTC", price=95_900, hold=True)
            assert await exchange.fetch_open_orders() == []
            assert await exchange.fetch_positions() == []

    @pytest.mark.parametrize(
        ("order", "error"),
        [
            (("limit", "buy", 0.01, 1_000), ccxt.InvalidOrder),
            (("limit", "buy", 5, 97_000), ccxt.InsufficientFunds),
            (("limit", "buy", 0.0001, 90_000), ccxt.InvalidOrder),
        ],
    )
    async def test_a_refusal_is_the_error_that_ccxt_knows(self, stage, order, error):
        stage.fund()
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            with pytest.raises(error):
                await exchange.create_order(BTC, *order)

    async def test_post_only_and_reduce_only_are_refused_where_they_must(self, stage):
        stage.fund()
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            with pytest.raises(ccxt.InvalidOrder, match="Post only order would have immediately matched"):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 99_000, {"postOnly": True})
            with pytest.raises(ccxt.InvalidOrder, match="Reduce only order would increase position"):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 99_000, {"reduceOnly": True})
            with pytest.raises(ccxt.InvalidOrder, match="could not immediately match"):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000, {"timeInForce": "IOC"})

    async def test_a_stranger_does_not_exist(self, stage):
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            with pytest.raises(ccxt.InvalidOrder, match="does not exist"):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000)

    async def test_an_agent_trades_for_its_owner_until_it_expires(self, stage):
        owner = "0x" + "5" * 40
        stage.fund(user=owner)
        stage.cause("agent", user=owner, agent=stage.user)
        async with stage.client(signing=True, user=owner) as exchange:
            await no_builder(exchange).load_markets()
            await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000)
            assert len(await exchange.fetch_open_orders()) == 1
            stage.cause("agent", user=owner, agent=stage.user, expired=True)
            with pytest.raises(ccxt.InvalidOrder, match="does not exist"):
                await exchange.create_order(BTC, "limit", "buy", 0.01, 90_000)

    async def test_leverage_and_isolated_margin(self, stage):
        stage.fund()
        async with stage.client(signing=True) as exchange:
            await no_builder(exchange).load_markets()
            await exchange.set_margin_mode("isolated", BTC, {"leverage": 5})
            await exchange.create_order(BTC, "market", "buy", 0.02, 98_000)
            (before,) = info(await exchange.fetch_positions())
            await exchange.add_margin(BTC, 50)
            (after,) = info(await exchange.fetch_positions())
        margins = [Decimal(row["position"]["marginUsed"]) for row in (before, after)]
        assert before["position"]["leverage"]["type"] == "isolated"
        assert margins[1] - margins[0] == 50


class TestReadingThroughCcxt:
    async def test_fills_funding_and_ledger_fold_to_the_venues_own_state(self, busy):
        for trader in busy.venue.simulation.traders:
            user = trader.account.address
            async with busy.client(user=user) as exchange:
                await exchange.load_markets()
                fills = info(await exchange.fetch_my_trades(since=0))
                funding = info(await exchange.fetch_funding_history(since=1))
                ledger = info(await exchange.fetch_ledger(since=0))
                state = (await exchange.fetch_balance())["info"]
                asked = {"type": "clearinghouseState", "user": user, "dex": "flx"}
                builders = await exchange.publicPostInfo(asked)
                spot = (await exchange.fetch_balance({"type": "spot"}))["info"]["balances"]
            held = [row["position"] for one in (state, builders) for row in one["assetPositions"]]
            assert fold_sizes(fills) == {row["coin"]: Decimal(row["szi"]) for row in held}
            chain_holds(fills)
            assert wallet("", fills, funding, ledger) == raw_usd(state)
            assert wallet("flx", fills, funding, ledger) == raw_usd(builders, "USDH")
            assert wallet("spot", fills, funding, ledger) == {
                row["coin"]: Decimal(row["total"]) for row in spot if Decimal(row["total"])
            }

    async def test_a_page_is_2000_fills_and_the_next_begins_at_its_last_time(self, stage):
        stage.fund(1_000_000)
        for _ in range(1100):
            stage.trade("SOL", "buy", "1")
            stage.trade("SOL", "sell", "1")
            stage.exchange.now += 1
            stage.venue.simulation.maker.quote(stage.exchange)
        async with stage.client() as exchange:
            first = await exchange.fetch_my_trades(since=0)
            second = await exchange.fetch_my_trades(since=first[-1]["timestamp"])
            newest = await exchange.fetch_my_trades()
        assert len(first) == len(newest) == 2000
        every = {row["id"] for row in first} | {row["id"] for row in second}
        assert len(every) == stage.exchange.account(stage.user).totals.fills

    async def test_each_dex_has_its_own_state_and_collateral(self, stage):
        stage.fund()
        stage.fund(3_000, dex="flx")
        stage.trade("flx:CRCL", "buy", "5")
        async with stage.client() as exchange:
            await exchange.load_markets()
            assert await exchange.fetch_positions() == []
            (row,) = await exchange.fetch_positions(None, {"dex": "flx"})
            (fill,) = await exchange.fetch_my_trades()
        assert row["symbol"] == CRCL
        assert row["info"]["position"]["leverage"]["type"] == "isolated"
        assert fill["info"]["feeToken"] == "USDH"

    async def test_a_unified_account_keeps_its_money_in_the_spot_state(self, stage):
        stage.fund(2_500)
        stage.cause("abstraction", mode="unifiedAccount")
        stage.trade("SOL", "buy", "10")
        async with stage.client() as exchange:
            await exchange.load_markets()
            balance = await exchange.fetch_balance()
            (position,) = await exchange.fetch_positions()
            (fill,) = await exchange.fetch_my_trades()
        assert balance["USDC"]["total"] == 2500 - fill["fee"]["cost"]
        used = float(position["info"]["position"]["marginUsed"])
        assert balance["USDC"]["used"] == pytest.approx(used, abs=1e-6)

    async def test_an_unknown_address_is_an_empty_account_that_is_missing(self, stage):
        stranger = "0x" + "8" * 40
        async with stage.client(user=stranger) as exchange:
            assert await exchange.fetch_positions() == []
            assert (await exchange.fetch_balance())["USDC"]["total"] == 0
            assert await exchange.publicPostInfo({"type": "userRole", "user": stranger}) == {
                "role": "missing"
            }

    async def test_a_reading_client_signs_nothing(self, busy):
        user = busy.venue.simulation.traders[0].account.address
        async with busy.client(user=user) as exchange:
            await exchange.load_markets()
            await exchange.fetch_my_trades(since=0)
            await exchange.fetch_positions()
        assert {entry["path"] for entry in busy.venue.log} == {"/info"}

    async def test_ccxt_with_a_key_approves_its_builder_and_the_log_tells(self, stage):
        stage.fund()
        async with stage.client(signing=True) as exchange:
            await exchange.load_markets()
        sent = [entry["body"]["action"]["type"] for entry in stage.venue.log if entry["path"] == "/exchange"]
        assert "approveBuilderFee" in sent


def fold_sizes(fills):
    sizes = {}
    for row in fills:
        if row["dir"] in ("Buy", "Sell", "Spot Dust Conversion"):
            continue
        signed = Decimal(row["sz"]) * (1 if row["side"] == "B" else -1)
        sizes[row["coin"]] = sizes.get(row["coin"], Decimal(0)) + signed
    return {coin: size for coin, size in sizes.items() if size}


def chain_holds(fills):
    """Each fill begins where another in that coin ended; ccxt sorts those of one millisecond by trade id."""
    waiting = [row for row in fills if row["dir"] not in ("Buy", "Sell")]
    last = {}
    while waiting:
        now = waiting[0]["time"]
        row = next(
            one
            for one in waiting
            if one["time"] == now and Decimal(one["startPosition"]) == last.get(one["coin"], Decimal(0))
        )
        waiting.remove(row)
        signed = Decimal(row["sz"]) * (1 if row["side"] == "B" else -1)
        last[row["coin"]] = Decimal(row["startPosition"]) + signed


def raw_usd(state, token="USDC"):
    raw = Decimal(state["marginSummary"]["totalRawUsd"])
    return {token: raw} if raw else {}


TOKENS = {"PURR/USDC": "PURR", "@1": "HYPE", "@2": "UBTC"}


def dex_of(coin):
    return coin.partition(":")[0] if ":" in coin else ""


def wallet(name, fills, funding, ledger):
    """The cash legs of everything read, added up: USD of the perp wallet of a dex, or the spot tokens."""
    legs = {}
    collateral = "USDH" if name == "flx" else "USDC"

    def add(token, amount):
        legs[token] = legs.get(token, Decimal(0)) + amount

    for row in fills:
        spot = row["dir"] in ("Buy", "Sell")
        signed = Decimal(row["sz"]) * (1 if row["side"] == "B" else -1)
        if name != ("spot" if spot else dex_of(row["coin"])):
            continue
        add(collateral, -signed * Decimal(row["px"]))
        add(row["feeToken"], -Decimal(row["fee"]))
        if spot:
            add(TOKENS[row["coin"]], signed)
    for row in funding:
        if name == dex_of(row["delta"]["coin"]):
            add(collateral, Decimal(row["delta"]["usdc"]))
    for row in ledger:
        for where, token, amount in moved(row["delta"]):
            if where == name:
                add(token, amount)
    return {token: amount for token, amount in legs.items() if amount}


def moved(delta):
    """(wallet, token, signed amount) of a ledger row."""
    kind = delta["type"]
    amount = Decimal(delta.get("usdc") or delta.get("amount") or 0)
    if kind == "deposit":
        return [("", "USDC", amount)]
    if kind == "withdraw":
        return [("", "USDC", -amount - Decimal(delta["fee"]))]
    if kind == "accountClassTransfer":
        signed = amount if delta["toPerp"] else -amount
        return [("", "USDC", signed), ("spot", "USDC", -signed)]
    if kind == "spotTransfer":
        return [("spot", delta["token"], amount)]
    if kind == "send":
        return [
            (delta["sourceDex"], delta["token"], -amount),
            (delta["destinationDex"], delta["token"], amount),
        ]
    return []


class TestBadInputToTheSimulatedHyperliquid:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[1]",
            b"{",
            b'{"type": "nope"}',
            b'{"type": "clearinghouseState"}',
            b'{"type": "candleSnapshot"}',
        ],
    )
    async def test_is_refused_with_422_and_text(self, stage, body):
        status, kind, text = await asyncio.to_thread(post, stage.base, body)
        assert (status, kind) == (422, "text/plain")
        assert text == "Failed to deserialize the JSON body into the target type"

    async def test_an_unknown_dex_is_500_null(self, stage):
        body = '{"type": "metaAndAssetCtxs", "dex": "nope"}'
        assert await asyncio.to_thread(post, stage.base, body) == (500, "application/json", "null")

    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            '{"action": {"type": "order"}, "nonce": 1}',
            '{"action": {"type": "order"}, "nonce": 1, "signature": {"r": "0x1", "s": "0x2", "v": 3}}',
            '{"action": {"type": "steal"}, "nonce": 1, "signature": {}}',
        ],
    )
    async def test_an_unreadable_action_is_422(self, stage, body):
        assert (await asyncio.to_thread(post, stage.base, body, "/exchange"))[0] == 422
