"""How accounts stand beside their positions: cash in USD and the feed. Reads only, from Postgres and Redis.

The newest is also kept in Redis by `pipeline`, so that a web process can add it up without reading the book.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import orjson
import redis
import structlog

from core.money import fixed
from core.redis import client
from positions.models import Account, Balance, FeedCursor
from positions.sync import feeds
from positions.valuation import CashValue, cash
from positions.venues.base import Method

Standing = dict[str, Any]

LATEST = "plumbline:portfolio"
POLLED_WITHIN = timedelta(seconds=30)
BELIEVED_FOR = timedelta(seconds=10)

log = structlog.get_logger("standing")


def of_accounts(*, now: datetime) -> list[Standing]:
    """Return how each account in use stands.

    `cash` is what its balances are worth in USD, coins included, by the book: None where nothing is counted
    yet or nothing has a price; `cash_unknown` says how many amounts it leaves out. `feed` is live,
    backfilling, stale, down, polled (read by the clock), or none (by hand).
    """
    accounts = list(Account.objects.filter(enabled=True).order_by("pk"))
    balances = Balance.objects.filter(account__in=accounts).select_related("account").order_by("pk")
    worth = cash(balances=balances)
    told = _feeds(accounts, now)
    return [
        {
            "id": one.pk,
            "environment": one.environment,
            **_cash(worth.get(one.pk)),
            "feed": told[one.pk],
        }
        for one in accounts
    ]


def _cash(found: CashValue | None) -> Standing:
    value = None if found is None or found.value is None else fixed(found.value)
    return {"cash": value, "cash_unknown": 0 if found is None else len(found.left_out)}


def _feeds(accounts: Iterable[Account], now: datetime) -> dict[int, str]:
    try:
        streamed = feeds.known(now=now)
    except redis.RedisError as error:
        log.warning("how feeds stand is not known: Redis does not answer", error=str(error))
        streamed = {}
    read = dict(FeedCursor.objects.filter(feed=Method.FILLS).order_by().values_list("account", "updated_at"))
    found = {}
    for one in accounts:
        feed = streamed.get(one.pk)
        if one.is_manual:
            found[one.pk] = "none"
        elif feed is not None and feed.reason != feeds.NOBODY:
            found[one.pk] = feed.state.value
        else:
            at = read.get(one.pk)
            found[one.pk] = "polled" if at is not None and now - at <= POLLED_WITHIN else "down"
    return found


def keep(*, accounts: list[Standing], now: datetime) -> None:
    """Keep how accounts stand for who starts later. Raises redis.RedisError."""
    kept = {"at": now.isoformat(), "accounts": accounts}
    client().set(LATEST, orjson.dumps(kept), px=int(BELIEVED_FOR.total_seconds() * 1000))


def latest() -> list[Standing] | None:
    """Return what was kept last; None if that is too long ago to be believed. Raises redis.RedisError."""
    kept = client().get(LATEST)
    if not isinstance(kept, bytes):
        return None
    accounts: list[Standing] = orjson.loads(kept)["accounts"]
    return accounts
