"""What the beat asks of venues where nothing streams. Each round fans out to one task an account."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from celery import Task, shared_task
from django.utils import timezone

from core.trace import current_trace_id
from positions import feed_queries, feeds, poll
from positions.models import Account
from positions.venues.base import Method, VenueError

log = structlog.get_logger("poll")


def _for_each_account(task: Task[..., None], expires: float) -> None:
    """For the accounts that no stream watches: a stream asks itself for what it cannot watch."""
    now = timezone.now()
    watched = feeds.watched(now=now)
    for account in feed_queries.polled_accounts(now=now):
        if account not in watched:
            task.apply_async((account,), expires=expires)


def _round(account_id: int, what: str, ask: Callable[[Account], object]) -> None:
    """One account's failure is logged and leaves the others alone; the next round asks again."""
    account = Account.objects.filter(pk=account_id, enabled=True).first()
    if account is None:
        log.info("account is gone or disabled", account=account_id)
        return
    try:
        ask(account)
    except VenueError as error:
        log.warning("venue could not be read", account=account.label, what=what, error=str(error))


@shared_task(name="positions.tasks.poll_fills")
def poll_fills() -> None:
    _for_each_account(poll_account_fills, expires=10)


@shared_task(name="positions.tasks.poll_cash")
def poll_cash() -> None:
    _for_each_account(poll_account_cash, expires=30)


@shared_task(name="positions.tasks.refresh_marks")
def refresh_marks() -> None:
    _for_each_account(refresh_account_marks, expires=10)


@shared_task(name="positions.tasks.observe_accounts")
def observe_accounts() -> None:
    _for_each_account(observe_account, expires=10)


@shared_task(name="positions.tasks.poll_account_fills")
def poll_account_fills(account_id: int) -> None:
    _round(account_id, "fills", lambda account: _facts(account, [Method.FILLS]))


@shared_task(name="positions.tasks.poll_account_cash")
def poll_account_cash(account_id: int) -> None:
    _round(account_id, "funding and transfers", lambda account: _facts(account, poll.CASH))


@shared_task(name="positions.tasks.refresh_account_marks")
def refresh_account_marks(account_id: int) -> None:
    _round(account_id, "marks", lambda account: poll.marks(account=account, now=timezone.now()))


@shared_task(name="positions.tasks.observe_account")
def observe_account(account_id: int) -> None:
    _round(account_id, "report", lambda account: poll.report(account=account, now=timezone.now()))


def _facts(account: Account, methods: list[Method]) -> None:
    poll.facts(account=account, methods=methods, now=timezone.now(), trace_id=current_trace_id())
