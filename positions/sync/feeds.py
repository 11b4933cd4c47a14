"""How each account's feed stands: kept in a Redis hash for pages, and told as `feed` frames on the live log.

Who watches an account says so every half second. What nobody has said for a while is not believed: then no
stream watches the account, and it is polled by the beat.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from core.storage.redis import client
from positions import live

FEEDS = "plumbline:feeds"
POLLS = "plumbline:polls"
BELIEVED_FOR = timedelta(seconds=5)
POLLED_WITHIN = timedelta(seconds=30)
NOBODY = "no stream watches this account"


class State(StrEnum):
    """LIVE: what happens is booked as it happens. BACKFILLING: reading what was missed. STALE: the venue has
    fallen silent. DOWN: not connected.
    """

    LIVE = "live"
    BACKFILLING = "backfilling"
    STALE = "stale"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One account's feed. `at` is when its watcher last said so; `streams` is False where a venue is polled.

    `progress` counts facts while backfilling: {"feed", "booked", "of"}.
    """

    account: int
    state: State
    since: datetime
    at: datetime
    last_event: datetime | None = None
    reason: str = ""
    streams: bool = True
    progress: dict[str, Any] | None = None
    copy: str = ""

    def frame(self) -> dict[str, Any]:
        """The feed as JSON types, as frames and the hash carry it."""
        return {
            "account": self.account,
            "state": self.state.value,
            "since": self.since.isoformat(),
            "at": self.at.isoformat(),
            "last_event": self.last_event and self.last_event.isoformat(),
            "reason": self.reason,
            "streams": self.streams,
            "progress": self.progress,
            "copy": self.copy,
        }


def keep(*, feeds: Iterable[Feed]) -> None:
    """Write how feeds stand now into the hash. Raises redis.RedisError."""
    fields: dict[Any, Any] = {str(feed.account): orjson.dumps(feed.frame()) for feed in feeds}
    if fields:
        client().hset(FEEDS, mapping=fields)


def tell(*, feed: Feed) -> None:
    """Write one feed that changed into the hash and onto the live log. Raises redis.RedisError."""
    keep(feeds=[feed])
    live.append(kind="feed", account=feed.account, frame=feed.frame())


def known(*, now: datetime) -> dict[int, Feed]:
    """Return the feeds by account; DOWN is one that nobody has spoken of lately. Raises redis.RedisError."""
    found = (_feed(orjson.loads(text)) for text in client().hgetall(FEEDS).values())
    return {feed.account: _believed(feed, now) for feed in found}


def watched(*, now: datetime) -> set[int]:
    """Return the accounts that a stream watches now: leave their polling to it. Raises redis.RedisError."""
    return {account for account, feed in known(now=now).items() if now - feed.at <= BELIEVED_FOR}


def note_poll(*, account: int, read_at: datetime | None) -> None:
    """Note when an account that no stream watches was last read; None: it cannot be. Raises RedisError."""
    if read_at is None:
        client().hdel(POLLS, str(account))
    else:
        client().hset(POLLS, str(account), str(read_at.timestamp()))


def polled(*, accounts: Collection[int], now: datetime) -> set[int]:
    """Return the accounts whose last poll was lately and did not fail. Raises redis.RedisError."""
    ids = [str(account) for account in accounts]
    said = client().hmget(POLLS, ids) if ids else []
    return {
        int(account)
        for account, at in zip(ids, said, strict=True)
        if at is not None and now.timestamp() - float(at) <= POLLED_WITHIN.total_seconds()
    }


def _believed(feed: Feed, now: datetime) -> Feed:
    if now - feed.at <= BELIEVED_FOR:
        return feed
    return replace(feed, state=State.DOWN, since=feed.at, reason=NOBODY, progress=None)


def _feed(plain: dict[str, Any]) -> Feed:
    last = plain["last_event"]
    return Feed(
        account=plain["account"],
        state=State(plain["state"]),
        since=datetime.fromisoformat(plain["since"]),
        at=datetime.fromisoformat(plain["at"]),
        last_event=last and datetime.fromisoformat(last),
        reason=plain["reason"],
        streams=plain["streams"],
        progress=plain["progress"],
        copy=plain["copy"],
    )
