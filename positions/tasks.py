"""Polling of venues where nothing streams. The beat starts each round; it makes one task per account."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from celery import Task, shared_task
from django.utils import timezone

from core.redis import client
from core.trace import current_trace_id
from positions.book.world import World
from positions.models import Account
from positions.queries import accounts_in_use
from positions.sync import backfills, feed_queries, feeds, poll
from positions.venues.base import Method, VenueError
from positions.venues.pacing import Work, at_least

# Where fills are paced and a report differs from the book, they are asked for at once, but not again sooner.
ASK_AGAIN = timedelta(seconds=10)

log = structlog.get_logger("poll")


def _unwatched(now: datetime) -> dict[World, list[Account]]:
    """Return the accounts that no stream watches, by world: a stream polls what it cannot watch."""
    watched = feeds.watched(now=now)
    found: dict[World, list[Account]] = defaultdict(list)
    for account in feed_queries.watchable_accounts(now=now):
        if account.pk not in watched:
            found[account.world].append(account)
    return found


def _for_each_account(task: Task[..., None], work: Work, *, expires: float) -> None:
    """Start a task for each account that no stream watches, as often as its venue's budget allows."""
    for world, accounts in _unwatched(timezone.now()).items():
        gap = at_least(world=world, work=work, accounts=len(accounts))
        for account in accounts:
            if _is_due(f"{work}:{account.pk}", gap):
                task.apply_async((account.pk,), expires=expires)


def _is_due(what: str, gap: timedelta) -> bool:
    """Return whether nobody has begun this within `gap`; it counts as begun from now on."""
    milliseconds = round(gap.total_seconds() * 1000) - 100
    if milliseconds <= 0:
        return True
    return bool(client().set(f"plumbline:polled:{what}", b"1", nx=True, px=milliseconds))


def _round(account_id: int, what: str, ask: Callable[[Account], object]) -> None:
    """Poll one account; a failure is logged, and the next round tries again."""
    account = accounts_in_use().filter(pk=account_id).first()
    if account is None:
        log.info("account is gone or disabled", account=account_id)
        return
    try:
        ask(account)
    except VenueError as error:
        log.warning("venue could not be read", account=account.label, what=what, error=str(error))


@shared_task(name="positions.tasks.poll_fills")
def poll_fills() -> None:
    _for_each_account(poll_account_fills, Work.FILLS, expires=10)


@shared_task(name="positions.tasks.poll_cash")
def poll_cash() -> None:
    _for_each_account(poll_account_cash, Work.CASH, expires=30)


@shared_task(name="positions.tasks.refresh_marks")
def refresh_marks() -> None:
    """Start one account of each world on the prices of all; a random one, as one may be denied."""
    for world, accounts in _unwatched(timezone.now()).items():
        gap = at_least(world=world, work=Work.MARKS, accounts=1)
        if _is_due(f"{Work.MARKS}:{world}", gap):
            refresh_account_marks.apply_async((random.choice(accounts).pk,), expires=10)


@shared_task(name="positions.tasks.observe_accounts")
def observe_accounts() -> None:
    _for_each_account(observe_account, Work.STATE, expires=10)


@shared_task(name="positions.tasks.poll_account_fills")
def poll_account_fills(account_id: int) -> None:
    _round(account_id, "fills", lambda account: _facts(account, [Method.FILLS]))
    _round(account_id, "a feed again", _read_again)


@shared_task(name="positions.tasks.poll_account_cash")
def poll_account_cash(account_id: int) -> None:
    _round(account_id, "funding and transfers", lambda account: _facts(account, poll.CASH))


@shared_task(name="positions.tasks.refresh_account_marks")
def refresh_account_marks(account_id: int) -> None:
    _round(account_id, "marks", lambda account: poll.marks(account=account, now=timezone.now()))


@shared_task(name="positions.tasks.observe_account")
def observe_account(account_id: int) -> None:
    _round(account_id, "report", _observe)


def _observe(account: Account) -> None:
    report = poll.report(account=account, now=timezone.now())
    paced = at_least(world=account.world, work=Work.FILLS, accounts=1)
    if paced and poll.differs(account=account, report=report) and _is_due(f"differs:{account.pk}", ASK_AGAIN):
        poll_account_fills.apply_async((account.pk,), expires=30)


def _read_again(account: Account) -> None:
    """Carry out the backfills that are due while no stream watches."""
    for asked in backfills.due(account_id=account.pk, now=timezone.now()):
        backfills.carry_out(account=account, asked=asked, now=timezone.now(), trace_id=current_trace_id())


def _facts(account: Account, methods: list[Method]) -> None:
    poll.facts(account=account, methods=methods, now=timezone.now(), trace_id=current_trace_id())
