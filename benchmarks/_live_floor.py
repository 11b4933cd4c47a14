"""The bare way, to compare with: socket → one INSERT, committed → Redis → `websockets.broadcast`.

Each step is a process of its own, as in the product, and does nothing else: what a fill or a price takes
here, the machine itself takes at that moment. `times` drives them.

    writer PORT commit|append   reads lines of JSON from that port; a price is not committed
    fan SIZE                    sends frames of that size to whoever is connected, and says its port
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from typing import Any

import psycopg
import redis
import redis.asyncio

from benchmarks._live_rig import Peer, clients

STREAM = "plumbline:bench:floor"
FILL, TICK = 1_500, 40_000  # bytes: a position in the named format, compact rows of 1,000 positions


def times(count: int, *, rate: int, seconds: float, frame: int = FILL) -> list[float]:
    """Milliseconds from the first socket to the last of so many clients, of each fill that all have seen."""
    does = "commit" if frame == FILL else "append"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(Peer("_live_floor", "writer", listener.getsockname()[1], does))
        listener.settimeout(60)
        venue = stack.enter_context(listener.accept()[0])
        venue.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fan = stack.enter_context(Peer("_live_floor", "fan", frame))
        watching = stack.enter_context(clients(f"ws://127.0.0.1:{fan.hear()['port']}/", [], count))
        watching.ask("note", what="sizes")
        sent: dict[str, float] = {}
        due = time.monotonic()
        for number in range(int(rate * seconds)):
            sent[str(number)] = time.monotonic()
            venue.sendall(b'{"size":"%d"}\n' % number)
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(1.5)
        noted = watching.ask("noted")["noted"]
    return [(noted[size][1] - at) * 1000 for size, at in sent.items() if noted.get(size, [0])[0] >= count]


def write(port: int, *, commits: bool) -> None:
    """Commit each line to Postgres if it is to be, then append it to a stream of Redis."""
    log = redis.Redis.from_url(os.environ["REDIS_URL"])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0) as database:
        database.execute("DROP TABLE IF EXISTS bench_floor")
        database.execute("CREATE TABLE bench_floor (id bigserial PRIMARY KEY, size numeric, content text)")
        with socket.create_connection(("127.0.0.1", port)) as venue:
            for line in venue.makefile("rb"):
                size = json.loads(line)["size"]
                if commits:
                    row = [size, "x" * 500]
                    database.execute("INSERT INTO bench_floor (size, content) VALUES (%s, %s)", row)
                log.xadd(STREAM, {"frame": line.strip()}, maxlen=1_000)


async def fan_out(frame: int) -> None:
    """Send what is appended to everybody who is connected."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    log: Any = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
    connected: set[ServerConnection] = set()

    async def keep(connection: ServerConnection) -> None:
        connected.add(connection)
        await connection.wait_closed()
        connected.discard(connection)

    async with serve(keep, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(json.dumps({"port": next(iter(server.sockets)).getsockname()[1]}), flush=True)
        last = "$"
        while True:
            for _, entries in await log.xread({STREAM: last}, count=1, block=1_000):
                for name, fields in entries:
                    last = name.decode()
                    text = fields[b"frame"].decode()
                    broadcast(connected, f'{text[:-1]},"rest":"{"x" * (frame - len(text) - 10)}"}}')


if __name__ == "__main__":
    if sys.argv[1] == "writer":
        write(int(sys.argv[2]), commits=sys.argv[3] == "commit")
    else:
        asyncio.run(fan_out(int(sys.argv[2])))
