"""The other sides of benchmarks/live.py: bare clients that count, and a bare server that sets the floor.

    python -m benchmarks._sockets clients URL COUNT FRAMES KEY…   connect, say "ready", count, say how long
    python -m benchmarks._sockets floor SIZE FRAMES COUNT          serve them with `websockets.broadcast`

Clients speak the protocol by hand: a library's would be what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlparse

from websockets.asyncio.server import ServerConnection, broadcast, serve

UPDATE = b'{"type":"position_update"'


class Client:
    """One socket that counts updates and notes when each of its position's versions came."""

    def __init__(self, *, frames: int, note: bool) -> None:
        self.frames, self.note = frames, note
        self.count = 0
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self.seen: dict[int, float] = {}
        self.last = 0.0

    async def run(self, url: str, key: str) -> None:
        where = urlparse(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {where.path or '/'} HTTP/1.1", f"Host: {where.netloc}", "Upgrade: websocket",
            "Connection: Upgrade", f"Sec-WebSocket-Key: {nonce}", "Sec-WebSocket-Version: 13",
            *([f"X-API-Key: {key}"] if key else []), "", "",
        ]  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        await reader.readuntil(b"\r\n\r\n")
        if not key:
            self.ready.set()
        while not self.done.is_set():
            head = await reader.readexactly(2)
            size = head[1] & 127
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await reader.readexactly(8), "big")
            self._take(await reader.readexactly(size))

    def _take(self, payload: bytes) -> None:
        if payload.startswith(UPDATE):
            self.count += 1
            self.last = time.monotonic()
            if self.note:
                self.seen.setdefault(json.loads(payload)["position"]["version"], self.last)
            if self.count >= self.frames:
                self.done.set()
        elif payload.startswith(b'{"type":"snapshot"'):
            self.ready.set()


async def clients(url: str, count: int, frames: int, keys: Sequence[str]) -> None:
    """Connect; after "ready" on stdout count until all have all frames, or a line comes on stdin."""
    note = frames == 0
    every = [Client(frames=frames or sys.maxsize, note=note) for _ in range(count)]
    began = time.monotonic()
    running = [
        asyncio.create_task(one.run(url, keys[n % len(keys)] if keys else "")) for n, one in enumerate(every)
    ]
    async with asyncio.timeout(60):
        for one in every:
            await one.ready.wait()
    print(json.dumps({"ready": time.monotonic() - began}), flush=True)
    if note:
        await asyncio.to_thread(sys.stdin.readline)
    else:
        await asyncio.wait(running, timeout=120)
    last_of: dict[int, float] = {}
    for one in every:
        for version, at in one.seen.items():
            last_of[version] = max(at, last_of.get(version, 0.0))
    told = {"last": max(one.last for one in every), "received": sum(one.count for one in every)}
    print(json.dumps(told | {"seen": last_of}), flush=True)
    for task in running:
        task.cancel()


async def floor(size: int, frames: int, count: int) -> None:
    """Say the port; when COUNT clients are there and a line comes on stdin, send them FRAMES frames."""
    text = UPDATE.decode() + ',"x":"' + "x" * (size - len(UPDATE) - 8) + '"}'
    connected: set[ServerConnection] = set()

    async def keep(connection: ServerConnection) -> None:
        connected.add(connection)
        await connection.wait_closed()

    async with serve(keep, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(json.dumps({"port": next(iter(server.sockets)).getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        assert len(connected) == count
        print(json.dumps({"began": time.monotonic()}), flush=True)
        for _ in range(frames):
            broadcast(connected, text)
            await asyncio.sleep(0)
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "clients":
        asyncio.run(clients(given[0], int(given[1]), int(given[2]), given[3:]))
    else:
        asyncio.run(floor(*map(int, given)))
