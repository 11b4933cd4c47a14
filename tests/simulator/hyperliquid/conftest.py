"""A venue in this process, whose clock stands still until a test moves it, and a person with a key."""

from decimal import Decimal

import pytest
from aiohttp.test_utils import TestServer
from eth_account import Account

from simulator.engine.simulation import Simulation
from simulator.hyperliquid.server import application
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock
from tests.simulator.clients import connected

KEY = "0x" + "42" * 32


class Stage:
    """The venue, its address, and the things a test says to it."""

    user = Account.from_key(KEY).address.lower()
    key = KEY

    def __init__(self, venue, base):
        self.venue = venue
        self.exchange = venue.exchange
        self.base = base
        self.elapsed = 0

    def cause(self, kind, **spec):
        """A fault or a deed; about our user unless it says otherwise."""
        before = self.exchange.now
        self.venue.set_clock()
        # A millisecond each: ccxt sorts what happened in the same one by its random trade id.
        self.exchange.now = max(self.exchange.now, before + 1)
        return self.venue.cause({"user": self.user, **spec, "kind": kind})

    def fund(self, amount=10_000, **where):
        self.cause("deposit", amount=amount, **where)

    def trade(self, coin, side, size, **more):
        return self.cause("trade", coin=coin, side=side, size=str(size), **more)

    def pass_time(self, seconds):
        self.elapsed += seconds
        self.venue.tick(self.venue.simulation.start + round(self.elapsed * 1000))

    def client(self, *, pro=False, signing=False, user=None):
        return connected(self.base, user=user or self.user, key=self.key if signing else None, pro=pro)

    def equity(self):
        state = self.exchange.account(self.user).state("", now=0)
        return Decimal(state["marginSummary"]["accountValue"])


@pytest.fixture
async def stage():
    """A quiet venue: market makers, no background traders, prices that stand still."""
    simulation = Simulation(seed=11, now=wall_clock(), traders=0)
    for market in simulation.exchange.markets.values():
        market.frozen = True
    async for one in staged(simulation):
        yield one


@pytest.fixture
async def busy():
    """A venue that has traded for two minutes, eight times as fast, with six background traders."""
    simulation = Simulation(seed=11, now=wall_clock() - 120_000, traders=6, speed=8)
    simulation.advance(wall_clock())
    async for one in staged(simulation):
        yield one


async def staged(simulation):
    venue = Venue(simulation)
    app = application(venue, allow_control=True, ticking=False)
    async with TestServer(app) as server:
        yield Stage(venue, str(server.make_url("")).rstrip("/"))
