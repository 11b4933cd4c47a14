"""Rounds of polling: which accounts are asked for what, and when again.

Each round begins one task for each account that no stream watches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

import redis
import structlog
from celery import Task
from django.utils import timezone

from core.storage.redis import client
from positions.book.world import World
from positions.models import Account
from positions.queries import accounts_in_use
from positions.sync import feed_queries, feeds
from positions.venues.base import VenueError
from positions.venues.pacing import Work, at_least

log = structlog.get_logger("poll")


def unwatched(now: datetime) -> dict[World, list[Account]]:
    """Return the accounts that no stream watches, by world.

    A stream itself polls what it cannot watch.
    """
    watched = feeds.watched(now=now)
    found: dict[World, list[Account]] = defaultdict(list)
    for account in feed_queries.watchable_accounts(now=now):
        if account.pk not in watched:
            found[account.world].append(account)
    return found


def for_each_account(task: Task[..., None], work: Work, *, expires: float) -> None:
    """Begin a task for each account that no stream watches, no sooner again than its venue's budget bears."""
    for world, accounts in unwatched(timezone.now()).items():
        gap = at_least(world=world, work=work, accounts=len(accounts))
        for account in accounts:
            if is_due(f"{work}:{account.pk}", gap):
                task.apply_async((account.pk,), expires=expires)


def is_due(what: str, gap: timedelta) -> bool:
    """Return whether no process began this within `gap`; if so, it counts as begun now."""
    milliseconds = round(gap.total_seconds() * 1000) - 100
    if milliseconds <= 0:
        return True
    return bool(client().set(f"plumbline:polled:{what}", b"1", nx=True, px=milliseconds))


def ask_account(account_id: int, what: str, ask: Callable[[Account], object], *, tells: bool = False) -> None:
    """Ask one account's venue. A failure is logged and stops no other account; the next round asks again.

    `tells`: it is by this that what happens is heard of, so a failure makes the account's feed down.
    """
    account = accounts_in_use().filter(pk=account_id).first()
    if account is None:
        log.info("account is gone or disabled", account=account_id)
        return
    read_at = None
    try:
        ask(account)
        read_at = timezone.now()
    except VenueError as error:
        log.warning("venue could not be read", account=account.label, what=what, error=str(error))
    if tells:
        _note(account, read_at)


def _note(account: Account, read_at: datetime | None) -> None:
    try:
        feeds.note_poll(account=account.pk, read_at=read_at)
    except redis.RedisError as error:
        log.warning("a poll's outcome was not noted", account=account.label, error=str(error))
