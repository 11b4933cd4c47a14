"""How each account's feed stands, in a word: live, backfilling, stale, down, polled, or none (kept by hand).

A stream's watcher says its own state. Where no stream watches, the beat polls: then it is polled while that
succeeds, else down. What nobody knows, as Redis does not answer, is down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import redis
import structlog

from positions.labels import NO_FEED
from positions.sync import feeds
from positions.sync.feeds import Feed

log = structlog.get_logger("feeds")


def of(accounts: Mapping[int, bool], *, now: datetime) -> dict[int, str]:
    """Return the words of accounts ({id: is kept by hand}), without a query."""
    streamed: Mapping[int, Feed] = {}
    polled: Collection[int] = ()
    try:
        streamed = feeds.known(now=now)
        polled = feeds.polled(accounts=accounts, now=now)
    except redis.RedisError as error:
        log.warning("the state of feeds is not known: Redis does not answer", error=str(error))
    words = {}
    for account, by_hand in accounts.items():
        feed = streamed.get(account)
        word = of_frame(feed.frame()) if feed is not None else None
        words[account] = NO_FEED if by_hand else word or ("polled" if account in polled else "down")
    return words


def of_frame(feed: Mapping[str, Any]) -> str | None:
    """Return the word of a feed as frames carry it; None: no stream watches, polls decide."""
    return None if feed.get("reason") == feeds.NOBODY else str(feed["state"])
