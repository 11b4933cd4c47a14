"""Many WebSocket clients in one process, spoken to by lines of JSON: `python -m benchmarks._live_clients`.

The protocol is spoken by hand over one epoll: a library's cost would be what is measured. Commands:

    connect  url, keys, count, stalled     until all are served (a snapshot, or what they missed): seconds
    count    frames, kind                  until each has so many of a kind: when the last came, how many
    note     what                          begin to note "sizes", "marks" or "rows" of updates as they come
    noted                                  what was noted: {value: [clients, time of the last]}, and sizes
    drop                                   close all at once; `connect` afterwards resumes with their tokens
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlparse

AT_ONCE = 1 << 18
TOKEN = re.compile(rb'"token":"([0-9a-f]+-\d+)"')
KEYS = {
    "sizes": re.compile(rb'"size":"([\d.-]+)"'),
    "marks": re.compile(rb'"rows":\[\[\d+,"([\d.]+)"'),
}
ROWS = re.compile(rb'"rows":\[(.*)\]\}$')
SERVED = (b'{"type":"snapshot"', b'{"type":"portfolio"')
SECONDS = 120.0


class Client:
    """One socket: what it is sent, cut into frames."""

    __slots__ = ("count", "key", "left", "noted", "opened", "reads", "served", "size", "socket", "token")

    def __init__(self, key: str, *, reads: bool) -> None:
        self.key, self.reads = key, reads
        self.token = self.size = ""
        self.noted = b""
        self.reset()

    def reset(self) -> None:
        """As before it connected; who it is and what it saw last stays."""
        self.left, self.count = b"", 0
        self.opened = self.served = False

    def connect(self, url: str) -> socket.socket:
        """Ask for the handshake; the answer comes later."""
        where = urlparse(url)
        self.reset()
        self.socket = socket.create_connection((where.hostname, where.port))
        nonce = base64.b64encode(os.urandom(16)).decode()
        query = f"?{where.query}&resume={self.token}"
        lines = [
            f"GET {where.path or '/'}{query} HTTP/1.1", f"Host: {where.netloc}", "Upgrade: websocket",
            "Connection: Upgrade", f"Sec-WebSocket-Key: {nonce}", "Sec-WebSocket-Version: 13",
            *([f"X-API-Key: {self.key}"] if self.key else []), "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(lines).encode())
        self.socket.setblocking(False)
        return self.socket

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Whole frames of what has come; the rest is kept."""
        data = self.left + data if self.left else data
        at = 0
        if not self.opened:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.left = data
                return
            if b" 101 " not in data[:40]:
                raise RuntimeError(f"refused: {data[:80]!r}")
            self.opened, at = True, end + 4
        whole = len(data)
        while whole - at >= 2:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if whole - at - head < size:
                break
            if data[at] == 0x88:
                raise RuntimeError(f"closed: {data[at + head : at + head + size]!r}")
            if data[at] == 0x89:  # a ping: answered, masked with zeros
                self.socket.send(bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + data[at + head : at + head + size])
            else:
                yield data[at + head : at + head + size]
            at += head + size
        self.left = data[at:]


class Clients:
    """All of them, and what is being looked for."""

    def __init__(self) -> None:
        self.every: list[Client] = []
        self.cut = 0
        self._poll = select.epoll()
        self._by_handle: dict[int, Client] = {}
        self._kind = b""
        self._wanted = sys.maxsize
        self._enough = 0
        self._served = 0
        self._key: re.Pattern[bytes] | None = None
        self._noted: dict[bytes, list[float]] = {}
        self._rows: list[int] = []
        self._last = 0.0
        self._tracks = False

    def turn(self, wait: float) -> bool:
        """Read what has come; whether there is a line on stdin."""
        asked = False
        for handle, _ in self._poll.poll(wait):
            if handle == 0:
                asked = True
                continue
            client = self._by_handle[handle]
            try:
                data = client.socket.recv(AT_ONCE)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                self._lose(handle, client)
                continue
            now = time.monotonic()
            for frame in client.frames(data):
                self._take(client, frame, now)
        return asked

    def _lose(self, handle: int, client: Client) -> None:
        """The server cut it off: on a busy machine these clients too fall a megabyte behind."""
        if not client.served:
            raise RuntimeError("a client was cut off before it was served")
        self._poll.unregister(handle)
        del self._by_handle[handle]
        client.reads = False
        self.cut += 1

    def _take(self, client: Client, frame: bytes, now: float) -> None:
        if self._tracks:
            if found := TOKEN.search(frame, 0, 200):
                client.token = found[1].decode()
            if frame.startswith(b'{"type":"pos') and (size := KEYS["sizes"].search(frame)):
                client.size = size[1].decode()
        if not client.served and frame.startswith(SERVED):
            client.served = True
            self._served += 1
        if self._kind and frame.startswith(self._kind):
            client.count += 1
            self._last = now
            if client.count == self._wanted:
                self._enough += 1
        if self._key is not None and (found := self._key.search(frame)) and found[1] != client.noted:
            client.noted = found[1]  # what the venue says of the position repeats its size: told is the first
            noted = self._noted.setdefault(found[1], [0, 0.0])
            noted[0] += 1
            noted[1] = now
            if client is self.every[0] and (rows := ROWS.search(frame)):
                self._rows += [len(row) + 3 for row in rows[1][1:-1].split(b"],[")]

    def _until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not true():
            if time.monotonic() > deadline:
                raise RuntimeError("not within two minutes")
            self.turn(0.1)

    # Commands

    def connect(self, *, url: str, keys: list[str], count: int, stalled: int = 0, track: bool = False) -> Any:
        """Connect, or come back; those that stall read nothing once they are served."""
        self._tracks = track
        if not self.every:
            self.every = [
                Client(keys[n % len(keys)] if keys else "", reads=n >= stalled) for n in range(count)
            ]
        began = time.monotonic()
        self._served = 0
        for client in self.every:
            handle = client.connect(url).fileno()
            self._by_handle[handle] = client
            self._poll.register(handle, select.EPOLLIN)
            self.turn(0)
        if keys:
            self._until(lambda: self._served == len(self.every))
        else:
            self._until(lambda: all(client.opened for client in self.every))
        for client in self.every:
            if not client.reads:
                self._poll.unregister(client.socket.fileno())
        resumed = sum(bool(client.token) for client in self.every)
        return {"seconds": time.monotonic() - began, "resumed": resumed}

    def count(self, *, frames: int, kind: str) -> Any:
        """Say that it is ready, then count."""
        self._kind, self._wanted, self._enough = b'{"type":"' + kind.encode(), frames, 0
        for client in self.every:
            client.count = 0
        say({"ready": True})
        reading = sum(client.reads for client in self.every)
        self._until(lambda: self._enough >= reading)
        self._kind = b""
        return {"last": self._last, "received": frames * reading}

    def note(self, *, what: str) -> Any:
        """From here on."""
        self._key, self._noted, self._rows = KEYS[what], {}, []
        return {}

    def noted(self) -> Any:
        """And no longer."""
        self._key = None
        return {
            "noted": {value.decode(): found for value, found in self._noted.items()},
            "rows": self._rows,
            "cut": self.cut,
            "sizes": sorted({client.size for client in self.every}),
        }

    def drop(self) -> Any:
        """All at once, without a word."""
        for handle, client in self._by_handle.items():
            self._poll.unregister(handle)
            client.socket.close()
        self._by_handle = {}
        return {}

    def serve(self) -> None:
        """Do what lines on stdin say, and read meanwhile."""
        self._poll.register(0, select.EPOLLIN)
        while True:
            if not self.turn(0.5):
                continue
            line = sys.stdin.buffer.readline()
            if not line:
                return
            asked = json.loads(line)
            say(getattr(self, asked.pop("do"))(**asked))


def say(what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.stdin = os.fdopen(0, "r", buffering=1)
    Clients().serve()
