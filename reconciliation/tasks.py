"""Reconciliation on a schedule."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from core.trace import current_trace_id
from positions.feed_queries import polled_accounts
from positions.models import Account
from reconciliation import runs

log = structlog.get_logger("reconciliation")


@shared_task(name="reconciliation.tasks.reconcile_accounts")
def reconcile_accounts() -> None:
    for account in polled_accounts(now=timezone.now()):
        reconcile_account.apply_async((account,), expires=settings.RECONCILIATION_INTERVAL * 0.9)


@shared_task(name="reconciliation.tasks.reconcile_account")
def reconcile_account(account_id: int) -> None:
    account = Account.objects.filter(pk=account_id, enabled=True).first()
    if account is None:
        log.info("account is gone or disabled", account=account_id)
        return
    run = runs.reconcile(account=account, now=timezone.now(), trace_id=current_trace_id())
    log.info("reconciled", account=account.label, complete=run.complete, problem=run.problem)
