"""A simulated Hyperliquid on the venues' own loop, for synchronous tests (commands, tasks)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp.test_utils import TestServer

from positions.venues.instruments.catalog import catalogs
from positions.venues.transport.event_loop import run
from simulator.engine.simulation import Simulation
from simulator.hyperliquid.server import application
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock

USER = "0x" + "ab" * 20


@contextmanager
def hyperliquid() -> Iterator[str]:
    """The base URL of a quiet venue on which USER holds 10 000 USDC and 2 ETH long."""
    catalogs.forget()
    simulation = Simulation(seed=11, now=wall_clock(), traders=0)
    for market in simulation.exchange.markets.values():
        market.frozen = True
    venue = Venue(simulation)

    async def start() -> TestServer:
        server = TestServer(application(venue, allow_control=True))
        await server.start_server()
        venue.set_clock()
        venue.cause({"kind": "deposit", "user": USER, "amount": 10_000})
        venue.cause({"kind": "trade", "user": USER, "coin": "ETH", "side": "buy", "size": "2"})
        return server

    server = run(start())
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        run(server.close())
