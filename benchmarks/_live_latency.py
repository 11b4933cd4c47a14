"""How long a price and a fill take to the last client, leg by leg."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks._live_book import Book
from benchmarks._live_rig import Web, clients

TICKING = 200
TELL_EVERY = 0.1  # prices of the stream process leave this far apart


def ticks(report: Callable[..., None], book: Book, running: Web, *, positions: int, seconds: float) -> None:
    """All markets tick ten times a second: from the live log to the last of 200 clients, all rows revalued."""
    with clients(running.url, book.keys, 1):
        time.sleep(2)
        before = running.memory
        book.grow(positions)
        time.sleep(17)  # everything is read again within 15 s
        report(
            "memory of 100 positions", (running.memory - before) / positions * 100 / 1024, "kB", 200, "lower", None
        )
    with clients(f"{running.url}?format=compact", book.keys, TICKING) as watching:
        watching.ask("note", what="marks")
        began: dict[str, float] = {}
        due = time.monotonic()
        for n in range(int(seconds / TELL_EVERY)):
            price = f"{60000 + n * 7 % 1999}.{n % 10}{n % 9 + 1}"
            began[price] = book.tick(price)
            due += TELL_EVERY
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(1)
        told = watching.ask("noted")
    noted: Mapping[str, list[float]] = told["noted"]
    taken = [(noted[price][1] - at) * 1000 for price, at in began.items() if price in noted]
    whole = sum(noted[price][0] == TICKING for price in began if price in noted)
    report(f"tick to the last of {TICKING} clients, {positions} positions, median", statistics.median(taken), "ms", 25, "lower", None)
    report(f"tick to the last of {TICKING} clients, {positions} positions, 99th percentile", late(taken), "ms", 25, "lower", None)
    report("ticks that did not reach every client", len(began) - whole, "ticks", len(began) / 50, "lower", None)
    report("compact row, median", statistics.median(told["rows"]), "bytes", 60, "lower", None)


def late(taken: list[float]) -> float:
    """The 99th percentile."""
    return sorted(taken)[int(len(taken) * 0.99)]


def fills(report: Callable[..., None], server: str, *, seconds: float) -> None:
    """Comes next."""
