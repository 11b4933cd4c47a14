"""Our Coinbase against a local one that speaks Advanced Trade, through unmodified ccxt."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from positions.book.entries import Kind, Side
from positions.venues.base import (
    AccountConfig,
    Credentials,
    Denied,
    Environment,
    Method,
    Transient,
)
from positions.venues.generic.markets import store
from positions.venues.quirks.coinbase import Coinbase
from positions.venues.transport.client import Retries
from positions.venues.transport.local_ports import ports
from simulator.coinbase.server import Desk, application
from simulator.coinbase.simulation import SpotSimulation
from simulator.wire import wall_clock

KEY = "simulated-key-of-carol"
LONG_AGO = datetime(2009, 1, 3, tzinfo=UTC)


class Stage:
    """The simulated venue, and our adapter for Carol."""

    def __init__(self, desk: Desk, base: str) -> None:
        self.desk = desk
        self.base = base
        self.opened: list[Coinbase] = []

    def cause(self, kind: str, **spec: object) -> Any:
        return self.desk.cause({"user": KEY, **spec, "kind": kind})

    def adapter(self) -> Coinbase:
        config = AccountConfig(
            account="2",
            venue="coinbase",
            environment=Environment.SIMULATED,
            base_url=self.base,
            credentials=Credentials(api_key=KEY, secret="simulated-secret-of-carol"),
            timeout=timedelta(seconds=30),
        )
        adapter = Coinbase(config, ports())
        adapter.client.retries = Retries(attempts=2, first_wait=timedelta(milliseconds=1))
        self.opened.append(adapter)
        return adapter


@pytest.fixture
async def stage():
    """A quiet market; Carol has 100 000 USD."""
    store.forget()
    simulation = SpotSimulation(seed=5, now=wall_clock(), traders=0, speed=1)
    desk = Desk(simulation)
    async with TestServer(application(desk, allow_control=True)) as server:
        found = Stage(desk, str(server.make_url("")).rstrip("/"))
        found.cause("deposit", amount=100_000)
        yield found
        for adapter in found.opened:
            await adapter.close()


async def settled() -> None:
    """A moment later: what happened is in the past."""
    await asyncio.sleep(0.01)


class TestAReportOfTheSimulatedCoinbase:
    async def test_balances_are_what_the_venue_says(self, stage: Stage) -> None:
        stage.cause("trade", coin="BTC-USD", side="buy", size="0.5")
        report = await stage.adapter().report()

        held = {row.asset: row.total for row in report.balances}
        wallets = stage.desk.exchange.customer(KEY).wallets
        assert held == {name: wallet.total for name, wallet in wallets.items() if name in held}
        assert held["BTC"] == Decimal("0.5")
        assert report.balances_complete
        assert report.observed("ETH/USD", scope="spot"), "an asset that is not there is not held"
        assert report.complete

    async def test_a_gateway_that_stays_down_leaves_everything_unknown(self, stage: Stage) -> None:
        adapter = stage.adapter()
        await adapter.instruments()
        stage.cause("status", status=502, type="accounts", user=None)
        with pytest.raises(Transient):
            await adapter.report()


class TestEntriesOfTheSimulatedCoinbase:
    async def test_explain_every_balance(self, stage: Stage) -> None:
        """Cash legs of fills, fees and transfers add up to what each wallet holds."""
        stage.cause("trade", coin="BTC-USD", side="buy", size="0.5", parts=3)
        stage.cause("trade", coin="BTC-USD", side="sell", size="0.1")
        stage.cause("trade", coin="ETH-USD", side="buy", size="2")
        stage.cause("withdraw", amount=500)
        await settled()
        adapter = stage.adapter()
        batch, report = await adapter.entries(since=LONG_AGO), await adapter.report()

        cash: dict[str, Decimal] = defaultdict(Decimal)
        for entry in batch.entries:
            if entry.kind is Kind.FILL:
                base, _, quote = str(entry.instrument).partition("/")
                assert entry.quantity is not None
                assert entry.price is not None
                assert entry.fee is not None
                sign = 1 if entry.side is Side.BUY else -1
                cash[base] += sign * entry.quantity
                cash[quote] -= sign * entry.quantity * entry.price
                cash[str(entry.fee_currency)] -= entry.fee
            else:
                assert entry.amount is not None
                cash[str(entry.currency)] += entry.amount
        for row in report.balances:
            assert row.total is not None
            assert abs(cash[row.asset] - row.total) < Decimal("0.01"), row.asset
        assert batch.complete

    async def test_come_once_each_although_pages_are_cut(self, stage: Stage) -> None:
        for _ in range(6):
            stage.cause("trade", coin="BTC-USD", side="buy", size="0.01")
            await settled()
        stage.cause("page_cut", rows=2, user=None)
        batch = await stage.adapter().entries(since=LONG_AGO, methods=[Method.FILLS])
        assert sum(entry.quantity for entry in batch.entries if entry.quantity) == Decimal("0.06")

    async def test_of_a_later_time_leave_earlier_ones_out(self, stage: Stage) -> None:
        stage.cause("trade", coin="BTC-USD", side="buy", size="0.01")
        batch = await stage.adapter().entries(since=datetime.now(UTC) + timedelta(hours=1))
        assert batch.entries == ()


class TestTheSimulatedCoinbase:
    async def test_gives_instruments_marks_and_candles(self, stage: Stage) -> None:
        adapter = stage.adapter()
        listed = {row.venue_symbol for row in await adapter.instruments()}
        assert {"BTC/USD", "ETH/USD"} <= listed
        marks = await adapter.marks(symbols=["BTC/USD"])
        assert [mark.venue_symbol for mark in marks] == ["BTC/USD"]
        since = datetime.now(UTC) - timedelta(minutes=10)
        assert await adapter.candles(symbol="BTC/USD", interval="1m", since=since)

    async def test_says_what_the_key_may_do_and_what_time_it_is(self, stage: Stage) -> None:
        adapter = stage.adapter()
        assert (await adapter.permissions()).withdraw is False
        offset = await adapter.clock_offset()
        assert offset is not None
        assert abs(offset) < timedelta(seconds=20)

    async def test_dates_a_report_by_the_venues_clock(self, stage: Stage) -> None:
        stage.cause("clock_skew", ms=60_000, user=None)
        report = await stage.adapter().report()
        ahead = report.as_of - report.received_at
        assert timedelta(seconds=55) < ahead < timedelta(seconds=65)

    async def test_denies_an_account_without_a_key(self, stage: Stage) -> None:
        adapter = stage.adapter()
        adapter.client.exchange.apiKey = adapter.client.exchange.secret = ""
        with pytest.raises(Denied, match="check the API key"):
            await adapter.report()
