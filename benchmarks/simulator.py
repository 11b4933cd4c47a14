"""The simulated venue under load: how fast it starts, trades, tells its streams, and what it keeps."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks._simulator_book import PACE, PEACE, SEED, book
from benchmarks._simulator_memory import memory
from benchmarks._simulator_server import MEGABYTE, Server
from simulator.engine.persistence import Keeper
from simulator.engine.simulation import Simulation
from simulator.engine.traders import trader_address
from simulator.hyperliquid.info import Info
from simulator.serving import give_memory_back

USERS = 50
WARM_SECONDS, SECONDS = 30.0, 60.0
# Fast enough that fifty traders want more than 500 fills a second.
SPEED = 120.0
STEP = 250
HOUR_OF_STEPS = 3_600_000 // STEP
WARM_HOURS, HOURS = 2, 2


def run(report: Callable[..., None]) -> None:
    """Start-up, fills a second with streams, growth over a minute of that and an hour of the demo's pace."""
    floor = seconds_of([sys.executable, "-c", "import aiohttp.web"])
    report("start", startup(), "s", 2.0, "lower", floor)
    load = asyncio.run(loaded())
    report("fills with 50 users streaming", load.rate, "fills/s", 500.0, "higher", None)
    report("server processor", load.processor, "cores", 1.0, "lower", None)
    report("fill to stream, 99th percentile", load.lag, "ms", 1000.0, "lower", None)
    report("fills told but not received", float(load.lost), "fills", 0.0, "lower", None)
    report("memory, a minute of that", load.grown, "MB/min", 2.0, "lower", None)
    report("memory, an hour of the demo's trading", growth(), "MB/h", 1.0, "lower", None)


def seconds_of(command: list[str]) -> float:
    """How long a command takes."""
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began


def startup() -> float:
    """Median seconds from start to an open port."""
    times = []
    for _ in range(3):
        server = Server()
        times.append(server.wait())
        server.stop()
    return statistics.median(times)


@dataclass(slots=True)
class Load:
    """What fifty listeners saw."""

    rate: float = 0.0
    processor: float = 0.0
    lag: float = 0.0
    lost: int = 0
    grown: float = 0.0


@dataclass(slots=True)
class Listener:
    """One user's stream: fills received (by tid and oid) and how late each was (ms)."""

    user: str
    seen: set[tuple[int, int]] = field(default_factory=set)
    lags: list[float] = field(default_factory=list)

    async def listen(self, session: aiohttp.ClientSession, base: str) -> None:
        """Read until cancelled."""
        async with session.ws_connect(f"{base}/ws", max_msg_size=1 << 24) as stream:
            for kind in ("userFills", "orderUpdates", "clearinghouseState"):
                wanted = {"type": kind, "user": self.user}
                await stream.send_json({"method": "subscribe", "subscription": wanted})
            async for message in stream:
                self.take(json.loads(message.data))

    def take(self, message: dict[str, Any]) -> None:
        """Count the fills of one frame."""
        if message["channel"] != "userFills":
            return
        data, now = message["data"], time.time() * 1000
        for row in data["fills"]:
            self.seen.add((row["tid"], row["oid"]))
            if "isSnapshot" not in data:
                self.lags.append(now - row["time"])


async def loaded() -> Load:
    """Fifty users trade and listen for a while."""
    server = Server("--traders", str(USERS), "--speed", str(SPEED), "--allow-control")
    server.wait()
    listeners = [Listener(trader_address(1, index)) for index in range(USERS)]
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            tasks = [asyncio.create_task(one.listen(session, server.base)) for one in listeners]
            await asyncio.sleep(WARM_SECONDS)
            result = await measured(server, listeners)
            await session.post(f"{server.base}/sim/pause", json={"paused": True})
            await asyncio.sleep(2)
            result.lost = await lost(session, server.base, listeners)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return result
    finally:
        server.stop()


async def measured(server: Server, listeners: list[Listener]) -> Load:
    """Rate, processor share and lag over the measuring time."""
    process = psutil.Process(server.process.pid)
    for one in listeners:
        one.lags.clear()
    before, began = sum(len(one.seen) for one in listeners), time.monotonic()
    spent, size = sum(process.cpu_times()[:2]), process.memory_info().rss
    await asyncio.sleep(SECONDS)
    elapsed = time.monotonic() - began
    lags = sorted(lag for one in listeners for lag in one.lags)
    return Load(
        rate=(sum(len(one.seen) for one in listeners) - before) / elapsed,
        processor=(sum(process.cpu_times()[:2]) - spent) / elapsed,
        grown=(process.memory_info().rss - size) / MEGABYTE * 60 / elapsed,
        lag=lags[int(len(lags) * 0.99)] if lags else float("inf"),
    )


async def lost(session: aiohttp.ClientSession, base: str, listeners: list[Listener]) -> int:
    """Fills that the venue's own ledger counts and a listener never saw."""
    missing = 0
    for one in listeners:
        async with session.get(f"{base}/sim/truth", params={"user": one.user}) as reply:
            missing += (await reply.json())["totals"]["fills"] - len(one.seen)
    return missing


def growth() -> float:
    """MB an hour that trading at the demo's speed adds, once every page that a client can ask for is full.

    Every ten minutes of it everything is asked for and the state is written, as a venue in use does.
    """
    give_memory_back()
    simulation = Simulation(seed=1, now=0, traders=6, speed=3)
    info = Info(simulation.exchange)
    process = psutil.Process(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        keeper = Keeper(simulation, Path(folder) / "state")
        for step in range(1, WARM_HOURS * HOUR_OF_STEPS + 1):
            _trade(simulation, info, keeper, step)
        warm = process.memory_info().rss
        for step in range(1, HOURS * HOUR_OF_STEPS + 1):
            _trade(simulation, info, keeper, WARM_HOURS * HOUR_OF_STEPS + step)
        grown = process.memory_info().rss - warm
        simulation.archive.close()
    return float(grown) / HOURS / MEGABYTE


def _trade(simulation: Simulation, info: Info, keeper: Keeper, step: int) -> None:
    simulation.advance(step * STEP)
    simulation.exchange.drain()
    if step % (HOUR_OF_STEPS // 6):
        return
    keeper.save()
    for trader in simulation.traders:
        for kind in ("userFills", "userFillsByTime", "userFunding", "historicalOrders"):
            asked = {"type": kind, "user": trader.account.address, "startTime": 0}
            json.dumps(info.answer(asked))


def main() -> int:
    """The long runs, which `bin/bench` leaves out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=main.__doc__)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--memory", type=int, metavar="MINUTES", help="memory at the demo's speed")
    chosen.add_argument("--book", type=float, metavar="MINUTES", help="book and truth, faults on")
    times: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
    parser.add_argument("--peace", default=PEACE, help="from connecting to the first fault", **times)
    parser.add_argument("--pace", default=PACE, help="between two faults, on average", **times)
    parser.add_argument("--seed", type=int, default=SEED, help="of markets and faults")
    options = parser.parse_args()
    if options.memory is not None:
        memory(options.memory)
        return 0
    return book(options.book, peace=options.peace, pace=options.pace, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
