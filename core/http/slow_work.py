"""Slow work is bounded, so that nobody's makes everybody wait.

Note [Slots]: each process has slots for three kinds of work: `venue` (a venue is asked while the caller
waits, or a correction is planned), `past` (a state is computed as of a moment), `book` (facts are booked).
Together they hold fewer connections than DATABASE_POOL_MAX, so that quick requests always find one. A caller
has at most half of a kind's slots, an account one. Who finds none free waits a moment without a connection,
then is told when to come again: 409 where its own work or its account's is in the way, 503 where the process
is busy. The counts are those of one process: more processes have more connections too.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core.http.problems import Problem
from core.storage import database

RETRY_SECONDS = 2
MOST_WAITING = 50  # requests; more are refused at once

_PROCESS = "process"


class Slots:
    """What runs now, counted by process, caller and account."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: Counter[str] = Counter()
        self._waiting = 0

    @contextmanager
    def taken(self, *, limits: dict[str, int], wait_seconds: float) -> Iterator[None]:
        """Hold one slot of each name. Raises Problem when that is not possible in time."""
        self._take(limits, wait_seconds)
        try:
            yield
        finally:
            with self._changed:
                self._running.subtract(limits.keys())
                self._running += Counter()  # those at zero are forgotten
                self._changed.notify_all()

    def _take(self, limits: dict[str, int], wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while (full := self._full(limits)) is not None:
                left = deadline - time.monotonic()
                if left <= 0 or self._waiting >= MOST_WAITING:
                    raise _refusal(full)
                self._waiting += 1
                try:
                    database.give_back()
                    self._changed.wait(left)
                finally:
                    self._waiting -= 1
            self._running.update(limits.keys())

    def _full(self, limits: dict[str, int]) -> str | None:
        return next((name for name, most in limits.items() if self._running[name] >= most), None)


_slots = Slots()


class Kind(StrEnum):
    """What the work waits for. Each kind has slots of its own: a slow venue must not stop a booking."""

    VENUE = "venue"
    PAST = "past"
    BOOK = "book"


# Of eight connections; a venue is waited for without one.
_SHARES = {Kind.VENUE: 4, Kind.PAST: 2, Kind.BOOK: 3}
_WAIT_SECONDS = {Kind.VENUE: 1.0, Kind.PAST: 1.0, Kind.BOOK: 10.0}


@contextmanager
def slot(*, kind: Kind, who: str, account: int | None = None) -> Iterator[None]:
    """Hold a slot for work of a caller, and of an account if it is about one.

    Must not be taken inside a transaction. Raises Problem 409 or 503 with Retry-After.
    """
    most = max(1, _SHARES[kind] * (settings.DATABASE_POOL_MAX or 8) // 8)
    limits = {f"{_PROCESS}:{kind}": most, f"caller:{kind}:{who}": max(1, most // 2)}
    if account is not None:
        limits[f"account:{kind}:{account}"] = 1
    with _slots.taken(limits=limits, wait_seconds=_WAIT_SECONDS[kind]):
        yield


View = Callable[..., HttpResponse]


def slow_page(kind: Kind, *, only_with: str = "") -> Callable[[View], View]:
    """Make a page's view hold a slot of the person who asks; `only_with`: where the query has this field."""

    def wrap(view: View) -> View:
        @wraps(view)
        def bounded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if only_with and not request.GET.get(only_with):
                return view(request, *args, **kwargs)
            with slot(kind=kind, who=f"user:{request.user.get_username()}"):
                return view(request, *args, **kwargs)

        return bounded

    return wrap


def _refusal(full: str) -> Problem:
    if full.startswith(_PROCESS):
        detail = "Too much slow work is under way here: come again in a moment."
        return Problem(503, "busy", detail, retry_after_seconds=RETRY_SECONDS)
    whose = "this account" if full.startswith("account:") else "you"
    detail = f"Slow work for {whose} is under way already: come again when it is done."
    return Problem(409, "under_way", detail, retry_after_seconds=RETRY_SECONDS)
