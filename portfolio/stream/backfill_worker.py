"""Feeds of one account that somebody wants read again: one at a time, when nothing urgent is to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import redis
import structlog
from django.utils import timezone

from core.trace import new_trace_id
from portfolio.stream.threads import Threads, backoff
from positions.models import Account
from positions.sync import backfills
from positions.sync.backfills import Backfill
from positions.venues.base import RateLimited, VenueError

log = structlog.get_logger("stream")


class Again:
    """Lives on the venues' event loop; `tell(backfill)` is called from another thread."""

    def __init__(self, *, account: Account, threads: Threads, tell: Callable[[Backfill], None]) -> None:
        self._account = account
        self._threads = threads
        self._tell = tell
        self._asked: tuple[Backfill, ...] = ()
        self._ended: set[tuple[str, datetime]] = set()
        self._failures = 0
        self._not_before: datetime | None = None

    def take(self, asked: Iterable[Backfill]) -> None:
        """What is to be done, as it stands now."""
        self._asked = tuple(asked)
        self._ended &= {_name(one) for one in self._asked}

    def due(self, *, now: datetime) -> Backfill | None:
        """Return what to read now."""
        if self._not_before is not None and now < self._not_before:
            return None
        return next((one for one in self._asked if _name(one) not in self._ended), None)

    async def carry_out(self, asked: Backfill) -> None:
        """Read it; a venue that cannot be read is asked again later. Raises what booking raises."""
        now = timezone.now()
        try:
            ended = await self._threads.ask(
                backfills.carry_out,
                account=self._account, asked=asked, now=now, trace_id=new_trace_id(), told=self._told,
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
        self._ended.add(_name(asked))
        log.info(
            "feed read again", account=self._account.label, feed=asked.feed.value, since=str(asked.since),
            facts=ended.of, booked=ended.booked, complete=ended.complete,
        )  # fmt: skip

    def _told(self, one: Backfill) -> None:
        backfills.keep(one)
        self._tell(one)


def _name(one: Backfill) -> tuple[str, datetime]:
    return one.feed.value, one.asked_at
