"""Alerts judged like a classifier, by a long seeded world in which things go wrong; and what they cost.

ALERTS_HOURS makes the world longer or shorter; its time is its own. The states that alerts follow from are
written as reconciliation, feeds and processes write them; whether a drift is found is `bin/bench reconcile`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Any

HOURS = float(os.environ.get("ALERTS_HOURS", "1"))
ACCOUNTS = 6
POSITIONS, OF_ACCOUNTS, EVALUATIONS = 1_000, 10, 25
TOLD_WITHIN = {
    "drift": 5, "liquidation_near": 5, "liquidated": 5, "feed_silent": 75, "proof_old": 45, "key": 45,
    "quarantine": 45, "component_down": 60,
}  # fmt: skip
"""Seconds after which an incident must have been told: until it shows, its wait, and a step."""
AFTERWARDS = {"feed_silent": 10, "component_down": 10}
GATED = ("drift", "liquidation_near", "liquidated")


def run(report: Callable[..., None]) -> None:
    """All figures of alerts."""
    logging.disable(logging.WARNING)
    only = os.environ.get("BENCH_ONLY", "")
    if only in ("", "speed"):
        _speed(report)
    if only in ("", "truth"):
        _truth(report)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _truth(report: Callable[..., None]) -> None:
    from django.utils import timezone

    from benchmarks._alerts_world import STEP, AlertsWorld
    from portfolio.models import Alert

    began = time.perf_counter()
    world = AlertsWorld(seed=11, accounts=ACCOUNTS, now=timezone.now())
    steps = int(HOURS * 3600 / STEP)
    for _ in range(steps):
        world.step()
    told = list(Alert.objects.exclude(told_at=None).order_by("pk"))
    passed, number = time.perf_counter() - began, Alert.objects.count()
    _say(f"{steps} evaluations of {HOURS:g} h in {passed:.0f} s, {number} alerts")
    _say(f"{'kind':18}{'incidents':>10}{'raised':>8}{'missed':>8}{'false':>7}{'early':>7}  precision  recall")
    for kind in TOLD_WITHIN:
        row = _score(kind, world, [one for one in told if one.kind == kind])
        _report(report, kind, row)


def _report(report: Callable[..., None], kind: str, row: dict[str, int]) -> None:
    raised, missed, false, early = row["raised"], row["missed"], row["false"], row["early"]
    precision = raised / (raised + false) if raised + false else 1.0
    recall = raised / (raised + missed) if raised + missed else 1.0
    figures = f"{row['incidents']:>10}{raised:>8}{missed:>8}{false:>7}{early:>7}"
    _say(f"{kind:18}{figures}{precision:>11.3f}{recall:>8.3f}")
    if kind in GATED:
        report(f"{kind}: missed", missed, "incidents", 0, "lower")
        report(f"{kind}: false", false, "alerts", 0, "lower")
    else:
        report(f"{kind}: precision", precision, "of 1", 0.95, "higher")
        report(f"{kind}: recall", recall, "of 1", 0.95, "higher")
    report(f"{kind}: cleared while it lasted", early, "alerts", 0, "lower")


def _key(alert: Any) -> Any:
    if alert.kind in ("drift", "liquidated"):
        return alert.account_id, alert.instrument_id
    if alert.kind == "liquidation_near":
        return alert.position_id
    return alert.subject if alert.kind == "component_down" else alert.account_id


def _score(kind: str, world: Any, told: list[Any]) -> dict[str, int]:
    """Compare alerts that people were told with what really went wrong, by key and by overlap in time."""
    incidents = [one for one in world.incidents if one.kind == kind]
    after = timedelta(seconds=AFTERWARDS.get(kind, 5))
    raised = missed = 0
    for one in incidents:
        found = any(_key(alert) == one.key and _overlap(alert, one, world, after) for alert in told)
        if found:
            raised += 1
        elif one.lasted(world.now) > TOLD_WITHIN[kind] and not _is_explained(one, world):
            missed += 1
            _say(f"  missed: {kind} {one.key} from {one.start:%H:%M:%S} for {one.lasted(world.now):.0f} s")
    false = [alert for alert in told if not _is_true(alert, incidents, world, after)]
    for alert in false:
        _say(f"  false: {alert.title} told {alert.told_at:%H:%M:%S}")
    early = [alert for alert in told if any(_is_early(alert, one, world) for one in incidents)]
    for alert in early:
        _say(f"  cleared while it lasted: {alert.title} at {alert.cleared_at:%H:%M:%S}")
    counted = {"raised": raised, "missed": missed, "false": len(false), "early": len(early)}
    return {"incidents": len(incidents), **counted}


EXPLAINED_BY = {
    "feed_silent": {"key", "component_down"},
    "proof_old": {"key", "component_down", "feed_silent"},
}
HEALS_WITHIN = timedelta(seconds=150)
"""A cause that is over gives its effects so long, wait included."""


def _is_explained(one: Any, world: Any) -> bool:
    """Whether something deeper was wrong at the same time: then that is told, and not this."""
    end = one.end or world.now
    return any(
        cause.kind in EXPLAINED_BY.get(one.kind, ())
        and cause.key in (one.key, "part:worker", "part:beat", "part:stream")
        and cause.start <= end
        and (cause.end or world.now) + HEALS_WITHIN >= one.start
        for cause in world.incidents
    )


def _overlap(alert: Any, one: Any, world: Any, after: timedelta) -> bool:
    end, cleared = one.end or world.now, alert.cleared_at or world.now
    return bool(alert.told_at <= end + after and cleared >= one.start)


def _is_early(alert: Any, one: Any, world: Any) -> bool:
    """Whether it was cleared while the incident that it is about lasted."""
    if (
        _key(alert) != one.key
        or alert.cleared_at is None
        or alert.raised_at < one.start - timedelta(seconds=5)
    ):
        return False
    return bool(one.start < alert.cleared_at < (one.end or world.now))


def _is_true(alert: Any, incidents: list[Any], world: Any, after: timedelta) -> bool:
    """Whether something was really wrong when it was raised."""
    slack = timedelta(seconds=5)
    return any(
        _key(alert) == one.key
        and one.start <= alert.raised_at + slack
        and alert.raised_at <= (one.end or world.now) + after
        for one in incidents
    )


# What an evaluation costs -----------------------------------------------------------------------------------


def _speed(report: Callable[..., None]) -> None:
    """In transactions that are taken back: nothing of these books is left for what is judged afterwards.

    The floor is measured between evaluations: what the least that each must do takes when the driver is asked
    directly, on the same machine at the same time. So a ratio to it means something beside other work.
    """
    from django.db import transaction

    from portfolio.models import Alert

    for name, away, goal, ratio in (
        ("all far from liquidation", 40, 20, 4),
        ("all within a band, told", 8, 400, 100),
    ):
        with transaction.atomic():
            took, floor = _evaluations(away)
            raised = Alert.objects.filter(kind="liquidation_near").count()
            transaction.set_rollback(True)
        if away < 10 and raised != POSITIONS:
            raise RuntimeError("not every position raised its alert")
        report(f"evaluation of {POSITIONS} positions, {name}", took, "ms", goal, "lower", floor)
        report(f"the same, times the floor, {name}", took / floor, "times", ratio, "lower")


def _evaluations(away: int) -> tuple[float, float]:
    """Median milliseconds of an evaluation, from its lock to its note, and of the floor."""
    from django.db import connection
    from django.utils import timezone

    from portfolio.alerts.evaluate import evaluate
    from portfolio.models import AlertEvaluation

    now = timezone.now()
    _book(now, away)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute
    times, floors = [], []
    for _ in range(EVALUATIONS):
        now += timedelta(seconds=1)
        evaluate(now)
        times.append(AlertEvaluation.objects.get(pk=1).took_ms)
        floors.append(_floor())
    return median(times[5:]), median(floors[5:])


def _floor() -> float:
    """Milliseconds to take the lock, to look at each position's distance once, and to note it."""
    from django.db import connection, transaction

    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT at FROM portfolio_alertevaluation WHERE id = 1 FOR UPDATE SKIP LOCKED")
        cursor.execute(
            "SELECT count(*) FROM positions_position p"
            " JOIN positions_mark m ON m.instrument_id = p.instrument_id JOIN positions_venuestate s"
            " ON s.account_id = p.account_id AND s.instrument_id = p.instrument_id AND s.leg = p.leg"
            " WHERE p.status = 'OPEN' AND sign(p.quantity) * (m.price - s.liquidation_price) * 100 <= m.price"
        )
        cursor.execute("UPDATE portfolio_alertevaluation SET took_ms = took_ms WHERE id = 1")
    return (time.perf_counter() - began) * 1000


def _book(now: Any, away: int) -> None:
    from positions.models import Account, Instrument, Mark, Position, VenueState
    from reconciliation.models import Run, Verdict

    each = POSITIONS // OF_ACCOUNTS
    instruments = Instrument.objects.bulk_create(
        Instrument(
            venue="hyperliquid", environment="simulated", venue_symbol=f"C{number}",
            symbol=f"C{number}/USDC:USDC", kind="linear", base=f"C{number}", quote="USDC", settle="USDC",
            underlying=f"C{number}", updated_at=now,
        )
        for number in range(each)
    )  # fmt: skip
    Mark.objects.bulk_create(
        Mark(instrument=one, price=Decimal(100), source="mark", at=now, received_at=now)
        for one in instruments
    )
    for number in range(OF_ACCOUNTS):
        account = Account.objects.create(
            label=f"account {number}", venue="hyperliquid", environment="simulated", created_at=now
        )
        run = Run.objects.create(account=account, started_at=now, finished_at=now, as_of=now, complete=True)
        Position.objects.bulk_create(
            Position(
                account=account, instrument=one, leg="net", status="OPEN", quantity=Decimal(3),
                realized_pnl=0, net_pnl=0, pnl_currency="USDC", state="{}", opening_ref="x",
                opened_at=now, last_at=now, created_at=now, updated_at=now,
            )
            for one in instruments
        )  # fmt: skip
        VenueState.objects.bulk_create(
            VenueState(
                account=account, instrument=one, leg="net", quantity=3, liquidation_price=100 - away,
                as_of=now, received_at=now,
            )
            for one in instruments
        )  # fmt: skip
        Verdict.objects.bulk_create(
            Verdict(
                account=account, instrument=one, leg="net", status="SYNCED", as_of=now, seen_as_of=now,
                run=run, changed_at=now,
            )
            for one in instruments
        )  # fmt: skip
