"""The server round the exchange: its clock, and clients that do not read."""

import asyncio
import time

from simulator.coinbase.server import Desk
from simulator.coinbase.simulation import SpotSimulation
from simulator.engine.simulation import STEP, Simulation
from simulator.hyperliquid.faults import Faults
from simulator.hyperliquid.sockets import MAX_QUEUED, Connection
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock


class TestAVenueThatIsLate:
    def test_catches_up_before_it_says_what_is_now(self):
        simulation = Simulation(seed=1, now=wall_clock() - 5_000, traders=2, speed=4)
        venue = Venue(simulation)
        venue.ticking = True
        venue.set_clock()
        assert simulation.clock <= venue.exchange.now < simulation.clock + STEP

    def test_catches_up_on_coinbase_too(self):
        simulation = SpotSimulation(seed=1, now=wall_clock() - 5_000, traders=2, speed=4)
        Desk(simulation).catch_up(wall_clock())
        assert wall_clock() - simulation.clock < 60_000
        assert simulation.clock > simulation.start + 4_000


class Deaf:
    """A socket whose client reads nothing."""

    closed = False

    def __init__(self):
        self.codes = []

    async def close(self, *, code):
        self.codes.append(code)


class TestAClientThatDoesNotRead:
    async def test_is_dropped_before_it_costs_much(self):
        socket = Deaf()
        connection = Connection(socket, Faults(time.monotonic))
        for _ in range(200):
            connection.send("userFills", "x" * 100_000)
        await asyncio.wait_for(connection.closing, 60)
        assert connection.queued <= MAX_QUEUED
        assert connection.queue.qsize() == MAX_QUEUED // 100_000
        assert socket.codes == [1008]
