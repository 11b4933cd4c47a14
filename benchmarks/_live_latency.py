"""How long a price and a fill take to the last client, leg by leg."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import orjson
import psutil

from benchmarks import _live_floor
from benchmarks._live_book import KEYS, Book
from benchmarks._live_rig import Peer, Web, clients, web

TICKING = 200
LATE_OF_1000 = {"daphne": 250, "uvicorn": 80}
RATE = 200
OF_BARE = 4.5  # the goals, 6 and 15 ms, were set where the bare way took 1.3 and 3.4
WARM_UP = 20
TELL_EVERY = 0.1  # prices of the stream process leave this far apart


def ticks(report: Callable[..., None], book: Book, running: Web, *, positions: int, seconds: float) -> None:
    """All markets tick ten times a second: from the live log to the last of 200, all rows revalued."""
    bare = _live_floor.times(TICKING, rate=10, seconds=seconds, frame=_live_floor.TICK)
    if len(book.accounts) == 1:
        book.grow(positions)
        time.sleep(3)
    book.tick("60001")
    with clients(f"{running.url}?format=compact", book.keys, TICKING) as watching:
        watching.ask("note", what="marks")
        began: dict[str, float] = {}
        processor = running.processor
        due = time.monotonic()
        for n in range(WARM_UP + int(seconds / TELL_EVERY)):
            price = f"{60000 + n * 7 % 1999}.{n % 10}{n % 9 + 1}"
            at = book.tick(price)
            if n >= WARM_UP:  # the first come while what 200 snapshots took is still being cleared away
                began[price] = at
            due += TELL_EVERY
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(1)
        processor = (running.processor - processor) / (WARM_UP + len(began)) * 1000
        told = watching.ask("noted")
    report("processor of web for a tick", processor, "ms", 25, "lower", None)
    noted: Mapping[str, list[float]] = told["noted"]
    taken = [(noted[price][1] - at) * 1000 for price, at in began.items() if price in noted]
    whole = sum(noted[price][0] == TICKING for price in began if price in noted)
    name = f"tick to the last of {TICKING} clients, {positions} positions"
    report(f"{name}, median", statistics.median(taken), "ms", 25, "lower", statistics.median(bare))
    report(f"{name}, 99th percentile", late(taken), "ms", 25, "lower", late(bare))
    report(
        "ticks that did not reach every client", len(began) - whole, "ticks", len(began) / 50, "lower", None
    )
    report("clients that fell a megabyte behind", told["cut"], "clients", 0, "lower", None)
    report("compact row, median", statistics.median(told["rows"]), "bytes", 60, "lower", None)


def late(taken: list[float]) -> float:
    """The 99th percentile."""
    return sorted(taken)[int(len(taken) * 0.99)]


def fills(report: Callable[..., None], server: str, *, seconds: float) -> None:
    """200 fills a second on the venue's socket, through the stream process, to the last of so many."""
    from django.utils import timezone

    from benchmarks._live_book import keeper
    from core.models import issue_key
    from core.security.scopes import Scope

    with Peer("_live_venue") as venue:
        told = venue.hear()
        account = _connect(f"http://127.0.0.1:{told['port']}", told["users"][0])
        keys = [
            issue_key(
                name=f"fills {n}",
                scopes=[Scope.READ],
                accounts=[account.pk],
                owner_id=keeper().pk,
                who="benchmark",
                now=timezone.now(),
            )[1]
            for n in range(KEYS)
        ]
        with _stream() as stream, web(server) as running:
            _until_live(account.pk)
            order = {"user": told["users"][0], "coin": "BTC", "size": "0.0002"}
            _trade(venue, running, keys, 5, order | {"rate": 50, "seconds": 1})  # whatever is slow at first
            for count, middle, last in ((100, 6, 15), (1000, None, LATE_OF_1000[server])):
                bare = _live_floor.times(count, rate=RATE, seconds=seconds / 2)
                before = _processor(stream), running.processor
                found = _trade(venue, running, keys, count, order | {"rate": RATE, "seconds": seconds})
                bare += _live_floor.times(count, rate=RATE, seconds=seconds / 2)
                _report_fills(report, found, count, middle, last, bare)
                for name, taken in (
                    ("stream", _processor(stream) - before[0]),
                    ("web", running.processor - before[1]),
                ):
                    each = taken / len(found["all"]) * 1000
                    report(f"processor of {name} for a fill, {count} clients", each, "ms", 5, "lower", None)


def _report_fills(
    report: Callable[..., None],
    found: dict[str, list[float]],
    count: int,
    middle: float | None,
    last: float,
    bare: list[float],
) -> None:
    seen = [one for one in found["all"] if one is not None]
    name = f"fill to the last of {count} clients"
    floor = late(bare) if bare else None
    report(f"{name}, 99th percentile", late(seen), "ms", last, "lower", floor)
    if middle is not None:
        least = statistics.median(bare)
        report(f"{name}, median", statistics.median(seen), "ms", middle, "lower", least)
        of_bare = statistics.median(seen) / least, late(seen) / late(bare)
        report(f"{name}, median, of the bare way", of_bare[0], "×", OF_BARE, "lower", 1.0)
        report(f"{name}, 99th percentile, of the bare way", of_bare[1], "×", OF_BARE, "lower", 1.0)
    lost = len(found["all"]) - len(seen)
    report(f"fills that {count} clients did not see", lost, "fills", 0, "lower", None)
    for leg in ("to the live log", "from there to clients"):
        taken = found[leg]
        report(f"of that {leg}, median", statistics.median(taken), "ms", last, "lower", None)
        report(f"of that {leg}, 99th percentile", late(taken), "ms", last, "lower", None)


def _trade(venue: Peer, running: Web, keys: list[str], count: int, order: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds from the venue's socket to the last client, and of the legs; None: it was not seen."""
    with clients(running.url, keys, count) as watching:
        watching.ask("note", what="sizes")
        venue.tell(json.dumps(order))
        sent = {Decimal(size): at for size, at in venue.hear().items()}
        time.sleep(1.5)
        noted = {
            Decimal(size): at for size, (seen, at) in watching.ask("noted")["noted"].items() if seen >= count
        }
    logged = _logged()
    found: dict[str, Any] = {"all": [], "to the live log": [], "from there to clients": []}
    for size, at in sent.items():
        seen_at, logged_at = _first(noted, size), _first(logged, size)
        found["all"].append(None if seen_at is None else (seen_at - at) * 1000)
        if seen_at is not None and logged_at is not None:
            found["to the live log"].append((logged_at - at) * 1000)
            found["from there to clients"].append((seen_at - logged_at) * 1000)
    return found


def _first(times: Mapping[Decimal, float], size: Decimal) -> float | None:
    """When the size was reached: a frame is absolute, and one that shows more has shown this too."""
    return min((at for one, at in times.items() if one >= size), default=None)


def _logged() -> dict[Decimal, float]:
    """When each size went onto the live log, to the millisecond."""
    from core.storage.redis import client
    from positions import live

    ahead = time.time() - time.monotonic()
    found: dict[Decimal, float] = {}
    entries: Any = client().xrange(live.LIVE)
    for name, fields in entries:
        for row in orjson.loads(fields[b"frame"]).get("positions", ()) if fields[b"kind"] == b"book" else ():
            found.setdefault(Decimal(row["quantity"]), int(name.split(b"-")[0]) / 1000 - ahead)
    return found


def _connect(base_url: str, user: str) -> Any:
    from django.utils import timezone

    from core.storage.redis import client
    from positions import live
    from positions.models import Account, Environment

    Account.objects.update(enabled=False)
    client().delete(live.LIVE)
    return Account.objects.create(
        label="on the venue", venue="hyperliquid", environment=Environment.SIMULATED, base_url=base_url,
        address=user, created_at=timezone.now(),
    )  # fmt: skip


@contextmanager
def _stream() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "manage.py", "stream"], env=os.environ)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _until_live(account: int) -> None:
    from django.utils import timezone

    from positions.sync import feeds

    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        feed = feeds.known(now=timezone.now()).get(account)
        if feed is not None and feed.state == feeds.State.LIVE:
            return
        time.sleep(0.2)
    raise RuntimeError("the account's feed does not become live")
