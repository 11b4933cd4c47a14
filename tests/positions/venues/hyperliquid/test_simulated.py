"""Our Hyperliquid against a local one that speaks its protocol, through unmodified ccxt, faults included."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestServer

from positions.book.entries import Cause, Kind, Side
from positions.venues.base import (
    AccountConfig,
    AccountUpdate,
    Corrupt,
    Denied,
    Environment,
    Method,
    PriceUpdate,
    RateLimited,
    StreamLoss,
    StreamStart,
    Transient,
)
from positions.venues.hyperliquid.adapter import Hyperliquid
from positions.venues.instruments.catalog import catalogs
from positions.venues.transport.client import Retries
from positions.venues.transport.local_ports import ports
from simulator.engine.simulation import Simulation
from simulator.hyperliquid.server import application
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock

USER = "0x" + "ab" * 20
STRANGER = "0x" + "cd" * 20
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# Only so that a failure ends: everything here takes milliseconds.
PATIENCE = 60
IMPATIENT = Retries(attempts=2, deadline=timedelta(seconds=90), first_wait=timedelta(milliseconds=1))


class Stage:
    """The simulated venue, and our adapter for one of its users."""

    def __init__(self, venue: Venue, base: str) -> None:
        self.venue = venue
        self.base = base
        self.opened: list[Hyperliquid] = []

    def cause(self, kind: str, **spec: object) -> None:
        self.venue.set_clock()
        self.venue.cause({"user": USER, **spec, "kind": kind})

    def fail(self, kind: str, **spec: object) -> None:
        """A fault of whoever asks."""
        self.cause(kind, user=None, **spec)

    def trade(self, coin: str, side: str, size: str) -> None:
        self.cause("trade", coin=coin, side=side, size=size)

    def adapter(self, address: str = USER) -> Hyperliquid:
        config = AccountConfig(
            account="1",
            venue="hyperliquid",
            environment=Environment.SIMULATED,
            address=address,
            base_url=self.base,
            timeout=timedelta(seconds=30),
        )
        adapter = Hyperliquid(config, ports())
        adapter.client.retries = IMPATIENT
        self.opened.append(adapter)
        return adapter


@pytest.fixture
async def stage():
    """A quiet venue: market makers, no background traders, prices that stand still; our user has
    10 000 USDC.
    """
    catalogs.forget()
    simulation = Simulation(seed=11, now=wall_clock(), traders=0)
    for market in simulation.exchange.markets.values():
        market.frozen = True
    venue = Venue(simulation)
    server = TestServer(application(venue, allow_control=True))
    # A request that hangs on purpose must not hold the end of its test up.
    await server.start_server(shutdown_timeout=0.1)
    try:
        found = Stage(venue, str(server.make_url("")).rstrip("/"))
        found.cause("deposit", amount=10_000)
        yield found
        for adapter in found.opened:
            await adapter.close()
    finally:
        await server.close()


class TestAReportOfTheSimulatedHyperliquid:
    async def test_shows_what_is_held_and_proves_the_rest_flat(self, stage: Stage) -> None:
        stage.trade("ETH", "buy", "2")
        report = await stage.adapter().report()

        assert [(row.venue_symbol, row.quantity) for row in report.positions] == [("ETH", Decimal(2))]
        assert report.complete
        assert report.as_of_source == "venue"
        assert report.observed("BTC", scope="")
        assert report.observed("flx:CRCL", scope="flx")

    async def test_cash_is_account_value_less_unrealized_profit(self, stage: Stage) -> None:
        stage.trade("ETH", "buy", "2")
        adapter = stage.adapter()
        report, batch = await adapter.report(), await adapter.entries(since=LONG_AGO)

        fees = sum((entry.fee for entry in batch.entries if entry.fee is not None), Decimal(0))
        perp = next(row for row in report.balances if row.wallet == "perp")
        assert perp.total is not None
        assert abs(perp.total - (10_000 - fees)) <= Decimal("0.00001")

    async def test_past_values_are_what_the_account_was_worth(self, stage: Stage) -> None:
        stage.trade("ETH", "buy", "2")
        stage.venue.info.values.sampled_at = 0
        stage.venue.info.values.sample()
        adapter = stage.adapter()
        (value, *older) = reversed(await adapter.account_values())
        report = await adapter.report()
        cash = next(row.total for row in report.balances if row.wallet == "perp")
        unrealized = sum((row.unrealized_pnl or Decimal(0) for row in report.positions), Decimal(0))
        assert cash is not None
        assert abs(value.value - cash - unrealized) <= Decimal("0.01")
        assert (value.covers, [one for one in older if one.time >= value.time]) == ("all", [])

    async def test_an_address_without_an_account_is_denied(self, stage: Stage) -> None:
        with pytest.raises(Denied, match="no account at"):
            await stage.adapter(STRANGER).report()

    async def test_an_empty_answer_of_a_known_account_is_flat(self, stage: Stage) -> None:
        stage.cause("withdraw", amount=9_000)
        report = await stage.adapter().report()
        assert report.positions == ()
        assert report.complete

    async def test_sends_nothing_but_questions(self, stage: Stage) -> None:
        await stage.adapter().report()
        assert {entry["path"] for entry in stage.venue.log} == {"/info"}


class TestEntriesOfTheSimulatedHyperliquid:
    async def test_are_the_fills_and_the_deposit(self, stage: Stage) -> None:
        stage.trade("ETH", "buy", "2")
        stage.trade("ETH", "sell", "0.5")
        batch = await stage.adapter().entries(since=LONG_AGO)

        fills = [entry for entry in batch.entries if entry.kind is Kind.FILL]
        signed = [
            entry.quantity if entry.side is Side.BUY else -entry.quantity for entry in fills if entry.quantity
        ]
        assert sum(signed) == Decimal("1.5")
        assert [entry.amount for entry in batch.entries if entry.cause is Cause.DEPOSIT] == [Decimal(10_000)]
        assert batch.complete
        assert batch.covered is not None
        assert batch.covered[0] == LONG_AGO

    async def test_all_come_even_when_pages_are_cut_short(self, stage: Stage) -> None:
        for _ in range(7):
            stage.trade("ETH", "buy", "0.1")
            await asyncio.sleep(0.002)
        stage.cause("page_cut", rows=2)
        batch = await stage.adapter().entries(since=LONG_AGO, methods=[Method.FILLS])

        total = sum(entry.quantity for entry in batch.entries if entry.quantity is not None)
        assert total == Decimal("0.7")
        assert len({entry.venue_ref for entry in batch.entries}) == len(batch.entries)

    async def test_of_an_account_that_never_stops_trading_end_where_we_asked(self, stage: Stage) -> None:
        adapter, asked = stage.adapter(), 0
        await adapter.instruments()
        ask = adapter._list

        async def trading_meanwhile(*args, **fields):
            nonlocal asked
            asked += 1
            stage.trade("ETH", "buy", "0.1")
            return await ask(*args, **fields)

        adapter._list = trading_meanwhile
        first = await adapter.entries(since=LONG_AGO, methods=[Method.FILLS])
        assert asked == 1, "each question brings news: there is no last page"
        assert first.covered is not None
        assert first.covered[1] < first.entries[-1].time, "what follows the last fill was not asked"

        adapter._list = ask
        await asyncio.sleep(0.01)
        rest = await adapter.entries(since=first.covered[1], methods=[Method.FILLS])
        assert first.entries[-1].venue_ref in {entry.venue_ref for entry in rest.entries}

    async def test_say_a_liquidation_apart(self, stage: Stage) -> None:
        stage.trade("ETH", "buy", "2")
        stage.cause("liquidate", coin="ETH")
        batch = await stage.adapter().entries(since=LONG_AGO, methods=[Method.FILLS])
        assert Cause.LIQUIDATION in {entry.cause for entry in batch.entries}


class TestErrorsOfTheSimulatedHyperliquid:
    async def test_a_gateway_page_is_tried_again(self, stage: Stage) -> None:
        adapter = stage.adapter()
        await adapter.report()
        stage.fail("status", status=502, times=1, type="allMids")
        assert await adapter.marks()

    async def test_a_gateway_that_stays_down_is_transient(self, stage: Stage) -> None:
        stage.fail("status", status=502, type="allMids")
        with pytest.raises(Transient) as failure:
            await stage.adapter().marks()
        assert failure.value.payload is not None

    async def test_too_many_requests_says_for_how_long(self, stage: Stage) -> None:
        stage.fail("status", status=429, type="allMids")
        adapter = stage.adapter()
        adapter.client.retries = Retries(attempts=1)
        with pytest.raises(RateLimited) as failure:
            await adapter.marks()
        assert failure.value.for_ > timedelta(0)

    async def test_a_truncated_answer_is_corrupt_and_kept(self, stage: Stage) -> None:
        stage.fail("truncate", type="allMids")
        with pytest.raises(Corrupt) as failure:
            await stage.adapter().marks()
        assert failure.value.payload

    async def test_a_silent_server_is_transient(self, stage: Stage) -> None:
        stage.fail("timeout", type="allMids")
        adapter = stage.adapter()
        adapter.client.exchange.timeout = 300
        with pytest.raises(Transient):
            await adapter.marks()


class Watched:
    """What a stream brought, collected in the background until the block ends."""

    def __init__(self, adapter: Hyperliquid) -> None:
        self.events: list[object] = []
        self._adapter = adapter

    async def __aenter__(self) -> Watched:
        self._task = asyncio.create_task(self._collect())
        await self.until(lambda: self.of(StreamStart), "connected")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        ended, _ = await asyncio.wait([self._task], timeout=PATIENCE)
        assert ended, "the stream was told to stop, and goes on"

    async def _collect(self) -> None:
        async for event in self._adapter.watch():
            self.events.append(event)

    async def until(self, found: Callable[[], object], what: str) -> None:
        """Wait for something to be among the events; says what there is instead."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not found():
                    if self._task.done():
                        self._task.result()
                        pytest.fail(f"the stream ended: {self}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"not {what} within {PATIENCE} s: {self}")

    def __str__(self) -> str:
        kinds = Counter(type(event).__name__ for event in self.events)
        return f"{dict(kinds)}, lost: {[lost.reason for lost in self.of(StreamLoss)]}, {sorted(self.refs())}"

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def refs(self) -> set[str]:
        return {entry.venue_ref for event in self.of(AccountUpdate) for entry in event.entries}

    def has_fill(self) -> bool:
        return any(":fill:ETH:" in ref for ref in self.refs())


class TestWatchingTheSimulatedHyperliquid:
    async def test_brings_fills_state_and_prices_as_they_come(self, stage: Stage) -> None:
        async with Watched(stage.adapter()) as watched:
            stage.trade("ETH", "buy", "1")
            await watched.until(watched.has_fill, "a fill")
            await watched.until(
                lambda: any(
                    change.report and change.report.positions for change in watched.of(AccountUpdate)
                ),
                "a position",
            )
            await watched.until(lambda: watched.of(PriceUpdate), "prices")

    async def test_many_fills_in_a_moment_all_arrive(self, stage: Stage) -> None:
        adapter = stage.adapter()
        async with Watched(adapter) as watched:
            for _ in range(30):
                stage.trade("ETH", "buy", "0.01")
            fills = await adapter.entries(since=LONG_AGO, methods=[Method.FILLS])
            wanted = {entry.venue_ref for entry in fills.entries}
            assert wanted
            await watched.until(lambda: wanted <= watched.refs(), f"all of {sorted(wanted)}")

    async def test_a_cut_socket_is_told_and_opened_again(self, stage: Stage) -> None:
        async with Watched(stage.adapter()) as watched:
            stage.cause("cut")
            await watched.until(lambda: watched.of(StreamLoss), "lost")
            stage.trade("ETH", "buy", "1")
            await watched.until(lambda: len(watched.of(StreamStart)) == 2, "connected again")
            # The snapshot of the new connection repeats what was missed; entries() covers what a snapshot
            # does not.
            await watched.until(watched.has_fill, "the fill of meanwhile")

    async def test_reads_rest_while_it_watches(self, stage: Stage) -> None:
        adapter = stage.adapter()
        async with Watched(adapter):
            assert (await adapter.report()).complete
        assert (await adapter.report()).complete, "stopping the stream leaves requests alone"

    async def test_stops_when_told_even_in_the_midst_of_frames(self, stage: Stage) -> None:
        adapter = stage.adapter()
        for _ in range(20):
            async with Watched(adapter):
                stage.trade("ETH", "buy", "0.01")
        assert len(stage.venue.hub.connections) <= 1, "and hangs up"

    async def test_ends_when_the_account_is_closed(self, stage: Stage) -> None:
        adapter = stage.adapter()
        async with Watched(adapter) as watched:
            await adapter.close()
            await watched.until(lambda: watched._task.done() or watched.of(StreamLoss), "told")
            async with asyncio.timeout(PATIENCE):
                await watched._task

    async def test_a_frame_that_is_no_json_ends_the_connection_at_once(self, stage: Stage) -> None:
        async with Watched(stage.adapter()) as watched:
            for connection in stage.venue.hub.connections:
                connection._put('{"channel":"userFills","data":{"fi')
            await watched.until(lambda: watched.of(StreamLoss), "lost")
            assert "could not be read" in watched.of(StreamLoss)[0].reason
            await watched.until(lambda: len(watched.of(StreamStart)) == 2, "connected again")
