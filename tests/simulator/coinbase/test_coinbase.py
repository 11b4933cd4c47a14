"""Judge: unmodified ccxt on the simulated Coinbase Advanced Trade."""

import asyncio
import base64
import json
import urllib.request
from collections import Counter
from decimal import Decimal
from itertools import pairwise

import aiohttp
import ccxt
import ccxt.async_support
import pytest
from aiohttp.test_utils import TestServer

from simulator.coinbase.server import Desk, application
from simulator.coinbase.simulation import SpotSimulation, customer_key
from simulator.engine.persistence import Keeper, load
from simulator.engine.simulation import Simulation
from simulator.hyperliquid.faults import BadFault
from simulator.wire import wall_clock
from tests.simulator.clients import post, simulator

BTC = "BTC/USD"


class Client:
    """ccxt with an API key, closed afterwards."""

    def __init__(self, base, key):
        self.exchange = ccxt.async_support.coinbase({"apiKey": key, "secret": "any"})
        self.exchange.urls["api"] = {"rest": base}
        self.exchange.enableRateLimit = False

    async def __aenter__(self):
        return self.exchange

    async def __aexit__(self, *_):
        await self.exchange.close()


class Stage:
    """A quiet desk and our customer."""

    key = "our-key"

    def __init__(self, desk, base):
        self.desk = desk
        self.exchange = desk.exchange
        self.base = base

    def client(self, key=None):
        return Client(self.base, key or self.key)

    def cause(self, kind, **spec):
        self.exchange.now += 1
        return self.desk.cause({"user": self.key, **spec, "kind": kind})

    def trade(self, side, size, coin="BTC-USD", **more):
        return self.cause("trade", coin=coin, side=side, size=str(size), **more)


async def staged(simulation):
    desk = Desk(simulation)
    async with TestServer(application(desk, allow_control=True, ticking=False)) as server:
        yield Stage(desk, str(server.make_url("")).rstrip("/"))


@pytest.fixture
async def stage():
    simulation = SpotSimulation(seed=4, now=wall_clock(), traders=0, speed=1)
    async for one in staged(simulation):
        one.cause("deposit", amount=50_000)
        yield one


@pytest.fixture
async def busy():
    simulation = SpotSimulation(seed=4, now=wall_clock() - 100_000, traders=3, speed=100)
    simulation.advance(wall_clock())
    async for one in staged(simulation):
        yield one


class TestMarketsOfTheSimulatedCoinbase:
    async def test_load_with_currencies_and_fees(self, stage):
        async with stage.client() as exchange:
            markets = await exchange.load_markets()
        assert set(markets) == {"BTC/USD", "BTC/USDC", "ETH/USD", "SOL/USD", "DOGE/USD"}
        assert (markets[BTC]["precision"]["amount"], markets[BTC]["precision"]["price"]) == (1e-8, 0.01)
        assert {"BTC", "USD", "USDC"} <= set(exchange.currencies)

    async def test_tickers_books_and_best_prices(self, stage):
        async with stage.client() as exchange:
            tickers = await exchange.fetch_tickers()
            one = await exchange.fetch_ticker(BTC)
            best = await exchange.fetch_bids_asks([BTC])
            book = await exchange.fetch_order_book(BTC)
        mark = stage.exchange.markets["BTC-USD"].mark
        assert Decimal(tickers[BTC]["info"]["price"]) == mark
        assert one["bid"] < float(mark) < one["ask"]
        assert best[BTC]["bid"] == book["bids"][0][0] == one["bid"]

    async def test_candles_are_whole_and_in_order(self, stage):
        async with stage.client() as exchange:
            candles = await exchange.fetch_ohlcv(BTC, "5m", limit=50)
        steps = Counter(later[0] - earlier[0] for earlier, later in pairwise(candles))
        assert steps == {300_000: len(candles) - 1}
        assert len(candles) >= 49

    async def test_the_same_seed_walks_bitcoin_as_the_simulated_hyperliquid_does(self):
        spot = SpotSimulation(seed=6, now=0, traders=0, speed=5)
        perps = Simulation(seed=6, now=0, traders=0, speed=5)
        spot.advance(30_000)
        perps.advance(30_000)
        here, there = spot.exchange.markets["BTC-USD"].oracle, perps.exchange.markets["BTC"].oracle
        assert abs(here / there - 1) < Decimal("0.0001")


class TestFillsOfTheSimulatedCoinbase:
    async def test_a_bought_coin_is_in_the_wallet_and_the_money_is_gone(self, stage):
        stage.trade("buy", "0.1", parts=3)
        async with stage.client() as exchange:
            fills = await exchange.fetch_my_trades()
            balance = await exchange.fetch_balance({"v3": True})
        spent = sum(Decimal(row["info"]["price"]) * Decimal(row["info"]["size"]) for row in fills)
        fees = sum(Decimal(row["info"]["commission"]) for row in fills)
        assert len(fills) == 3
        assert len({row["info"]["order_id"] for row in fills}) == 1
        assert balance["BTC"]["total"] == pytest.approx(0.1)
        wallets = {
            row["currency"]: Decimal(row["available_balance"]["value"]) for row in balance["info"]["accounts"]
        }
        assert wallets["USD"] == 50_000 - spent - fees
        assert fees == pytest.approx(spent * Decimal("0.006"), abs=Decimal("1e-9"))

    async def test_everything_read_adds_up_to_the_wallets(self, busy):
        for index in range(3):
            key = customer_key(index)
            async with busy.client(key) as exchange:
                rows = await every_fill(exchange)
                accounts = (await exchange.fetch_balance({"v3": True}))["info"]["accounts"]
            legs = dict(busy.exchange.customer(key).deposits)
            for row in rows:
                base, quote = row["product_id"].split("-")
                signed = Decimal(row["size"]) * (1 if row["side"] == "BUY" else -1)
                legs[base] = legs.get(base, Decimal(0)) + signed
                legs[quote] -= signed * Decimal(row["price"]) + Decimal(row["commission"])
            wallets = {one["currency"]: Decimal(one["available_balance"]["value"]) for one in accounts}
            assert len(rows) == busy.exchange.customer(key).count > 10
            assert wallets == {currency: amount for currency, amount in legs.items() if currency in wallets}
        assert busy.exchange.imbalance() == {}

    async def test_pages_are_newest_first_and_a_cursor_leads_on(self, stage):
        for _ in range(7):
            stage.trade("buy", "0.001")
        async with stage.client() as exchange:
            await exchange.load_markets()
            first = await exchange.v3_private_get_brokerage_orders_historical_fills({"limit": 3})
            second = await exchange.v3_private_get_brokerage_orders_historical_fills(
                {"limit": 3, "cursor": first["cursor"]}
            )
            last = await exchange.v3_private_get_brokerage_orders_historical_fills(
                {"limit": 3, "cursor": second["cursor"]}
            )
        times = [row["trade_time"] for page in (first, second, last) for row in page["fills"]]
        assert [len(page["fills"]) for page in (first, second, last)] == [3, 3, 1]
        assert times == sorted(times, reverse=True)
        assert last["cursor"] == ""

    async def test_a_window_includes_both_ends(self, stage):
        stage.trade("buy", "0.001")
        time = stage.exchange.now
        stage.trade("buy", "0.002")
        async with stage.client() as exchange:
            only = await exchange.fetch_my_trades(BTC, time, None, {"until": time})
        assert [row["amount"] for row in only] == [0.001]

    async def test_each_key_has_its_own_wallets(self, stage):
        stage.trade("buy", "0.01")
        async with stage.client("another-key") as exchange:
            assert await exchange.fetch_my_trades() == []
            assert (await exchange.fetch_balance({"v3": True}))["info"]["accounts"] == []

    async def test_a_coin_that_is_not_there_cannot_be_sold(self, stage):
        with pytest.raises(BadFault, match="INSUFFICIENT_FUND"):
            stage.trade("sell", "1")


class TestAccountsOfTheSimulatedCoinbase:
    async def test_are_paged(self, stage):
        stage.trade("buy", "0.01")
        stage.trade("buy", "0.1", coin="ETH-USD")
        async with stage.client() as exchange:
            await exchange.load_markets()
            first = await exchange.v3_private_get_brokerage_accounts({"limit": 2})
            second = await exchange.v3_private_get_brokerage_accounts({"limit": 2, "cursor": first["cursor"]})
            both = await exchange.fetch_balance({"v3": True})
        assert (first["has_next"], second["has_next"]) == (True, False)
        currencies = {row["currency"] for page in (first, second) for row in page["accounts"]}
        assert currencies == {"USD", "BTC", "ETH"} == set(both["total"])

    async def test_portfolios_and_permissions(self, stage):
        async with stage.client() as exchange:
            (portfolio,) = await exchange.fetch_portfolios()
            granted = await exchange.v3_private_get_brokerage_key_permissions()
        assert portfolio["id"] == granted["portfolio_uuid"]
        assert (granted["can_view"], granted["can_trade"], granted["can_transfer"]) == (True, False, False)

    async def test_transfers_are_the_wallets_ledger(self, stage):
        stage.cause("deposit", token="USDC", amount="250")
        stage.cause("withdraw", token="USDC", amount="100")
        async with stage.client() as exchange:
            ledger = await exchange.fetch_ledger("USDC")
            moved = await exchange.fetch_deposits_withdrawals("USDC")
            fiat = await exchange.fetch_ledger("USD")
        assert sorted(row["amount"] for row in ledger) == [100, 250]
        assert {row["direction"] for row in ledger} == {"in", "out"}
        # A trap of ccxt 4.5.90: it reads the sign from transaction_amount, which is never negative.
        assert {row["type"] for row in moved} == {"deposit"}
        assert {row["info"]["amount"]["amount"] for row in moved} == {"250", "-100"}
        assert [row["info"]["type"] for row in fiat] == ["fiat_deposit"]

    async def test_nobody_is_answered_without_a_key(self, stage):
        async with aiohttp.ClientSession(stage.base) as session:
            for path in ("/api/v3/brokerage/accounts", "/api/v3/brokerage/orders/historical/fills"):
                assert (await session.get(path)).status == 401
            products = await session.get("/api/v3/brokerage/market/products")
            assert (await products.json())["num_products"] == 5

    async def test_a_token_names_its_key_unverified(self, stage):
        claims = base64.urlsafe_b64encode(json.dumps({"sub": stage.key}).encode()).decode().rstrip("=")
        headers = {"Authorization": f"Bearer e30.{claims}.c2ln"}
        stage.trade("buy", "0.01")
        async with aiohttp.ClientSession(stage.base, headers=headers) as session:
            answer = await (await session.get("/api/v3/brokerage/orders/historical/fills")).json()
        assert len(answer["fills"]) == 1


class TestRecordedShapes:
    """Fields are those of recorded answers and of ccxt's examples, no more and no less."""

    FILL = {
        "trade_type", "liquidity_indicator", "size_in_quote", "user_id", "entry_id", "trade_id", "order_id",
        "trade_time", "price", "size", "commission", "product_id", "sequence_timestamp", "side",
    }  # fmt: skip
    ACCOUNT = {
        "uuid", "name", "currency", "available_balance", "default", "active", "created_at", "updated_at",
        "deleted_at", "type", "ready", "hold",
    }  # fmt: skip

    async def test_are_those_of_fills_and_accounts(self, stage):
        stage.trade("buy", "0.01")
        async with aiohttp.ClientSession(stage.base, headers={"CB-ACCESS-KEY": stage.key}) as session:
            fills = await (await session.get("/api/v3/brokerage/orders/historical/fills")).json()
            accounts = await (await session.get("/api/v3/brokerage/accounts")).json()
        assert set(fills["fills"][0]) == self.FILL
        assert set(accounts["accounts"][0]) == self.ACCOUNT
        assert set(accounts) == {"accounts", "has_next", "cursor", "size"}


class TestBadInputToTheSimulatedCoinbase:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/api/v3/brokerage/market/products/NO-PE/ticker", 404),
            ("/api/v3/brokerage/market/products/BTC-USD/candles", 400),
            (
                "/api/v3/brokerage/market/products/BTC-USD/candles?granularity=ONE_MINUTE&start=0&end=999999",
                400,
            ),
            ("/api/v3/brokerage/orders/historical/fills?limit=none", 400),
            ("/api/v3/brokerage/orders/historical/fills?start_sequence_timestamp=noon", 400),
            ("/api/v3/brokerage/orders/historical/fills?cursor=there", 400),
            ("/v2/accounts/no-such/transactions", 404),
            ("/api/v3/brokerage/no/such/path", 404),
        ],
    )
    async def test_is_refused(self, stage, path, status):
        async with aiohttp.ClientSession(stage.base, headers={"CB-ACCESS-KEY": stage.key}) as session:
            assert (await session.get(path)).status == status


class TestFaultsOfTheSimulatedCoinbase:
    @pytest.mark.parametrize(
        ("status", "error"),
        [(429, ccxt.RateLimitExceeded), (500, ccxt.ExchangeNotAvailable), (502, ccxt.ExchangeError)],
    )
    async def test_a_status(self, stage, status, error):
        async with stage.client() as exchange:
            await exchange.load_markets()
            stage.cause("status", status=status, type="accounts", times=1)
            with pytest.raises((error, ccxt.ExchangeNotAvailable)):
                await exchange.fetch_balance({"v3": True})
            await exchange.fetch_balance({"v3": True})

    async def test_withheld_and_repeated_fills(self, stage):
        stage.cause("withhold")
        stage.trade("buy", "0.01")
        async with stage.client() as exchange:
            assert await exchange.fetch_my_trades() == []
            assert (await exchange.fetch_balance({"v3": True}))["BTC"]["total"] == 0.01
            stage.cause("release")
            stage.exchange.step(now=stage.exchange.now, minutes=0.001, regime="calm")
            assert len(await exchange.fetch_my_trades()) == 1
            stage.cause("repeat_fill")
            assert len({row["id"] for row in await exchange.fetch_my_trades()}) == 2

    async def test_page_and_history_are_cut(self, stage):
        for _ in range(5):
            stage.trade("buy", "0.001")
        async with stage.client() as exchange:
            stage.cause("page_cut", rows=2)
            assert len(await exchange.fetch_my_trades()) == 2
            stage.desk.faults.clear()
            stage.cause("history_cut", rows=3)
            assert len(await exchange.fetch_my_trades()) == 3

    async def test_control_over_http(self, stage):
        stage.trade("buy", "0.01")
        async with aiohttp.ClientSession(stage.base) as session:
            truth = await (await session.get(f"/sim/truth?user={stage.key}")).json()
            assert (truth["fills"], truth["wallets"]["BTC"]) == (1, "0.01")
            assert (await session.get("/sim/truth?user=nobody")).status == 404
            assert await (await session.get("/sim/balance")).json() == {}
            assert (await session.post("/sim/faults", json={"kind": "explode"})).status == 400
            await session.post("/sim/faults", json={"kind": "empty", "type": "fills"})
            assert len(await (await session.get("/sim/faults")).json()) == 1
            await session.delete("/sim/faults")
            assert await (await session.get("/sim/log")).json() == []


class TestAProcess:
    def test_hides_its_control_and_keeps_its_past(self, tmp_path):
        options = (
            "--venue",
            "coinbase",
            "--speed",
            "200",
            "--state",
            str(tmp_path / "state"),
            "--allow-control",
        )
        with simulator(*options) as (base, _):
            first = truth(base)
            while first["fills"] < 3:
                first = truth(base)
        with simulator(*options) as (base, _):
            assert truth(base)["fills"] >= first["fills"]
        with simulator("--venue", "coinbase") as (base, _):
            assert post(base, "{}", "/sim/faults")[0] == 404

    def test_tells_the_same_history_to_the_same_seed(self, tmp_path):
        first, second = (SpotSimulation(seed=5, now=0, traders=3, speed=100) for _ in range(2))
        first.advance(20_000)
        Keeper(first, tmp_path / "state").save()
        first.advance(40_000)
        second.advance(40_000)
        stories = [[list(one.customer.fills) for one in run.traders] for run in (first, second)]
        first.archive.close()
        kept = load(tmp_path / "state", SpotSimulation, now=40_000)
        stories.append([list(one.customer.fills) for one in kept.traders])
        assert stories[0] == stories[1] == stories[2]
        assert sum(map(len, stories[0])) > 5


def truth(base):
    with urllib.request.urlopen(f"{base}/sim/truth?user={customer_key(0)}", timeout=5) as reply:
        return json.loads(reply.read())


async def every_fill(exchange):
    """All raw fills by cursor, as pages come."""
    rows, cursor = [], None
    await exchange.load_markets()
    while cursor != "":
        query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
        page = await exchange.v3_private_get_brokerage_orders_historical_fills(query)
        rows += page["fills"]
        cursor = page["cursor"]
        await asyncio.sleep(0)
    return rows
