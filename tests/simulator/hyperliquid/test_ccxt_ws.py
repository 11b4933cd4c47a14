"""Judge: unmodified ccxt.pro over WebSocket."""

import asyncio
import contextlib
from decimal import Decimal

import aiohttp
import ccxt
import pytest

BTC = "BTC/USDC:USDC"


async def soon(awaitable, seconds=60):
    return await asyncio.wait_for(awaitable, seconds)


@contextlib.asynccontextmanager
async def ticking(stage):
    """The venue's own loop runs, as in production."""
    task = asyncio.create_task(stage.venue.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class TestMyTradesThroughCcxtsSocket:
    async def test_the_snapshot_then_each_fill(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        async with stage.client(pro=True) as exchange:
            first = await soon(exchange.watch_my_trades())
            assert [row["amount"] for row in first] == [0.01]
            waiting = asyncio.create_task(exchange.watch_my_trades())
            await asyncio.sleep(0.1)
            stage.trade("BTC", "sell", "0.004")
            second = await soon(waiting)
        assert second[-1]["amount"] == 0.004
        assert second[-1]["info"]["dir"] == "Close Long"

    async def test_an_empty_snapshot_resolves_nothing(self, stage):
        stage.fund()
        async with stage.client(pro=True) as exchange:
            with pytest.raises(TimeoutError):
                await soon(exchange.watch_my_trades(), 0.5)

    async def test_a_liquidation_is_a_fill_that_says_so(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.1")
        async with stage.client(pro=True) as exchange:
            await soon(exchange.watch_my_trades())
            waiting = asyncio.create_task(exchange.watch_my_trades())
            await asyncio.sleep(0.1)
            stage.cause("liquidate", coin="BTC", share="0.4")
            rows = await soon(waiting)
        note = rows[-1]["info"]["liquidation"]
        assert note["liquidatedUser"] == stage.user
        assert sum(Decimal(row["info"]["sz"]) for row in rows if "liquidation" in row["info"]) == Decimal(
            "0.04"
        )


class TestStateThroughCcxtsSocket:
    async def test_positions_and_balance_share_one_subscription_that_repeats(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        async with ticking(stage), stage.client(pro=True) as exchange:
            (position,) = await soon(exchange.watch_positions())
            balance = await soon(exchange.watch_balance())
        assert position["contracts"] == 0.01
        assert balance["USDC"]["total"] == pytest.approx(float(stage.equity()), abs=5)

    async def test_a_closed_position_is_absent(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        async with ticking(stage), stage.client(pro=True) as exchange:
            await soon(exchange.watch_positions())
            stage.trade("BTC", "sell", "0.01")
            rows = None
            for _ in range(40):
                rows = await soon(exchange.watch_positions())
                if not rows:
                    break
        assert rows == []

    async def test_tickers_follow_the_mids(self, stage):
        async with ticking(stage), stage.client(pro=True) as exchange:
            await exchange.load_markets()
            first = (await soon(exchange.watch_tickers([BTC])))[BTC]["last"]
            stage.cause("price", coin="BTC", price=99_000, hold=True)
            last = first
            for _ in range(60):
                last = (await soon(exchange.watch_tickers([BTC])))[BTC]["last"]
                if last > 98_900:
                    break
        assert first < 98_000 < 98_900 < last

    async def test_a_ticker_carries_the_mark(self, stage):
        async with ticking(stage), stage.client(pro=True) as exchange:
            ticker = await soon(exchange.watch_ticker(BTC))
        assert Decimal(ticker["info"]["markPx"]) == stage.exchange.markets["BTC"].mark

    async def test_trades_book_and_candles(self, stage):
        stage.fund()
        async with ticking(stage), stage.client(pro=True) as exchange:
            book = await soon(exchange.watch_order_book(BTC))
            candle = await soon(exchange.watch_ohlcv(BTC, "1m"))
            waiting = asyncio.create_task(exchange.watch_trades(BTC))
            await asyncio.sleep(0.2)
            stage.trade("BTC", "buy", "0.02")
            trades = await soon(waiting)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(candle[-1]) == 6
        assert trades[-1]["amount"] == 0.02


class TestOrdersThroughCcxtsSocket:
    async def test_updates_tell_open_and_cancelled(self, stage):
        stage.fund()
        async with stage.client(pro=True) as exchange:
            waiting, ids = asyncio.create_task(exchange.watch_orders()), set()
            while not waiting.done():  # an order from before the subscription is told to nobody
                order = stage.trade("BTC", "buy", "0.01", price="90000")
                ids.add(str(order["resting"]["oid"]))
                await asyncio.wait({waiting}, timeout=0.5)
            rows = await soon(waiting)
        assert {row["status"] for row in rows} == {"open"}
        assert {row["id"] for row in rows} <= ids

    async def test_an_order_goes_over_the_socket(self, stage):
        stage.fund()
        async with stage.client(pro=True, signing=True) as exchange:

            async def nothing():
                return True

            exchange.initialize_client = nothing
            order = await soon(exchange.create_order_ws(BTC, "limit", "buy", 0.01, 90_000))
            assert order["info"]["resting"]
            await soon(exchange.cancel_order_ws(order["id"], BTC))
            assert await exchange.fetch_open_orders() == []


class TestTheConnectionOfCcxtsSocket:
    async def test_two_users_on_two_instances_see_only_their_own(self, stage):
        other = "0x" + "6" * 40
        stage.fund()
        stage.fund(user=other)
        stage.trade("BTC", "buy", "0.01")
        stage.trade("BTC", "sell", "0.02", user=other)
        async with stage.client(pro=True) as mine, stage.client(pro=True, user=other) as theirs:
            rows = await soon(mine.watch_my_trades()), await soon(theirs.watch_my_trades())
        assert [[row["amount"] for row in own] for own in rows] == [[0.01], [0.02]]

    async def test_a_cut_raises_and_the_next_watch_replays_the_snapshot(self, stage):
        stage.fund()
        stage.trade("BTC", "buy", "0.01")
        async with stage.client(pro=True) as exchange:
            await soon(exchange.watch_my_trades())
            waiting = asyncio.create_task(exchange.watch_my_trades())
            await asyncio.sleep(0.1)
            stage.cause("cut", hard=True)
            with pytest.raises(ccxt.NetworkError):
                await soon(waiting)
            stage.trade("BTC", "buy", "0.02")
            rows = await soon(exchange.watch_my_trades())
        assert {row["amount"] for row in rows} == {0.01, 0.02}

    async def test_an_error_frame_answers_what_cannot_be_read(self, stage):
        async with aiohttp.ClientSession() as session, session.ws_connect(stage.base + "/ws") as socket:
            for message in (
                "{",
                "[]",
                '{"method": "subscribe"}',
                '{"method": "subscribe", "subscription": {"type": "x"}}',
            ):
                await socket.send_str(message)
                reply = await soon(socket.receive_json())
                assert reply["channel"] == "error"
                assert reply["data"].startswith("Error parsing JSON into valid websocket request")
            wanted = {"method": "subscribe", "subscription": {"type": "userFills", "user": stage.user}}
            await socket.send_json(wanted)
            assert (await soon(socket.receive_json()))["data"] == wanted
            assert (await soon(socket.receive_json()))["data"]["isSnapshot"] is True
            await socket.send_json(wanted)
            assert (await soon(socket.receive_json()))["data"].startswith("Already subscribed")
            await socket.send_json({"method": "ping"})
            assert await soon(socket.receive_json()) == {"channel": "pong"}
            await socket.send_json(wanted | {"method": "unsubscribe"})
            assert (await soon(socket.receive_json()))["data"]["method"] == "unsubscribe"
