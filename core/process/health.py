"""Health checks of the services that the product needs, each by a function of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from core.process import handles
from core.storage.redis import client

WORKER_KEY = "health:worker"
_MISSED_BEATS = 3
ANSWER_WITHIN = 2.0
KEEP_SECONDS = 1.0


@dataclass(frozen=True)
class Part:
    """The state of one part. `detail` is the remedy when it is not ok."""

    ok: bool
    detail: str
    ms: float


def record_worker_heartbeat(*, now: datetime) -> None:
    """Record that beat, broker and worker all work."""
    client().set(WORKER_KEY, now.isoformat(), ex=3600)


def _database(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations(now: datetime) -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(waiting)} migrations are not applied: run bin/manage migrate" if waiting else ""


def _redis(now: datetime) -> str:
    client().ping()
    return ""


def _worker(now: datetime) -> str:
    seen = client().get(WORKER_KEY)
    if not isinstance(seen, bytes):
        return "no heartbeat yet: are the Celery worker and beat running?"
    age = (now - datetime.fromisoformat(seen.decode())).total_seconds()
    if age > settings.WORKER_HEARTBEAT_SECONDS * _MISSED_BEATS:
        return f"last heartbeat {age:.0f} s ago: are the Celery worker and beat running?"
    return ""


def _handles(now: datetime) -> str:
    return handles.problem()


PARTS: dict[str, Callable[[datetime], str]] = {
    "database": _database,
    "migrations": _migrations,
    "redis": _redis,
    "worker": _worker,
    "handles": _handles,
}

ADVICE: dict[str, Callable[[datetime], str]] = {}
"""Parts to look at, without which the product still works: they fail no probe. Apps add theirs."""


def check(*, now: datetime) -> dict[str, Part]:
    """Check all parts at once, in ANSWER_WITHIN seconds at most: a frozen server must not freeze a probe.

    A part that raises is not ok. Its detail names the kind of error, never a connection string.
    """
    asked = {name: _askers.submit(_ask, part, now) for name, part in (PARTS | ADVICE).items()}
    deadline = time.monotonic() + ANSWER_WITHIN
    return {name: _answer(future, deadline) for name, future in asked.items()}


def recent(*, now: datetime) -> dict[str, Part]:
    """Return a check that is at most KEEP_SECONDS old: whoever asks often, without a login, costs nothing."""
    with _checking:
        if _last.parts is None or time.monotonic() - _last.at >= KEEP_SECONDS:
            _last.parts, _last.at = check(now=now), time.monotonic()
        return _last.parts


@dataclass
class _LastCheck:
    parts: dict[str, Part] | None = None
    at: float = 0.0


_last = _LastCheck()
_checking = threading.Lock()


def _answer(future: Future[Part], deadline: float) -> Part:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except FutureTimeout:
        return Part(False, f"did not answer within {ANSWER_WITHIN:g} s", ANSWER_WITHIN * 1000)


def _ask(part: Callable[[datetime], str], now: datetime) -> Part:
    started = time.perf_counter()
    try:
        problem = part(now)
    except (DatabaseError, redis.RedisError, OSError) as error:
        problem = f"cannot be reached ({type(error).__name__})"
    finally:
        connection.close()  # this thread's own; a pool takes it back
    return Part(not problem, problem or "ok", round((time.perf_counter() - started) * 1000, 1))


# Threads that a frozen server holds are not waited for; while all are held, every part counts as silent.
_askers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")


def report(parts: dict[str, Part]) -> dict[str, Any]:
    """Return the answer of /health: overall status, failing parts by name, what else to look at, and each
    part's state.
    """
    failing = [name for name, part in parts.items() if not part.ok and name not in ADVICE]
    return {
        "status": "failing" if failing else "ok",
        "failing": failing,
        "warnings": [name for name, part in parts.items() if not part.ok and name in ADVICE],
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
