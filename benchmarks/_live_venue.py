"""The simulated exchange, trading on command: `python -m benchmarks._live_venue`. Spoken to by JSON lines.

It says its port and its traders; {"user", "coin", "size", "rate", "seconds"} makes that user buy so often;
the answer says when each fill was written to its sockets, by the position's size after it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from decimal import Decimal
from typing import Any

from aiohttp import web

from simulator.engine.simulation import Simulation
from simulator.hyperliquid import sockets
from simulator.hyperliquid.server import application
from simulator.hyperliquid.venue import Venue
from simulator.wire import wall_clock


class Told:
    """When each fill went to the sockets, by the size after it."""

    def __init__(self) -> None:
        self.sizes: dict[str, float] = {}
        put = sockets.Connection._put

        def noted(connection: Any, message: str) -> None:
            put(connection, message)
            if message.startswith('{"channel":"userFills"') and '"isSnapshot"' not in message:
                now = time.monotonic()
                for fill in json.loads(message)["data"]["fills"]:
                    change = Decimal(fill["sz"]) * (1 if fill["side"] == "B" else -1)
                    after = Decimal(fill["startPosition"]) + change
                    self.sizes.setdefault(f"{after.normalize():f}", now)

        sockets.Connection._put = noted  # type: ignore[method-assign, assignment]


async def main() -> None:
    """Serve until stdin ends."""
    told = Told()
    simulation = Simulation(seed=7, now=wall_clock(), traders=2)
    venue = Venue(simulation)
    runner = web.AppRunner(application(venue, allow_control=True))
    await runner.setup()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    await web.TCPSite(runner, "127.0.0.1", port).start()
    simulation.paused = True
    users = [one.account.address for one in simulation.traders]
    print(json.dumps({"port": port, "users": users}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        asked = json.loads(line)
        deed = {
            "kind": "trade",
            "user": asked["user"],
            "coin": asked["coin"],
            "side": "buy",
            "size": asked["size"],
        }
        told.sizes.clear()
        due = time.monotonic()
        for _ in range(int(asked["rate"] * asked["seconds"])):
            venue.set_clock()
            venue.cause(deed)
            due += 1 / asked["rate"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.sleep(0.2)
        print(json.dumps(told.sizes), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
