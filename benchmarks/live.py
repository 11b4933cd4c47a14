"""From the venue's socket to browsers: fan-out against bare `websockets.broadcast`, latency, memory, storms.

Every part is a process of its own, as in production: venue, stream, web, Postgres, Redis, clients. They share
the machine's cores, two where the goals were set, with each other and with whatever else runs: trust the
ratios, whose floor is measured in the same minutes, and medians. `--server uvicorn` serves with uvicorn's
`websockets-sansio`; `--full` measures longer.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks import _live_latency, _live_memory
from benchmarks._live_book import Book
from benchmarks._live_rig import Peer, Web, clients, web

Report = Callable[..., None]

SIZE = 150  # bytes of a frame in fan-out, as in the facts the goals rest on
CLIENTS = (100, 500, 1000)
DELIVERIES = 60_000
ROUNDS = 3
ALONE = 100
IDLE = 200
POSITIONS = 1000
OF_BROADCAST = {"daphne": 0.5, "uvicorn": 0.8}


def run(report: Report) -> None:
    """All figures, for the server of BENCH_SERVER; BENCH_FULL for longer ones, BENCH_ONLY for a part."""
    server = os.environ.get("BENCH_SERVER", "daphne")
    full, only = bool(os.environ.get("BENCH_FULL")), os.environ.get("BENCH_ONLY") or "all"
    goal, rounds, seconds = OF_BROADCAST[server], ROUNDS * (1 + full), 30 if full else 8
    parts: dict[str, Callable[[Book, Web], None]] = {
        "idle": lambda book, running: idle_memory(report, book, running),
        "fan-out": lambda book, running: fan_outs(report, book, running, goal=goal, rounds=rounds),
        "stalled": lambda book, running: stalled(report, book, running),
        "storm": lambda book, running: storm(report, book, running),
        "positions": lambda book, running: positions_memory(report, book, running),
        "ticks": lambda book, running: _live_latency.ticks(
            report, book, running, positions=POSITIONS, seconds=seconds
        ),
    }
    book = Book()
    if only != "fills":
        with web(server) as running:
            for name, part in parts.items():
                if only in ("all", name):
                    part(book, running)
    if only in ("all", "fills"):
        _live_latency.fills(report, server, seconds=seconds)


def fan_outs(report: Report, book: Book, running: Web, *, goal: float, rounds: int) -> None:
    """At each number of clients."""
    for count in CLIENTS:
        fan_out(report, book, running, count, goal=goal, rounds=rounds)


def fan_out(report: Report, book: Book, running: Web, count: int, *, goal: float, rounds: int) -> None:
    """One frame after the other to so many clients, as many a second as it goes; by turns with the floor."""
    frames = DELIVERIES // count
    ours: list[float] = []
    bare: list[float] = []
    stock: list[float] = []
    with (
        clients(running.url, book.keys, count) as watching,
        Peer("_live_servers", "floor", SIZE) as server,
        clients(f"ws://127.0.0.1:{server.hear()['port']}/", [], count) as of_server,
    ):
        processor = running.processor
        for _ in range(rounds):
            bare.append(rate(of_server, frames, lambda: told(server, frames)))
            ours.append(rate(watching, frames, lambda: book.feed_frames(frames, size=SIZE)))
        processor = (running.processor - processor) / (rounds * frames * count)
        if count == max(CLIENTS):
            one_by_one(report, book, running, server, watching, of_server, goal)
    if count == max(CLIENTS):
        with (
            Peer("_live_servers", "stock", SIZE) as channels,
            clients(f"ws://127.0.0.1:{channels.hear()['port']}/", [], count) as of_channels,
        ):
            stock.append(rate(of_channels, 10, lambda: told(channels, 10)))
    middle, least = statistics.median(ours), statistics.median(bare)
    report(f"fan-out to {count} clients, of bare broadcast", middle / least, "×", goal, "higher", 1.0)
    report(f"deliveries to {count} clients", middle, "1/s", goal * least, "higher", least)
    report(
        f"processor for a delivery to {count} clients",
        processor * 1e6,
        "µs",
        1e6 / least / goal,
        "lower",
        1e6 / least,
    )
    if stock:
        report(f"fan-out to {count} clients, of stock Channels", middle / stock[0], "×", 10, "higher", 1.0)


def one_by_one(
    report: Report, book: Book, running: Web, server: Peer, watching: Peer, of_server: Peer, goal: float
) -> None:
    """Processor per delivery when each frame comes alone, so that nobody can write several at once."""
    bare, count = psutil.Process(server.process.pid), max(CLIENTS)
    ours_before, bare_before = running.processor, processor_of(bare)
    turns: tuple[tuple[Peer, Callable[[], float]], ...] = (
        (watching, lambda: book.feed_frames(1, size=SIZE)),
        (of_server, lambda: told(server, 1)),
    )
    for peer, send in turns:
        assert peer.ask("count", frames=ALONE, kind="feed")["ready"]
        for _ in range(ALONE):
            send()
            time.sleep(0.04)
        peer.hear()
    ours, least = running.processor - ours_before, processor_of(bare) - bare_before
    report(
        f"fan-out of single frames to {count} clients, of bare broadcast, by processor",
        least / ours, "×", goal, "higher", 1.0,
    )  # fmt: skip
    report("processor for a delivery of a single frame", ours / ALONE / count * 1e6, "µs",
           least / ALONE / count * 1e6 / goal, "lower", least / ALONE / count * 1e6)  # fmt: skip


def processor_of(process: psutil.Process) -> float:
    """Seconds of processor that it has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def told(server: Peer, frames: int) -> float:
    """A server to compare with sends so many frames; when it began."""
    server.tell(str(frames))
    return float(server.hear()["began"])


def rate(watching: Peer, frames: int, send: Callable[[], float]) -> float:
    """Deliveries a second, from the first byte handed over to the last client's last frame."""
    assert watching.ask("count", frames=frames, kind="feed")["ready"]
    began = send()
    counted = watching.hear()
    return float(counted["received"]) / (float(counted["last"]) - began)


def idle_memory(report: Report, book: Book, running: Web) -> None:
    """What the web process grows by for each client that only listens."""
    with clients(running.url, book.keys, 20):
        time.sleep(1)
    time.sleep(2)
    before = running.memory
    with clients(running.url, book.keys, IDLE):
        time.sleep(1)
        each = (running.memory - before) / IDLE / 1024
    report("memory of an idle client", each, "kB", 50, "lower", None)


def stalled(report: Report, book: Book, running: Web) -> None:
    """The rate of 99 clients while a hundredth reads nothing, of their rate when all read."""
    rates: dict[int, list[float]] = {0: [], 1: []}
    before = running.memory
    for _ in range(ROUNDS):
        for number in (0, 1):
            with clients(running.url, book.keys, 100, stalled=number) as watching:
                send = lambda: book.feed_frames(600, size=2000)  # noqa: E731
                found = rate(watching, 600, send)
                rates[number].append(found / (100 - number))
    grown = (running.memory - before) / 1e6
    kept = statistics.median(rates[1]) / statistics.median(rates[0])
    report("rate of 99 clients while one never reads", kept, "×", 0.8, "higher", 1.0)
    report("memory grown by clients that never read", grown, "MB", 20, "lower", None)


def positions_memory(report: Report, book: Book, running: Web) -> None:
    """What a web process keeps of a large book."""
    book.grow(POSITIONS)
    each, positions = _live_memory.of_positions()
    report(f"memory of 100 positions, of {positions}", each * 100 / 1024, "kB", 200, "lower", None)


def storm(report: Report, book: Book, running: Web) -> None:
    """A thousand clients lost at once come back at once, and have missed nothing of what was booked."""
    with clients(running.url, book.keys, 1000, track=True) as watching:
        first: dict[str, Any] = watching.served  # type: ignore[attr-defined]
        book.fill()
        time.sleep(1)
        watching.ask("drop")
        for _ in range(20):
            book.fill()
        processor = running.processor
        again = watching.ask("connect", url=running.url, keys=book.keys, count=1000, track=True)
        processor = running.processor - processor
        book.fill()
        time.sleep(2)
        sizes = watching.ask("noted")["sizes"]
    report("1,000 clients come for the first time", first["seconds"], "s", 10, "lower", None)
    report("1,000 clients come back at once", again["seconds"], "s", 5, "lower", None)
    report("processor for a client that comes back", processor, "ms", 2.5, "lower", None)
    report("clients that came back with a token", again["resumed"], "clients", 1000, "higher", None)
    report("sizes that they show afterwards", len(sizes), "sizes", 1, "lower", None)
