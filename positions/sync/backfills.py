"""Backfills on request: somebody requests one, the watcher of the account runs it, Redis keeps its progress.

A request is a row of a Redis hash until it is finished, so that a watcher that dies leaves it to the next.
At most one request of each feed of an account waits; a second one widens it. Reading again is harmless:
entries that are known already are duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from core.storage.redis import client
from positions import ingest
from positions.models import Account
from positions.sync import poll
from positions.sync.connections import connect
from positions.venues.base import Evidence, Method

FEEDS = (Method.FILLS, Method.FUNDING, Method.TRANSFERS)
BACKFILLS = "plumbline:backfills"
KEPT_FOR = timedelta(hours=24)
GIVEN_UP_AFTER = timedelta(hours=1)


class BackfillRefusal(ValueError):
    """A backfill that makes no sense. The message is the reason."""


class Stage(StrEnum):
    """The stage of a request. DONE and FAILED requests are kept for a day, to be shown."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A request to read a feed of an account again. It counts entries: read so far, in all, and new."""

    account: int
    feed: Method
    since: datetime
    asked_at: datetime
    at: datetime
    stage: Stage = Stage.WAITING
    done: int = 0
    of: int = 0
    booked: int = 0
    complete: bool | None = None
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the request is finished."""
        return self.stage in (Stage.DONE, Stage.FAILED)

    def plain(self) -> dict[str, Any]:
        """As JSON types."""
        times = {name: getattr(self, name).isoformat() for name in ("since", "asked_at", "at")}
        return asdict(self) | times | {"feed": self.feed.value, "stage": self.stage.value}


def request_backfill(*, account_id: int, feed: str, since: datetime, now: datetime) -> Backfill:
    """Request that a feed be read again from a time. Return the request, merged with one that waits.

    Raises BackfillRefusal, and redis.RedisError.
    """
    if feed not in FEEDS:
        raise BackfillRefusal(f"a feed is one of {', '.join(one.value for one in FEEDS)}, not {feed!r}")
    if since.tzinfo is None or since >= now:
        raise BackfillRefusal("`since` must be a time in the past, with its time zone")
    waiting = next((one for one in known(account_id=account_id, now=now) if one.feed == feed), None)
    if waiting is not None and not waiting.is_over and waiting.since <= since:
        return waiting
    asked = Backfill(account=account_id, feed=Method(feed), since=since, asked_at=now, at=now)
    keep(asked)
    return asked


def known(*, account_id: int | None = None, now: datetime) -> list[Backfill]:
    """Return the requests (of one account), those of the last day that are over among them.

    Raises redis.RedisError.
    """
    found = [_backfill(orjson.loads(text)) for text in client().hgetall(BACKFILLS).values()]
    old = [one for one in found if one.is_over and now - one.at > KEPT_FOR]
    if old:
        client().hdel(BACKFILLS, *(_name(one) for one in old))
    kept = [one for one in found if one not in old and account_id in (None, one.account)]
    return sorted(kept, key=lambda one: (one.account, one.feed))


def due(*, account_id: int | None = None, now: datetime) -> list[Backfill]:
    """Return the requests (of one account) that are to be done; one that nobody could do in an hour failed.

    Raises redis.RedisError.
    """
    open_ = [one for one in known(account_id=account_id, now=now) if not one.is_over]
    for one in open_:
        if now - one.asked_at > GIVEN_UP_AFTER:
            keep(replace(one, stage=Stage.FAILED, at=now, problem="nobody could read it within an hour"))
    return [one for one in open_ if now - one.asked_at <= GIVEN_UP_AFTER]


def keep(one: Backfill) -> None:
    """Write a request with its progress. Raises redis.RedisError."""
    client().hset(BACKFILLS, _name(one), orjson.dumps(one.plain()).decode())


def carry_out(
    *,
    account: Account,
    asked: Backfill,
    now: datetime,
    trace_id: str,
    told: Callable[[Backfill], None] = keep,
) -> Backfill:
    """Read the feed again and book what is new. Return the ended request; `told` gets each progress.

    Raises VenueError where the venue cannot be read, and whatever `ingest.record` raises: the request stays.
    """
    venue = connect(account=account)
    if venue.capabilities[asked.feed].evidence is Evidence.UNSUPPORTED:
        ended = replace(asked, stage=Stage.FAILED, at=now, problem=f"the venue has no {asked.feed.value}")
        told(ended)
        return ended
    running = replace(asked, stage=Stage.RUNNING, at=now)
    told(running)
    read = poll.ask(account=account, venue=venue, method=asked.feed, now=now, since=asked.since)

    def progress(_: Method, done: int, of: int) -> None:
        told(replace(running, done=done, of=of))

    results = poll.keep(
        account=account, asked=read, source=f"backfill {asked.feed.value}", trace_id=trace_id, now=now,
        progress=progress,
    )  # fmt: skip
    outcomes = Counter(result.outcome for result in results)
    ended = replace(
        running, stage=Stage.DONE, done=len(results), of=len(results), complete=read.batch.complete,
        booked=outcomes[ingest.EntryOutcome.BOOKED],
    )  # fmt: skip
    told(ended)
    return ended


def _name(one: Backfill) -> str:
    return f"{one.account}:{one.feed.value}"


def _backfill(plain: dict[str, Any]) -> Backfill:
    times = {name: datetime.fromisoformat(plain[name]) for name in ("since", "asked_at", "at")}
    return Backfill(**(plain | times | {"feed": Method(plain["feed"]), "stage": Stage(plain["stage"])}))
