"""How the parts of the product stand, asked of Redis, Postgres and this machine, outside a transaction."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.process import health, heartbeats
from core.storage.redis import client
from portfolio.alerts import terms
from portfolio.alerts.judging import RULES_PART
from portfolio.alerts.snapshot import PartState
from portfolio.alerts.words import ago, percent
from portfolio.notify import state as notified
from positions.sync import feeds
from positions.sync.feeds import Feed

LABELS = {
    "redis": "Redis",
    "web": "web",
    "worker": "worker",
    "beat": "beat",
    "stream": "stream",
    "disk": "disk",
    "clock": "clock",
    "rules": "alert rules",
    "outbox": "outbox",
}
STARTS = {
    "web": "daphne config.asgi:application",
    "worker": "celery --app config worker",
    "beat": "celery --app config beat",
    "stream": "manage.py stream",
}
GIB = 1024**3
DISK_LOW_PCT, DISK_FINE_PCT, DISK_FULL_PCT = Decimal(5), Decimal(7), Decimal(1)
DISK_LOW_BYTES, DISK_FINE_BYTES, DISK_FULL_BYTES = GIB, GIB * 3 // 2, GIB // 5
CLOCK_OFF, CLOCK_FINE = timedelta(seconds=2), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is read outside of the database's transaction. `feeds` None: nobody knows how they stand."""

    parts: tuple[PartState, ...]
    feeds: dict[int, Feed] | None


_CLOCK_AND_OPEN = """
SELECT clock_timestamp(),
       ARRAY(SELECT subject FROM portfolio_alert WHERE kind = 'component_down' AND cleared_at IS NULL)
"""


def read(*, now: datetime) -> Surroundings:
    """Ask how everything around stands. A part with an open alert recovers later than it failed.

    Raises DatabaseError.
    """
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_CLOCK_AND_OPEN)
        stated, open_parts = cursor.fetchone()
    after = timezone.now()
    parts = [
        _disk(was_low="part:disk" in open_parts),
        _clock(max(before - stated, stated - after), was_off="part:clock" in open_parts),
        PartState(name=RULES_PART, label=LABELS[RULES_PART], ok=True),
        _outbox(now),
    ]
    try:
        client().ping()
        seen, beating = heartbeats.last_seen(), health.PARTS["worker"](now)
        streamed = feeds.known(now=now)
    except redis.RedisError as error:
        detail = f"it does not answer ({type(error).__name__})"
        unknown = [
            PartState(name=name, label=LABELS.get(name, name), ok=None, detail="Redis does not answer")
            for name in settings.ALERT_PARTS
        ]
        remedy = "Start it, or set REDIS_URL."
        down = PartState(name="redis", label=LABELS["redis"], ok=False, detail=detail, remedy=remedy)
        return Surroundings((down, *unknown, *parts), None)
    parts += [_process(name, seen.get(name), now) for name in settings.ALERT_PARTS]
    return Surroundings(
        (PartState(name="redis", label=LABELS["redis"], ok=True), *_with_work(parts, beating)), streamed
    )


def _process(name: str, seen: datetime | None, now: datetime) -> PartState:
    ok = seen is not None and (now - seen).total_seconds() <= heartbeats.MISSED_AFTER
    last = "it was never seen" if seen is None else f"last seen {ago(seen, now)} ago"
    remedy = f"Start it: {STARTS[name]}." if name in STARTS else ""
    return PartState(name=name, label=LABELS.get(name, name), ok=ok, detail="" if ok else last, remedy=remedy)


def _with_work(parts: list[PartState], problem: str) -> list[PartState]:
    """A worker that lives and does nothing is down, too: beat's heartbeat task must come through."""
    alive = {part.name for part in parts if part.ok}
    if not problem or not {"worker", "beat"} <= alive:
        return parts
    stuck = PartState(name="worker", label=LABELS["worker"], ok=False, detail=f"it does no work: {problem}")
    return [stuck if part.name == "worker" else part for part in parts]


def _outbox(now: datetime) -> PartState:
    """What waits to be sent for too long; what is held back on purpose does not count."""
    waiting = notified.stuck(now=now)
    detail = "; ".join(waiting)
    return PartState(name="outbox", label=LABELS["outbox"], ok=not waiting, detail=detail[:300])


def _disk(*, was_low: bool) -> PartState:
    """The fullest of the disks that data and logs lie on."""
    folders = [Path(settings.DATA_DIR), *([Path(settings.LOG_DIR)] if settings.LOG_DIR else [])]
    usages = [(folder, shutil.disk_usage(folder)) for folder in folders if folder.exists()]
    if not usages:
        return PartState(name="disk", label=LABELS["disk"], ok=None, detail="no folder of data to look at")
    folder, usage = min(usages, key=lambda found: found[1].free)
    free_pct = Decimal(100) * usage.free / usage.total
    low_pct, low = (DISK_FINE_PCT, DISK_FINE_BYTES) if was_low else (DISK_LOW_PCT, DISK_LOW_BYTES)
    ok = free_pct >= low_pct and usage.free >= low
    full = free_pct < DISK_FULL_PCT or usage.free < DISK_FULL_BYTES
    free = f"{Decimal(usage.free) / GIB:.1f} GiB"
    return PartState(
        name="disk",
        label=LABELS["disk"],
        ok=ok,
        detail="" if ok else f"{free} free, {percent(free_pct)}",
        remedy=f"Make room where {folder.name} lies.",
        severity=terms.CRITICAL if full else terms.WARNING,
        numbers={"free_bytes": usage.free, "free_pct": f"{free_pct:.2f}"},
    )


def _clock(offset: timedelta, *, was_off: bool) -> PartState:
    """This machine's clock beside that of Postgres: one of the two is off when they differ."""
    offset = max(offset, timedelta(0))
    ok = offset <= (CLOCK_FINE if was_off else CLOCK_OFF)
    seconds = f"{offset.total_seconds():.1f}"
    return PartState(
        name="clock",
        label=LABELS["clock"],
        ok=ok,
        detail="" if ok else f"it differs from that of Postgres by {seconds} s",
        remedy="Synchronise both machines.",
        severity=terms.WARNING,
        numbers={"offset_seconds": seconds},
    )
