"""Reconciliation on a schedule, and runs that somebody asked for, carried out by a worker."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from core.trace import current_trace_id
from positions.feed_queries import polled_accounts
from positions.models import Account
from reconciliation import runs
from reconciliation.models import Run, Trigger

log = structlog.get_logger("reconciliation")


@shared_task(name="reconciliation.tasks.reconcile_accounts")
def reconcile_accounts() -> None:
    """One run for each account that is enabled and not paused."""
    for account in polled_accounts(now=timezone.now()):
        reconcile_account.apply_async((account,), expires=settings.RECONCILIATION_INTERVAL * 0.9)


@shared_task(name="reconciliation.tasks.reconcile_account")
def reconcile_account(account_id: int, trigger: str = Trigger.SCHEDULE) -> None:
    """One run of one account, unless one is under way."""
    account = Account.objects.filter(pk=account_id, enabled=True).first()
    if account is None:
        log.info("account is gone or disabled", account=account_id)
        return
    try:
        run = runs.reconcile(
            account=account, now=timezone.now(), trace_id=current_trace_id(), trigger=trigger
        )
    except runs.Busy:
        log.info("a run is under way", account=account.label)
        return
    log.info("reconciled", account=account.label, complete=run.complete, problem=run.problem)


@shared_task(name="reconciliation.tasks.carry_out_run")
def carry_out_run(run_id: int) -> None:
    """Do what a registered run is for, if it was not given up meanwhile."""
    run = Run.objects.filter(pk=run_id, finished_at__isnull=True).select_related("account").first()
    if run is None:
        log.info("run is gone or finished", run=run_id)
        return
    runs.carry_out(run=run, now=timezone.now())


def begin_now(*, account: Account, trace_id: str) -> dict[str, Any]:
    """Register a run on demand and hand it to a worker; of a busy account, the run that is under way."""
    try:
        run = runs.begin(account=account, now=timezone.now(), trigger=Trigger.DEMAND, trace_id=trace_id)
    except runs.Busy as busy:
        return {"account_id": account.pk, "run_id": busy.run.pk if busy.run else None, "started": False}
    carry_out_run.delay(run.pk)
    return {"account_id": account.pk, "run_id": run.pk, "started": True}
