"""Reconciliation on a schedule, and runs that somebody asked for, carried out by a worker.

Note [Asked for]: a stream that sees the book differ says so again and again. One request of an account waits
at a time, targeted runs begin at least SPACED apart, and a request that meets a run under way is tried again
when that one is over: it may have read the venue before what is asked about happened.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
import structlog
from celery import Task, shared_task
from django.conf import settings
from django.utils import timezone

from core.storage.redis import client as redis_client
from core.tracing.trace import current_trace_id
from positions.models import Account
from positions.sync import poll, rounds
from positions.sync.feed_queries import polled_accounts
from positions.tasks import poll_account_fills
from positions.venues.pacing import Work, at_least
from reconciliation import queries
from reconciliation.allocation import targets
from reconciliation.models import Run, Trigger
from reconciliation.rules.compare import Family
from reconciliation.rules.report_legs import unexplained_legs
from reconciliation.runs import runs

# Fills that a report shows to be unread are not asked for again sooner than this.
ASK_AGAIN = timedelta(seconds=10)
SPACED = 4
WAITS_AT_MOST = 120
AGAIN_AFTER = 2

log = structlog.get_logger("reconciliation")


@shared_task(name="reconciliation.tasks.observe_accounts")
def observe_accounts() -> None:
    """Begin to read the state of each account that no stream watches."""
    rounds.for_each_account(observe_account, Work.STATE, expires=10)


@shared_task(name="reconciliation.tasks.observe_account")
def observe_account(account_id: int) -> None:
    rounds.ask_account(account_id, "report", _observe)


def _observe(account: Account) -> None:
    """Write what a venue reports; where fills are paced and a size differs, ask for them at once."""
    report = poll.report(account=account, now=timezone.now())
    if not at_least(world=account.world, work=Work.FILLS, accounts=1):
        return
    shown = unexplained_legs(report, queries.open_legs(account=account)).values()
    if any(one.family is Family.SIZE for one in shown) and rounds.is_due(f"differs:{account.pk}", ASK_AGAIN):
        poll_account_fills.apply_async((account.pk,), expires=30)


@shared_task(name="reconciliation.tasks.reconcile_accounts")
def reconcile_accounts() -> None:
    """Begin a run of each account that is enabled and not paused."""
    for account in polled_accounts(now=timezone.now()):
        reconcile_account.apply_async((account,), expires=settings.RECONCILIATION_INTERVAL * 0.9)


def request_run(*, account_id: int, trigger: str = Trigger.TARGETED) -> bool:
    """Request a run of an account soon; return False if one waits already, or Redis is away.

    It is cheap to call often, from any process or thread that finds that book and venue may differ. Trigger
    TARGETED (sizes or averages differ), START and RECONNECT (facts are asked for, too). See Note [Asked for].
    """
    try:
        shared = redis_client()
        if not shared.set(_wanted(account_id, trigger), b"1", nx=True, ex=WAITS_AT_MOST):
            return False
        spacing = shared.pttl(_spaced(account_id)) if trigger == Trigger.TARGETED else 0
        reconcile_account.apply_async(
            (account_id, str(trigger)), countdown=max(0, int(spacing)) / 1000, expires=WAITS_AT_MOST
        )
    except (redis.RedisError, reconcile_account.OperationalError) as error:
        log.warning("a run could not be asked for", account=account_id, trigger=trigger, error=str(error))
        return False
    return True


def _wanted(account: int, trigger: str) -> str:
    return f"reconciliation:wanted:{account}:{trigger}"


def _spaced(account: int) -> str:
    return f"reconciliation:spaced:{account}"


@shared_task(name="reconciliation.tasks.reconcile_account", bind=True, max_retries=None)
def reconcile_account(self: Task[..., None], account_id: int, trigger: str = Trigger.SCHEDULE) -> None:
    """Carry out a run of one account. Unless scheduled, it waits for one that is under way."""
    account = Account.objects.filter(pk=account_id, pk__in=polled_accounts(now=timezone.now())).first()
    if account is None:
        log.info("account is gone, disabled or paused", account=account_id)
        return
    try:
        run = runs.begin(account=account, now=timezone.now(), trigger=trigger, trace_id=current_trace_id())
    except runs.RunConflict:
        log.info("a run is under way", account=account.label, trigger=trigger)
        if trigger != Trigger.SCHEDULE and self.request.retries < WAITS_AT_MOST / AGAIN_AFTER:
            raise self.retry(countdown=AGAIN_AFTER, expires=WAITS_AT_MOST) from None
        return
    _begun(account_id, trigger)
    run = runs.carry_out(run=run, now=timezone.now())
    log.info("reconciled", account=account.label, complete=run.complete, problem=run.problem)


def _begun(account: int, trigger: str) -> None:
    """Let requests from now on begin another run."""
    try:
        redis_client().delete(_wanted(account, trigger))
        if trigger == Trigger.TARGETED:
            redis_client().set(_spaced(account), b"1", ex=SPACED)
    except redis.RedisError as error:
        log.warning("a request stays noted until it expires", account=account, error=str(error))


@shared_task(name="reconciliation.tasks.carry_out_run")
def carry_out_run(run_id: int) -> None:
    """Carry out a registered run, if it was not given up meanwhile."""
    run = Run.objects.filter(pk=run_id, finished_at__isnull=True).select_related("account").first()
    if run is None:
        log.info("run is gone or finished", run=run_id)
        return
    runs.carry_out(run=run, now=timezone.now())


def begin_now(*, account: Account, trace_id: str) -> dict[str, Any]:
    """Register a run on demand and hand it to a worker; of a busy account, the run that is under way."""
    try:
        run = runs.begin(account=account, now=timezone.now(), trigger=Trigger.DEMAND, trace_id=trace_id)
    except runs.RunConflict as busy:
        return {"account_id": account.pk, "run_id": busy.run.pk if busy.run else None, "started": False}
    carry_out_run.delay(run.pk)
    return {"account_id": account.pk, "run_id": run.pk, "started": True}


@shared_task(name="reconciliation.tasks.check_allocation")
def check_allocation() -> None:
    """Record which venues and accounts hold more or less than they are meant to."""
    for breach in targets.record_breaches(now=timezone.now()):
        log.info("allocation breached", of=str(breach), tolerance=str(breach.tolerance))
