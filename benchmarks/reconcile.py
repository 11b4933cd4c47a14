"""Reconciliation: a long run with random faults, 200 seeded causes, and one account with 500 positions.

Everything goes through unmodified ccxt over HTTP against the simulated venue in this process, into Postgres;
see tests/reconciliation/world.py for what a long run is. Times are the simulated venue's. RECONCILE_SECONDS
and RECONCILE_CASES make it shorter.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from statistics import median
from typing import Any
from unittest.mock import patch

SECONDS = int(os.environ.get("RECONCILE_SECONDS", 7_400))
CASES = int(os.environ.get("RECONCILE_CASES", 200))
FEW, MANY = 50, 500
ROUNDS = 7
ENTRIES = 6_000
# What a venue far away takes for an answer, beside what computing it takes here.
FAR = 0.15


def run(report: Callable[..., None]) -> None:
    """All figures of reconciliation."""
    logging.disable(logging.WARNING)
    _long(report)
    _causes(report)
    _wide(report)
    _as_of(report)


@contextmanager
def _careless() -> Iterator[None]:
    """Go on before Postgres has written a commit down: nothing crashes here, and time is the venue's."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO off")
        yield
        cursor.execute("SET synchronous_commit TO on")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


# Faults at random -------------------------------------------------------------------------------------------


def _long(report: Callable[..., None]) -> None:
    from tests.reconciliation.faults import BUSY, CALM, POLLED
    from tests.reconciliation.stage import staged
    from tests.reconciliation.world import World

    began = time.perf_counter()
    with _careless(), staged(seed=5) as stage:
        world = World(stage, seed=5, kinds=(CALM, CALM, CALM, BUSY, BUSY, POLLED, POLLED), fault_every=110)
        for _ in range(10):
            world.live(SECONDS / 10)
            _say(f"{world.passed:.0f} s of the world, {time.perf_counter() - began:.0f} s here")
        world.finish()
        untrue, unsettled = world.untrue(), world.unsettled()
        hours, fills = world.passed / 3600, world.fills
    _say(world.told())
    for line in [*world.false_alarms, *untrue, *unsettled]:
        _say(line)
    missed = [fault for fault in world.faults if fault.found is None]
    named = [fault for fault in world.faults if fault.said == fault.right.cause]
    full = SECONDS >= 7_200
    report("simulated time", hours, "h", 2 if full else 0, "higher")
    report("fills", fills, "fills", 20_000 if full else 0, "higher")
    report("faults injected", len(world.faults), "faults", 200 if full else 1, "higher")
    report("faults missed", len(missed), "faults", 0, "lower")
    report("false alarms", len(world.false_alarms), "alarms", 0, "lower")
    report("faults not settled after repair", len(unsettled), "faults", 0, "lower")
    report("differences of the final book from /sim/truth", len(untrue), "figures", 0, "lower")
    for by, goal in ((CALM, 10), (BUSY, 20), ("schedule", 70)):
        found = world.seconds(by)
        for line in world.slow(by, goal=goal):
            _say(line)
        name = {CALM: "targeted", BUSY: "targeted, trading without pause"}.get(by, "schedule alone")
        report(f"shown to DRIFT, {name}, median of {len(found)}", median(found or [0]), "s", goal, "lower")
        report(f"shown to DRIFT, {name}, 99th percentile", _percentile(found, 99), "s", goal, "lower")
    report("likeliest cause right, in the long run", len(named) / len(world.faults), "of 1", 0.9, "higher")
    report("wall time of the long run", time.perf_counter() - began, "s", 360, "lower")


def _percentile(values: list[float], which: int) -> float:
    """The smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * which / 100) - 1)] if values else 0.0


# Causes -----------------------------------------------------------------------------------------------------


def _causes(report: Callable[..., None]) -> None:
    from tests.reconciliation.injections import hit_rate, judged, table
    from tests.reconciliation.stage import staged

    with staged(seed=6) as stage:
        results = [judged(stage, seed=seed) for seed in range(CASES)]
    _say(table(results))
    half = len(results) // 2
    report(f"likeliest cause right, of {len(results)} cases", hit_rate(results), "of 1", 0.9, "higher")
    report("  in the half that nobody tuned on", hit_rate(results[half:]), "of 1", 0.9, "higher")


# Many positions ---------------------------------------------------------------------------------------------


def _wide(report: Callable[..., None]) -> None:
    few, many = _account_of(FEW), _account_of(MANY)
    report(f"venue calls of a run, {MANY} positions", many["calls"], "calls", few["calls"], "lower")
    report(f"queries of a run, {MANY} positions", many["queries"], "queries", few["queries"], "lower")
    report(
        f"run, venue {FAR * 1000:.0f} ms away",
        many["far"],
        "ms",
        many["far_alone"] * 1.5,
        "lower",
        many["far_alone"],
    )
    report("ratio to its venue calls alone", many["far"] / many["far_alone"], "×", 1.5, "lower", 1)
    report(
        "run, venue on this machine",
        many["near"],
        "ms",
        many["near_alone"] + 250,
        "lower",
        many["near_alone"],
    )


def _account_of(positions: int) -> dict[str, float]:
    """What a scheduled run costs: calls, queries, median milliseconds of it and of its calls alone."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from positions.sync import connections
    from positions.venues.transport.event_loop import run as await_
    from tests.reconciliation.stage import staged

    with _listed(positions) as coins, staged(seed=7) as stage:
        user = f"0x{positions:040x}"
        stage.do("deposit", user=user, amount=10_000_000)
        stage.wait(1)
        for coin in coins:
            stage.trade(coin, "buy", 10, user=user)
        account = stage.account(user, label=f"{positions} positions")
        stage.reconcile(account, trigger="start")
        stage.wait(30)
        stage.reconcile(account)
        venue = connections.connect(account=account)
        before = len(stage.venue.log)
        with CaptureQueriesContext(connection) as queries:
            last = stage.reconcile(account)
        found: dict[str, float] = {"calls": len(stage.venue.log) - before, "queries": len(queries)}
        if not last.complete or len(last.legs) < positions:
            raise RuntimeError(f"a run of {positions} positions is not complete: {last.problem}")

        def alone() -> None:
            await_(venue.report())

        found["near_alone"], found["near"] = _both(alone, lambda: stage.reconcile(account))
        stage.fail("delay_reply", seconds=FAR)
        found["far_alone"], found["far"] = _both(alone, lambda: stage.reconcile(account))
        stage.heal()
    return found


# The book as it was -----------------------------------------------------------------------------------------


def _as_of(report: Callable[..., None]) -> None:
    """What a comparison costs while facts arrive: the book as of the report, folded from its entries."""
    from datetime import timedelta

    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from positions.book import Cause, Entry, Kind, Leg, Side
    from reconciliation import queries
    from tests.reconciliation.stage import staged

    with staged(seed=8) as stage:
        account = stage.account()
        stage.reconcile(account, trigger="start")
        begin = stage.now()
        stage.wait(ENTRIES / 10 + 60)
        entries = [
            Entry(
                kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"fill:{number}",
                time=begin + timedelta(milliseconds=100 * number), leg=Leg.NET,
                instrument=("ETH", "BTC", "SOL")[number % 3],
                side=Side.BUY if number % 2 else Side.SELL, quantity=Decimal(1 + number % 3),
                price=Decimal(100 + number % 7), fee=Decimal(0), fee_currency="USDC", wallet="perp",
            )
            for number in range(ENTRIES)
        ]  # fmt: skip
        for start in range(0, ENTRIES, 1_000):
            stage.book(account, *entries[start : start + 1_000])
        last = entries[-1].time
        with CaptureQueriesContext(connection) as asked:
            queries.book(account=account, at=last - timedelta(seconds=1))
        stands, was = _both(
            lambda: queries.book(account=account, at=last + timedelta(seconds=1)),
            lambda: queries.book(account=account, at=last - timedelta(seconds=1)),
        )
    report(f"queries of a book as of a moment, {ENTRIES} entries", len(asked), "queries", 30, "lower")
    report(f"book as of a moment, {ENTRIES} entries", was, "ms", 300, "lower", stands)


def _both(floor: Callable[[], Any], work: Callable[[], Any]) -> tuple[float, float]:
    """Median milliseconds of two things, measured in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, kept in zip((floor, work), times, strict=True):
            began = time.perf_counter()
            call()
            kept.append((time.perf_counter() - began) * 1000)
    return median(times[0]), median(times[1])


@contextmanager
def _listed(count: int) -> Iterator[list[str]]:
    """A venue that lists so many perpetuals more."""
    from simulator.engine import catalogue, exchange

    coins = [f"X{number:03d}" for number in range(count)]
    more = tuple(
        catalogue.Listing(coin, 1_000 + number, catalogue.PERP, 2, Decimal(20), 0.001, table=20)
        for number, coin in enumerate(coins)
    )
    listings = catalogue.LISTINGS + more
    with patch.object(catalogue, "LISTINGS", listings), patch.object(exchange, "LISTINGS", listings):
        yield coins
