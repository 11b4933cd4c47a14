"""Book and truth after a long while of trading with faults on, through `manage.py stream` and Postgres.

`python -m benchmarks.simulator --book MINUTES` starts both simulated venues, connects their traders, lets
one fault follow another, and compares what our book says with the venues' own ledgers once they rest. With
`--peace 0` faults are on before the accounts connect; `--seed` picks other faults, in another order.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._simulator_truth import Row, Sim, differences

TRADERS, SPEED = 5, 10
SCENARIO = {
    "phases": [
        {"regime": "calm", "seconds": 1800},
        {"regime": "crash", "seconds": 600},
        {"regime": "trend", "seconds": 1800},
        {"regime": "calm", "seconds": 1800},
        {"regime": "crash", "seconds": 400},
    ]
}
# What the network, the venue's front and its records do. Not: what makes the venue's ledger itself wrong
# (a fill repeated under another id, rows of no known kind), which no book should follow.
NETWORK: tuple[Row, ...] = (
    {"kind": "cut"},
    {"kind": "cut", "hard": True},
    {"kind": "drop", "channel": "userFills", "for": 3},
    {"kind": "drop", "for": 2},
    {"kind": "duplicate", "for": 4},
    {"kind": "delay", "seconds": 1.5, "for": 4},
    {"kind": "shuffle", "for": 4},
    {"kind": "silence", "for": 6},
    {"kind": "status", "status": 429, "times": 3},
    {"kind": "status", "status": 500, "times": 3},
    {"kind": "status", "status": 502, "times": 3},
    {"kind": "timeout", "seconds": 12, "times": 1},
    {"kind": "delay_reply", "seconds": 2, "times": 3},
    {"kind": "truncate", "times": 3},
    {"kind": "empty", "type": "userFillsByTime", "times": 2},
    {"kind": "stale", "for": 3},
    {"kind": "page_cut", "rows": 7, "for": 5},
    {"kind": "history_cut", "rows": 20, "for": 3},
)
# For the whole run: a clock that goes back makes the venue's ledger wrong, which says then that what was in a
# balance already happened after it.
SKEW: Row = {"kind": "clock_skew", "ms": 400}
EVENTS: tuple[Row, ...] = (
    {"kind": "trade", "coin": "ETH", "side": "buy", "size": "0.2"},
    {"kind": "trade", "coin": "BTC", "side": "sell", "size": "0.004"},
    {"kind": "funding"},
    {"kind": "deposit", "amount": "1234.5"},
    {"kind": "withdraw", "amount": "25"},
    {"kind": "withhold", "what": "fill", "count": 2, "seconds": 4},
    {"kind": "withhold", "what": "funding", "count": 1, "seconds": 6},
    {"kind": "withhold", "what": "ledger", "count": 1, "seconds": 6},
    {"kind": "dust", "token": "HYPE"},
)
OF_A_POSITION: tuple[Row, ...] = (
    {"kind": "liquidate", "share": "0.4"},
    {"kind": "liquidate"},
    {"kind": "liquidate", "backstop": True},
    {"kind": "adl"},
)
# As in the Procfile: what watches, what reconciles, and what tells it when.
CELERY = (sys.executable, "-m", "celery", "--quiet", "--app", "config")
PROCESSES = (
    (sys.executable, "manage.py", "stream"),
    (
        *CELERY,
        "worker",
        "--loglevel",
        "WARNING",
        "--concurrency",
        "2",
        "--without-gossip",
        "--without-mingle",
    ),
    (*CELERY, "beat", "--loglevel", "WARNING", "--pidfile="),
)
SETTLE_WITHIN = 240.0
PEACE = 60.0
PACE = 6.5
SEED = 7


def book(minutes: float, *, peace: float, pace: float, seed: int) -> int:
    """Run for so long (wall time); 0 when book and truth are equal at the end, else 1.

    `peace` is how long (s) accounts are connected before the first fault, `pace` the mean time between two.
    """
    with tempfile.TemporaryDirectory(prefix="plumbline-soak-") as scratch:
        folder = Path(scratch)
        with _services(folder):
            scenario = folder / "scenario.json"
            scenario.write_text(json.dumps(SCENARIO))
            market = ("--speed", str(SPEED), "--scenario", str(scenario), "--seed", str(seed))
            hyperliquid = Sim(*market, "--traders", str(TRADERS), venue="hyperliquid")
            coinbase = Sim(*market, "--traders", "2", venue="coinbase")
            accounts = _connect(hyperliquid, coinbase)
            log = (folder / "processes.log").open("ab")
            processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in PROCESSES]
            try:
                caused = _make_trouble(hyperliquid, coinbase, minutes, peace=peace, pace=pace, seed=seed)
                return _verdict(hyperliquid, coinbase, accounts, caused, folder)
            finally:
                for one in processes:
                    one.terminate()
                for one in processes:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        one.wait(10)
                    one.kill()
                log.close()
                hyperliquid.server.stop()
                coinbase.server.stop()


@contextlib.contextmanager
def _services(folder: Path) -> Iterator[None]:
    from benchmarks.__main__ import _prepare_django
    from config import embedded

    os.environ["DATA_DIR"] = str(folder)
    with embedded.running(folder) as urls:
        os.environ |= {"DATABASE_URL": urls.database, "REDIS_URL": urls.redis}
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        _prepare_django()
        yield


def _connect(hyperliquid: Sim, coinbase: Sim) -> dict[str, int]:
    """The account of each user."""
    from django.utils import timezone

    from positions.models import Account
    from positions.sync.connections import encrypt
    from positions.venues.base import Credentials

    made = {}
    for venue, name in ((hyperliquid, "hyperliquid"), (coinbase, "coinbase")):
        for user in venue.users:
            keys = {"address": user} if name == "hyperliquid" else {
                "credentials": encrypt(Credentials(api_key=user, secret="any"))
            }  # fmt: skip
            made[user] = Account.objects.create(
                label=f"{name} {user}", venue=name, environment="simulated",
                base_url=venue.server.base, created_at=timezone.now(), **keys,
            ).pk  # fmt: skip
    return made


def _make_trouble(
    hyperliquid: Sim, coinbase: Sim, minutes: float, *, peace: float, pace: float, seed: int
) -> Counter[str]:
    chance, caused = random.Random(seed), Counter[str]()
    hyperliquid.cause(SKEW)
    coinbase.cause(SKEW)
    time.sleep(peace)
    until, told = time.monotonic() + minutes * 60, 0.0
    while time.monotonic() < until:
        spec = dict(chance.choice((*NETWORK, *EVENTS, *OF_A_POSITION)))
        if spec["kind"] in {one["kind"] for one in (*EVENTS, *OF_A_POSITION)}:
            spec |= _victim(hyperliquid, spec, chance)
        if hyperliquid.cause(spec):
            caused[spec["kind"]] += 1
        if spec in NETWORK and spec["kind"] not in {"empty", "cut"} and chance.random() < 0.3:
            coinbase.cause(spec)
        time.sleep(pace * chance.uniform(0.6, 1.4))
        if time.monotonic() > told + 60:
            told = time.monotonic()
            fills = sum(hyperliquid.truth(one)["totals"]["fills"] for one in hyperliquid.users)
            _say({"minutes_left": round((until - told) / 60, 1), "fills": fills, "faults": caused.total()})
    return caused


def _victim(venue: Sim, spec: Row, chance: random.Random) -> Row:
    user = chance.choice(venue.users)
    if spec["kind"] in ("liquidate", "adl"):
        coins = sorted(venue.truth(user)["positions"])
        return {"user": user, "coin": chance.choice(coins) if coins else "BTC"}
    return {"user": user}


def _verdict(
    hyperliquid: Sim, coinbase: Sim, accounts: dict[str, int], caused: Counter[str], folder: Path
) -> int:
    for venue in (hyperliquid, coinbase):
        venue.ask("faults", method="DELETE")
    hyperliquid.cause({"kind": "release"})
    hyperliquid.ask("pause", {"paused": True})
    coinbase.ask("pause", {"paused": True})
    began = time.monotonic()
    while left := differences(hyperliquid, coinbase, accounts):
        if time.monotonic() > began + SETTLE_WITHIN:
            break
        time.sleep(1)
    totals = Counter[str]()
    for user in hyperliquid.users:
        truth = hyperliquid.truth(user)["totals"]
        totals["fills"] += truth["fills"]
    _say(
        {
            "faults": dict(caused),
            **_booked(),
            "venue_fills": totals["fills"],
            "settled_after_s": round(time.monotonic() - began, 1),
            "imbalance": hyperliquid.ask("balance"),
            "differences": left,
        }
    )
    if left:
        _say({"feeds": _feeds(), "log": (folder / "processes.log").read_text()[-20000:].splitlines()})
    return 1 if left else 0


def _feeds() -> dict[str, Any]:
    """What the stream says of each account."""
    import redis

    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    said: Any = client.hgetall("plumbline:feeds")
    return {key.decode(): json.loads(value) for key, value in said.items()}


def _booked() -> Row:
    from django.db.models import Count

    from positions.models import Entry

    kinds = Entry.objects.values_list("kind").annotate(rows=Count("*")).order_by("kind")
    causes = Entry.objects.filter(kind="fill").values_list("cause").annotate(rows=Count("*"))
    ours = Entry.objects.filter(cause__in=("opening", "inferred", "manual"), kind="fill")
    told = ours.values_list("account__label", "instrument__venue_symbol", "venue_ref", "at", "source")
    return {
        "booked": dict(kinds),
        "fills": dict(causes),
        "not_the_venues": [list(map(str, one)) for one in told],
    }


def _say(facts: Row) -> None:
    print(json.dumps(facts), flush=True)
