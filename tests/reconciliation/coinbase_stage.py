"""A simulated Coinbase in this process, on the clock of its stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch

from aiohttp.test_utils import TestServer

from positions.models import Account
from positions.sync import connections
from positions.sync.connections import RedisCache, encrypt
from positions.venues.base import Credentials, Ports
from positions.venues.generic.markets import store
from positions.venues.transport.event_loop import run
from simulator.coinbase import server as serving
from simulator.coinbase.server import Desk
from simulator.coinbase.simulation import SpotSimulation
from simulator.wire import wall_clock
from tests.reconciliation.stage import Generous, Stage


class CoinbaseStage(Stage):
    """The venue, accounts on it by API key, and the time. Prices stand still."""

    def __init__(self, *, seed: int = 11) -> None:
        self.ahead = timedelta(0)
        store.forget()
        self.simulation = SpotSimulation(seed=seed, now=wall_clock(), traders=0, speed=1)
        for market in self.simulation.exchange.markets.values():
            market.frozen = True
        self.venue = Desk(self.simulation)
        self.base = ""

    def wait(self, seconds):
        """Time passes, for the venue too."""
        self.ahead += timedelta(seconds=seconds)

    def do(self, kind, **spec):
        """Something happens to a key's portfolio at the venue, now."""

        async def cause():
            self.venue.catch_up(serving.wall_clock())
            return self.venue.cause({**spec, "kind": kind})

        return run(cause())

    def account(self, key, label="main", **fields):
        """A connected key."""
        return Account.objects.create(
            label=label, venue="coinbase", environment="simulated", base_url=self.base,
            credentials=encrypt(Credentials(api_key=key, secret="simulated-secret")),
            created_at=self.now(), **fields,
        )  # fmt: skip


@contextmanager
def staged_coinbase(*, seed: int = 11) -> Iterator[CoinbaseStage]:
    """A stage whose venue answers over HTTP. Its clock is that of the venue's server and of our adapters."""
    found = CoinbaseStage(seed=seed)

    async def start() -> TestServer:
        server = TestServer(serving.application(found.venue, allow_control=True))
        await server.start_server(access_log=None)
        return server

    def clock() -> int:
        return wall_clock() + int(found.ahead.total_seconds() * 1000)

    def ports() -> Ports:
        return Ports(cache=RedisCache(), budget=Generous(), clock=found.now)

    with patch.object(serving, "wall_clock", clock), patch.object(connections, "ports", ports):
        server = run(start())
        found.base = str(server.make_url("")).rstrip("/")
        yield found
        for pk in Account.objects.values_list("pk", flat=True):
            connections.forget(pk)
        run(server.close())
