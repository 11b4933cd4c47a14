"""Polling of facts and marks where nothing streams. The beat starts each round: one task per account."""

from __future__ import annotations

import random

from celery import shared_task
from django.utils import timezone

from core.tracing.trace import current_trace_id
from positions.ledger import anchors
from positions.models import Account
from positions.sync import backfills, poll, rounds
from positions.venues.base import Method
from positions.venues.pacing import Work, at_least


@shared_task(name="positions.tasks.poll_fills")
def poll_fills() -> None:
    rounds.for_each_account(poll_account_fills, Work.FILLS, expires=10)


@shared_task(name="positions.tasks.poll_cash")
def poll_cash() -> None:
    rounds.for_each_account(poll_account_cash, Work.CASH, expires=30)


@shared_task(name="positions.tasks.anchor_books")
def anchor_books() -> None:
    """Write the signed ends of all hash chains to audit.jsonl."""
    anchors.write(now=timezone.now())


@shared_task(name="positions.tasks.refresh_marks")
def refresh_marks() -> None:
    """Start one account of each world on the prices of all; a random one, as one may be denied."""
    for world, accounts in rounds.unwatched(timezone.now()).items():
        gap = at_least(world=world, work=Work.MARKS, accounts=1)
        if rounds.is_due(f"{Work.MARKS}:{world}", gap):
            refresh_account_marks.apply_async((random.choice(accounts).pk,), expires=10)


@shared_task(name="positions.tasks.poll_account_fills")
def poll_account_fills(account_id: int) -> None:
    rounds.ask_account(account_id, "fills", lambda account: _facts(account, [Method.FILLS]), tells=True)
    rounds.ask_account(account_id, "a feed again", _read_again)


@shared_task(name="positions.tasks.poll_account_cash")
def poll_account_cash(account_id: int) -> None:
    rounds.ask_account(account_id, "funding and transfers", lambda account: _facts(account, poll.CASH))


@shared_task(name="positions.tasks.refresh_account_marks")
def refresh_account_marks(account_id: int) -> None:
    rounds.ask_account(account_id, "marks", lambda account: poll.marks(account=account, now=timezone.now()))


def _read_again(account: Account) -> None:
    """Carry out the backfills that are due while no stream watches."""
    for asked in backfills.due(account_id=account.pk, now=timezone.now()):
        backfills.carry_out(account=account, asked=asked, now=timezone.now(), trace_id=current_trace_id())


def _facts(account: Account, methods: list[Method]) -> None:
    poll.facts(account=account, methods=methods, now=timezone.now(), trace_id=current_trace_id())
