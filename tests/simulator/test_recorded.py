"""Unmodified ccxt reads a recorded trader as it reads Hyperliquid."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from decimal import Decimal

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from simulator.recorded import application
from simulator.recorded_venue import RecordedVenue
from simulator.recording import Anchor, Replay, Schedule, load_recording

from .clients import connected, free_port, post, simulator

RECORDING = load_recording()
ROWS = len(RECORDING.fills)
NOON = 1_760_000_000_000
END = NOON + 1500 * ROWS
STRANGER = "0x" + "9" * 40


class Clock:
    """Time that stands still until it is moved (ms)."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
async def venue():
    """A replay at rest, half way; yields (base URL, clock)."""
    clock = Clock(NOON + 1500 * 200)
    replay = Replay(RECORDING, Schedule((Anchor(0, NOON + 1500, 1500),)))
    async with TestServer(application(RecordedVenue(replay, clock))) as server:
        yield str(server.make_url("")).rstrip("/"), clock


@pytest.fixture(scope="module")
def server():
    """The recorded venue in a process of its own, at full speed."""
    with simulator("--venue", "recorded", "--pace", "0.001") as (base, _):
        yield base


class TestCcxtOnTheRecordedVenue:
    async def test_loads_the_market(self, venue):
        async with connected(venue[0], user=RECORDING.user) as exchange:
            markets = await exchange.load_markets()
            assert list(markets) == ["BTC/USDC:USDC"]
            assert markets["BTC/USDC:USDC"]["precision"]["amount"] == 0.00001

    async def test_reads_every_fill_once_and_their_sum_is_the_exchanges_own(self, venue):
        base, clock = venue
        clock.now = END
        async with connected(base, user=RECORDING.user) as exchange:
            trades = await exchange.fetch_my_trades(since=NOON)
            assert len(trades) == ROWS
            assert len({trade["id"] for trade in trades}) == ROWS
            assert [trade["timestamp"] for trade in trades] == [NOON + 1500 * (i + 1) for i in range(ROWS)]
            closed = sum(Decimal(trade["info"]["closedPnl"]) for trade in trades)
            assert closed == sum(fill.closed_pnl for fill in RECORDING.fills) == Decimal("-9952.699280")

    async def test_reads_only_what_has_been_released(self, venue):
        base, clock = venue
        async with connected(base, user=RECORDING.user) as exchange:
            assert len(await exchange.fetch_my_trades(since=NOON)) == 200
            since = NOON + 1500 * 200
            assert len(await exchange.fetch_my_trades(since=since)) == 1
            clock.now += 4500
            assert len(await exchange.fetch_my_trades(since=since)) == 4

    async def test_reads_the_position_that_the_fills_make(self, venue):
        base, clock = venue
        async with connected(base, user=RECORDING.user) as exchange:
            for index in (0, 57, 199, 244, 300, 446):
                clock.now = NOON + 1500 * (index + 1)
                (row,) = await exchange.fetch_positions()
                size = RECORDING.fills[index].start_position + RECORDING.fills[index].signed
                assert row["symbol"] == "BTC/USDC:USDC"
                assert Decimal(row["info"]["position"]["szi"]) == size
                assert row["side"] == ("long" if size > 0 else "short")
                assert row["leverage"] == 20
                assert row["marginMode"] == "cross"

    async def test_reads_a_flat_account_at_the_end(self, venue):
        base, clock = venue
        clock.now = END
        async with connected(base, user=RECORDING.user) as exchange:
            assert await exchange.fetch_positions() == []

    async def test_reads_the_balance(self, venue):
        async with connected(venue[0], user=RECORDING.user) as exchange:
            balance = await exchange.fetch_balance()
            state = balance["info"]
            holding = state["assetPositions"][0]["position"]
            value = Decimal(state["marginSummary"]["accountValue"])
            notional = Decimal(holding["positionValue"]) * (1 if Decimal(holding["szi"]) > 0 else -1)
            assert value == Decimal(state["marginSummary"]["totalRawUsd"]) + notional
            assert balance["USDC"]["total"] == float(value)
            assert (await exchange.fetch_balance({"type": "spot"}))["info"]["balances"] == []

    async def test_reads_a_mark_that_the_position_is_valued_at(self, venue):
        async with connected(venue[0], user=RECORDING.user) as exchange:
            ticker = (await exchange.fetch_tickers())["BTC/USDC:USDC"]
            (row,) = await exchange.fetch_positions()
            position = row["info"]["position"]
            mark = Decimal(ticker["info"]["markPx"])
            assert Decimal(position["positionValue"]) == abs(Decimal(position["szi"])) * mark

    async def test_reads_one_deposit_and_no_funding(self, venue):
        async with connected(venue[0], user=RECORDING.user) as exchange:
            (row,) = await exchange.fetch_ledger(since=0)
            assert row["amount"] == 1_000_000
            assert await exchange.fetch_funding_history(since=NOON) == []

    async def test_sees_an_empty_account_at_an_unknown_address(self, venue):
        async with connected(venue[0], user=STRANGER) as exchange:
            assert await exchange.fetch_positions() == []
            assert await exchange.fetch_my_trades(since=NOON) == []
            assert (await exchange.fetch_balance())["USDC"]["total"] == 0
            assert await exchange.publicPostInfo({"type": "userRole", "user": STRANGER}) == {
                "role": "missing"
            }


class TestStreamsOfTheRecordedVenue:
    """ccxt.pro on the same server."""

    async def test_tell_the_snapshot_and_then_each_fill(self, venue):
        base, clock = venue
        async with connected(base, user=RECORDING.user, pro=True) as exchange:
            first = await asyncio.wait_for(exchange.watch_my_trades(), 60)
            waiting = asyncio.create_task(exchange.watch_my_trades())
            await asyncio.sleep(0.2)
            clock.now += 3000
            after = await asyncio.wait_for(waiting, 60)
        assert len(first) == 200
        assert [row["timestamp"] for row in after][-2:] == [NOON + 1500 * 201, NOON + 1500 * 202]

    async def test_repeat_the_position_the_balance_and_the_mids(self, venue):
        async with connected(venue[0], user=RECORDING.user, pro=True) as exchange:
            (position,) = await asyncio.wait_for(exchange.watch_positions(), 60)
            balance = await asyncio.wait_for(exchange.watch_balance(), 60)
            tickers = await asyncio.wait_for(exchange.watch_tickers(), 60)
        assert Decimal(position["info"]["position"]["szi"]) == RECORDING.fills[200].start_position
        assert balance["USDC"]["total"] > 900_000
        assert "BTC/USDC:USDC" in tickers

    async def test_refuse_what_was_not_recorded(self, venue):
        async with aiohttp.ClientSession() as session, session.ws_connect(venue[0] + "/ws") as socket:
            for wanted in ({"type": "l2Book", "coin": "BTC"}, {"type": "activeAssetCtx", "coin": "ETH"}):
                await socket.send_json({"method": "subscribe", "subscription": wanted})
                assert (await asyncio.wait_for(socket.receive_json(), 60))["channel"] == "error"
            request = {"type": "info", "payload": {"type": "allMids"}}
            await socket.send_json({"method": "post", "id": 1, "request": request})
            answer = (await asyncio.wait_for(socket.receive_json(), 60))["data"]
        assert set(answer["response"]["payload"]["data"]) == {"BTC"}


class TestAServerProcess:
    def test_tells_the_same_past_after_a_restart(self, tmp_path):
        options = ("--pace", "0.02", "--state", str(tmp_path / "state.json"))
        body = json.dumps({"type": "userFills", "user": RECORDING.user})
        module = "simulator.recorded"
        with simulator(*options, module=module) as (base, _):
            first = []
            while len(first) < 5:
                first = json.loads(post(base, body)[2])
        with simulator(*options, module=module) as (base, _):
            second = json.loads(post(base, body)[2])
        assert len(second) > len(first)
        assert second[-len(first) :] == first

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"\xff",
            b'"meta"',
            b"{}",
            b'{"type": 7}',
            b'{"type": "noSuchThing"}',
            b'{"type": "clearinghouseState"}',
            b'{"type": "clearinghouseState", "user": "0x12"}',
            b'{"type": "clearinghouseState", "user": "0x' + b"9" * 40 + b'", "dex": "nope"}',
            b'{"type": "userFillsByTime", "user": "0x' + b"9" * 40 + b'"}',
            b'{"type": "userFunding", "user": "0x' + b"9" * 40 + b'", "startTime": "noon"}',
        ],
    )
    def test_refuses_what_it_cannot_read_as_the_venue_does(self, body, server):
        status, kind, text = post(server, body)
        assert (status, kind) == (422, "text/plain")
        assert text == "Failed to deserialize the JSON body into the target type"

    def test_tells_the_truth_to_those_who_ask_by_address(self, server):
        with urllib.request.urlopen(f"{server}/sim/truth?user={RECORDING.user}", timeout=5) as reply:
            truth = json.loads(reply.read())
        assert truth["rows"] == ROWS
        assert Decimal(truth["closed_pnl"]) == sum(Decimal(row["closedPnl"]) for row in truth["fills"])

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [(["--pace", "0"], "--pace"), (["--state", "STATE"], "bin/demo --reset")],
    )
    def test_ends_with_one_line_when_told_nonsense(self, options, complaint, tmp_path):
        damaged = tmp_path / "state.json"
        damaged.write_text("{")
        options = [str(damaged) if option == "STATE" else option for option in options]
        command = [sys.executable, "-m", "simulator.recorded", "--port", str(free_port())]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=10)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert len(done.stderr.splitlines()) == 1
