"""One account's writer: books streamed facts in the order they came, in micro-batches.

An idle writer books what comes at once; what arrives meanwhile is the next batch: no timer stands between a
fill and its booking. What came in one message has one trace id, also when it is booked with others. A batch
that could not be booked is tried again until it is, or until the writer is stopped: then the next watcher
reads it again from the feed's cursor.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection
from django.utils import timezone

from core.tracing.trace import new_trace_id
from portfolio.stream.threads import backoff
from positions import ingest
from positions.book import Entry
from positions.models import Account
from positions.sync import poll
from positions.venues.base import Venue

BATCH = 50
# More than this is read again from the venue instead: memory stays bounded however long Postgres is away.
WAITING = 20_000

log = structlog.get_logger("stream")

Later = Callable[[float, Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class _QueueItem:
    """A fact, the trace id of the message it came in, and when that came (time.perf_counter)."""

    fact: Entry
    trace_id: str
    since: float


class BacklogFull(RuntimeError):
    """More facts wait than the writer may hold: they were dropped and must be read from the cursor."""


class Writer:
    """Thread-safe. `later(seconds, call)` calls back; `failed(reason)` hears of each failure ("": over)."""

    def __init__(
        self, *, account: Account, pool: Executor, later: Later, failed: Callable[[str], None]
    ) -> None:
        self.venue: Venue | None = None
        self.booked_at: datetime | None = None
        self._account = account
        self._pool = pool
        self._later = later
        self._failed = failed
        self._waiting: deque[_QueueItem] = deque()
        self._known: set[str] = set()
        self._changed = threading.Condition()
        self._busy = False
        self._stopped = False
        self._failures = 0

    def put(self, facts: Sequence[Entry]) -> None:
        """Book these facts after those that wait. Raises BacklogFull."""
        with self._changed:
            if self._stopped or not facts:
                return
            if len(self._waiting) + len(facts) > WAITING:
                self._waiting.clear()
                raise BacklogFull(f"more than {WAITING} facts wait to be booked")
            received, trace_id = time.perf_counter(), new_trace_id()
            self._waiting.extend(_QueueItem(fact, trace_id, received) for fact in facts)
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._drain)

    def drained(self, *, seconds: float) -> bool:
        """Wait until everything is booked; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def stop(self) -> None:
        """Book nothing more; what is being booked now is finished."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()

    def _drain(self) -> None:
        while batch := self._next():
            try:
                self._book(batch)
            except Exception as error:  # noqa: BLE001  whatever it was, the facts must not be lost
                self._put_back(batch, error)
                return
            if self._failures:
                self._failures = 0
                self._failed("")

    def _next(self) -> list[_QueueItem]:
        with self._changed:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not batch:
                self._busy = False
                self._changed.notify_all()
            return batch

    def _book(self, batch: list[_QueueItem]) -> None:
        facts = [one.fact for one in batch]
        now = timezone.now()
        strange = {fact.instrument for fact in facts if fact.instrument} - self._known
        if strange and self.venue is not None:
            self._known.update(poll.learn(self._account, self.venue, symbols=strange, now=now))
        recorded = ingest.record(
            account=self._account,
            entries=facts,
            source="stream",
            trace_id=batch[0].trace_id,
            traces={one.fact.venue_ref: one.trace_id for one in batch},
            now=now,
        )
        self.booked_at = timezone.now()
        log.debug(
            "booked",
            account=self._account.label,
            facts=len(facts),
            new=recorded.count(ingest.EntryOutcome.BOOKED),
            ms=round((time.perf_counter() - batch[0].since) * 1000, 2),
        )

    def _put_back(self, batch: list[_QueueItem], error: Exception) -> None:
        connection.close()
        self._failures += 1
        log.warning(
            "facts wait to be booked",
            account=self._account.label,
            facts=len(batch),
            failures=self._failures,
            error=f"{type(error).__name__}: {error}",
        )
        self._failed(f"the book cannot be written: {type(error).__name__}")
        with self._changed:
            if self._stopped:
                self._busy = False
                self._changed.notify_all()
                return
            self._waiting.extendleft(reversed(batch))
        # Not slept here: the thread is other accounts' too.
        self._later(backoff(self._failures, longest=5.0), self._resume)

    def _resume(self) -> None:
        with self._changed:
            if self._stopped:
                self._busy = False
                self._changed.notify_all()
                return
        self._pool.submit(self._drain)
