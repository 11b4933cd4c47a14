"""From the live log to browsers: fan-out against bare `websockets.broadcast`, and fill to the last client.

The product's web process is Daphne with everything in it; clients are a process of their own. With two cores
the clients are what is slow at 500 and more, for the floor as for us: the ratio at 100 is the telling one.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import psutil

FRAMES = 200
CLIENTS = (100, 500, 1000)
EACH = 10  # sockets of one key: fewer than anyone may have, as those of the run before still close
FILLS, FILLS_A_SECOND = 400, 200
WATCHING = 100
IDLE = 200


def run(report: Callable[..., None]) -> None:
    """Fan-out at 100, 500 and 1,000 clients; fill to the last of 100; memory of a client that listens."""
    book = Book()
    with web() as (url, process):
        report("memory of an idle client", idle_memory(url, book, process), "kB", 50, "lower", None)
        for count in CLIENTS:
            rate, size = book.fan_out(url, count)
            bare = floor(size, count)
            report(f"fan-out to {count} clients, of bare broadcast", rate / bare, "×", 0.5, "higher", 1.0)
            report(f"deliveries to {count} clients", rate, "1/s", 0.5 * bare, "higher", bare)
        middle, late, lost = book.fills(url)
        report(f"fill to the last of {WATCHING} clients, median", middle, "ms", 6, "lower", None)
        report(f"fill to the last of {WATCHING} clients, 99th percentile", late, "ms", 15, "lower", None)
        report("fills not seen by every client", lost, "fills", 0, "lower", None)


class Peer:
    """A process of benchmarks._sockets, spoken to by lines."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks._sockets", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> dict[str, Any]:
        """The next thing it says. Raises RuntimeError if it has ended instead."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("a peer of the benchmark has ended")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self) -> None:
        """Say that it is time."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()


class Book:
    """One account with one position, and keys enough for a thousand sockets."""

    def __init__(self) -> None:
        from django.utils import timezone

        from core.models import issue_key
        from core.scopes import Scope
        from positions import observe
        from positions.models import Account, Environment

        now = timezone.now()
        described = observe.Described(
            venue_symbol="BTC", symbol="BTC/USDC:USDC", kind="linear", base="BTC", quote="USDC", settle="USDC"
        )
        ids = observe.instruments(
            venue="hyperliquid", environment=Environment.SIMULATED, described=[described], now=now
        )
        self.instrument = ids["BTC"]
        self.account = Account.objects.create(
            label="bench", venue="hyperliquid", environment=Environment.SIMULATED, created_at=now
        )
        self.keys = [
            issue_key(name=f"bench {n}", scopes=[Scope.READ])[1] for n in range(max(CLIENTS) // EACH)
        ]
        self.booked = 0
        self.tick = now
        self.fill()

    def fill(self) -> float:
        """Book a fill; returns when it was begun."""
        from django.utils import timezone

        from positions import ingest
        from positions.book import Cause, Entry, Kind, Side

        began = time.monotonic()
        self.booked += 1
        entry = Entry(
            kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"bench-{self.booked}", time=timezone.now(),
            instrument="BTC", side=Side.BUY, quantity=Decimal("0.01"), price=Decimal(60000), fee=Decimal(0),
        )  # fmt: skip
        ingest.record(
            account=self.account, entries=[entry], source="bench", trace_id="bench", now=timezone.now()
        )
        return began

    def marks(self) -> Iterator[dict[str, Any]]:
        """Prices that move, each newer than the one before."""
        for n in range(FRAMES):
            self.tick += timedelta(milliseconds=1)
            yield {"instrument": self.instrument, "price": str(60000 + n % 97), "source": "mark",
                   "at": datetime.isoformat(self.tick), "freshness": "fresh"}  # fmt: skip

    def fan_out(self, url: str, count: int) -> tuple[float, int]:
        """Deliveries a second to so many clients, and the size of a frame."""
        from core.redis import client
        from positions import live

        peers = Peer("clients", url, count, FRAMES, *self.keys)
        try:
            peers.hear()
            pipeline = client().pipeline(transaction=False)
            for mark in self.marks():
                pipeline.xadd(live.MARKS, {"kind": "marks", "frame": orjson.dumps({"marks": [mark]})})
            began = time.monotonic()
            pipeline.execute()
            told = peers.hear()
        finally:
            peers.end()
        if told["received"] < count * FRAMES:
            print(f"only {told['received']} of {count * FRAMES} frames arrived", file=sys.stderr)
        return float(told["received"]) / (float(told["last"]) - began), frame_size()

    def fills(self, url: str) -> tuple[float, float, int]:
        """Milliseconds from the call that books a fill to the last client: median, 99th percentile; lost."""
        peers = Peer("clients", url, WATCHING, 0, *self.keys)
        try:
            peers.hear()
            began: dict[int, float] = {}
            due = time.monotonic()
            for _ in range(FILLS):
                started = self.fill()
                began[self.booked] = started  # the position's version is the number of its fills
                due += 1 / FILLS_A_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
            time.sleep(1.5)
            peers.tell()
            seen = {int(version): at for version, at in peers.hear()["seen"].items()}
        finally:
            peers.end()
        # A frame is absolute: one that shows a later version has shown the earlier ones too.
        later = sorted(seen)
        arrived = {
            version: min((seen[one] for one in later if one >= version), default=float("inf"))
            for version in began
        }
        taken = sorted((arrived[version] - at) * 1000 for version, at in began.items())
        lost = sum(one == float("inf") for one in taken)
        return statistics.median(taken), taken[int(len(taken) * 0.99)], lost


def frame_size() -> int:
    """Of an update as the hub sends it."""
    from django.utils import timezone

    from portfolio import frames, rows

    row = rows.board(now=timezone.now())[0]
    return len(frames.update(row, position=frames.position(row), token="00000000-1000"))


def floor(size: int, count: int) -> float:
    """Deliveries a second of bare `websockets.broadcast` to the same clients."""
    server = Peer("floor", size, FRAMES, count)
    clients = Peer("clients", f"ws://127.0.0.1:{server.hear()['port']}/", count, FRAMES)
    try:
        clients.hear()
        server.tell()
        began = server.hear()["began"]
        told = clients.hear()
        return float(told["received"]) / (float(told["last"]) - float(began))
    finally:
        clients.end()
        server.end()


def idle_memory(url: str, book: Book, process: psutil.Process) -> float:
    """Kilobytes by which the web process grows for each client that only listens."""
    warm = Peer("clients", url, 1, 0, *book.keys)
    warm.hear()
    warm.end()
    before = process.memory_info().rss
    peers = Peer("clients", url, IDLE, 0, *book.keys)
    try:
        peers.hear()
        time.sleep(1)
        return float(process.memory_info().rss - before) / IDLE / 1024
    finally:
        peers.end()


@contextmanager
def web() -> Iterator[tuple[str, psutil.Process]]:
    """The web process; its socket's address and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "daphne", "--bind", "127.0.0.1", "--port", str(port), "--verbosity", "0"]
    process = subprocess.Popen([*command, "config.asgi:application"], env=os.environ)
    try:
        _await(f"http://127.0.0.1:{port}/health/live")
        yield f"ws://127.0.0.1:{port}/api/v1/positions/stream", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the web process did not start")
