"""A simulated Hyperliquid in this process, accounts on it, and a clock that both sides share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest.mock import patch

from aiohttp.test_utils import TestServer

from positions import ingest
from positions.models import Account, Entry, Position
from positions.sync import connections
from positions.sync.connections import RedisCache
from positions.venues.base import Ports
from positions.venues.instruments.catalog import catalogs
from positions.venues.transport.client import Retries
from positions.venues.transport.event_loop import run
from reconciliation.models import Case, Verdict
from reconciliation.runs import runs
from simulator.engine.simulation import Simulation
from simulator.hyperliquid import server as serving
from simulator.hyperliquid import venue as served
from simulator.wire import wall_clock

USER = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20
IMPATIENT = Retries(attempts=2, deadline=timedelta(seconds=3), first_wait=timedelta(milliseconds=1))


class Generous:
    """A rate budget that never makes anybody wait."""

    async def spend(self, key, weight, *, capacity, per_second):
        pass

    async def pause(self, key, for_):
        pass


class Stage:
    """The venue, our account on it, and the time. Prices stand still; USER has 10 000 USDC."""

    def __init__(self, *, seed=11):
        self.ahead = timedelta(0)
        catalogs.forget()
        self.simulation = Simulation(seed=seed, now=wall_clock(), traders=0, funding_every=10**9)
        for market in self.simulation.exchange.markets.values():
            market.frozen = True
        self.venue = served.Venue(self.simulation)
        self.base = ""

    def now(self):
        return datetime.now(UTC) + self.ahead

    def wait(self, seconds):
        """Time passes, for the venue too."""

        async def pass_on():
            self.simulation.paused = True  # a minute of quotes that nobody takes would take a second
            self.ahead += timedelta(seconds=seconds)
            self.venue.tick(served.wall_clock())
            self.simulation.paused = False
            self.simulation.step()

        run(pass_on())

    def do(self, kind, **spec):
        """Something happens to USER at the venue."""

        async def cause():
            self.venue.set_clock()
            return self.venue.cause({"user": USER, **spec, "kind": kind})

        return run(cause())

    def trade(self, coin, side, size, **spec):
        return self.do("trade", coin=coin, side=side, size=str(size), **spec)

    def fail(self, kind, **spec):
        """Something is wrong with the venue, for whoever asks."""
        return self.do(kind, **{"user": None, **spec})

    def heal(self):
        self.venue.faults.clear()

    def truth(self, user=USER):
        account = self.venue.exchange.known(user)
        return {coin: position.leg.size for coin, position in account.positions.items() if position.leg.size}

    def asked(self):
        """The types of the requests received."""
        return [line["body"].get("type") for line in self.venue.log if isinstance(line["body"], dict)]

    def account(self, address=USER, label="main", **fields):
        return Account.objects.create(
            label=label, venue="hyperliquid", environment="simulated", base_url=self.base,
            address=address, created_at=self.now(), **fields,
        )  # fmt: skip

    def reconcile(self, account, trigger="schedule", pause=None):
        if pause is None:
            self.wait(0.002)
        connections.connect(account=account).client.retries = IMPATIENT
        return runs.reconcile(
            account=account, now=self.now(), trace_id="test", trigger=trigger, pause=pause or self.wait
        )

    def minutes(self, account, count=1):
        """As many scheduled runs, a minute apart; the last one."""
        for _ in range(count):
            self.wait(60)
            found = self.reconcile(account)
        return found

    def book(self, account, *entries, source="test"):
        return ingest.record(account=account, entries=entries, source=source, trace_id="test", now=self.now())


@contextmanager
def staged(*, seed: int = 11) -> Iterator[Stage]:
    """A stage whose venue answers over HTTP. Its clock is that of the venue's server and of our adapters."""
    found = Stage(seed=seed)

    async def start() -> TestServer:
        server = TestServer(serving.application(found.venue, allow_control=True))
        await server.start_server(access_log=None)
        return server

    def clock() -> int:
        return wall_clock() + int(found.ahead.total_seconds() * 1000)

    def ports() -> Ports:
        return Ports(cache=RedisCache(), budget=Generous(), clock=found.now)

    # The venue reads the time: with this it is the stage's, which `wait` moves on.
    with patch.object(served, "wall_clock", clock), patch.object(connections, "ports", ports):
        server = run(start())
        found.base = str(server.make_url("")).rstrip("/")
        found.do("deposit", amount=10_000)
        yield found
        for pk in Account.objects.values_list("pk", flat=True):
            connections.forget(pk)
        run(server.close())


def leg(account, symbol="ETH", name="net"):
    return Verdict.objects.get(account=account, instrument__venue_symbol=symbol, leg=name)


def wallet(account, name="perp", asset="USDC"):
    return Verdict.objects.get(account=account, wallet=name, asset=asset)


def held(account):
    """{symbol: quantity} of the book's open positions."""
    rows = Position.objects.filter(account=account).exclude(quantity=0).select_related("instrument")
    return {row.instrument.venue_symbol: row.quantity for row in rows}


def booked(account, **filters):
    return Entry.objects.filter(account=account, **filters)


def cases(account):
    return list(Case.objects.filter(account=account).order_by("pk"))


D = Decimal


def with_cut_history(stage: Stage) -> Account:
    """An account that has just connected: 4 ETH, of whose fills the venue lists only the last, of 1."""
    stage.trade("ETH", "buy", 3)
    stage.wait(1)
    stage.trade("ETH", "buy", 1)
    stage.fail("history_cut", rows=1)
    account = stage.account()
    stage.wait(1)
    stage.reconcile(account, trigger="start")
    return account
