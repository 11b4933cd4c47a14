"""Reads feeds of one account again where somebody requested it: one at a time, when nothing is urgent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import redis
import structlog
from django.utils import timezone

from core.tracing.trace import new_trace_id
from portfolio.stream.threads import Threads, backoff
from positions.models import Account
from positions.sync import backfills
from positions.sync.backfills import Backfill
from positions.venues.base import RateLimited, VenueError

log = structlog.get_logger("stream")


class BackfillWorker:
    """The requested backfills of one account. Lives on the venues' event loop; calls `tell` in a thread."""

    def __init__(self, *, account: Account, threads: Threads, tell: Callable[[Backfill], None]) -> None:
        self._account = account
        self._threads = threads
        self._tell = tell
        self._requests: tuple[Backfill, ...] = ()
        self._ended: set[tuple[str, datetime]] = set()
        self._failures = 0
        self._not_before: datetime | None = None

    def take(self, requests: Iterable[Backfill]) -> None:
        """Replace the requests by those that are open now."""
        self._requests = tuple(requests)
        self._ended &= {_name(one) for one in self._requests}

    def due(self, *, now: datetime) -> Backfill | None:
        """Return the request to carry out now."""
        if self._not_before is not None and now < self._not_before:
            return None
        return next((one for one in self._requests if _name(one) not in self._ended), None)

    async def carry_out(self, request: Backfill) -> None:
        """Read and book a feed; a venue that cannot be read is tried later. Raises what booking raises."""
        now = timezone.now()
        try:
            ended = await self._threads.ask(
                backfills.carry_out,
                account=self._account, asked=request, now=now, trace_id=new_trace_id(), told=self._report,
            )  # fmt: skip
        except (VenueError, redis.RedisError) as error:
            self._failures += 1
            wait = timedelta(seconds=backoff(self._failures, first=1.0))
            if isinstance(error, RateLimited):
                wait = max(wait, error.for_)
            self._not_before = now + wait
            log.warning("feed could not be read again", account=self._account.label, error=str(error))
            return
        self._failures = 0
        self._not_before = None
        self._ended.add(_name(request))
        log.info(
            "feed read again", account=self._account.label, feed=request.feed.value, since=str(request.since),
            facts=ended.of, booked=ended.booked, complete=ended.complete,
        )  # fmt: skip

    def _report(self, one: Backfill) -> None:
        backfills.keep(one)
        self._tell(one)


def _name(one: Backfill) -> tuple[str, datetime]:
    return one.feed.value, one.asked_at
