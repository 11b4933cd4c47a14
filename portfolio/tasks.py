"""The portfolio on a schedule."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from core.storage.redis import client
from portfolio import pipeline
from portfolio.alerts.evaluate import evaluate
from portfolio.notify import audience, deadman, digest, sending, upkeep
from portfolio.pnl import keeping, witness
from portfolio.snapshots import hourly, retention, taking

_SENDING = "plumbline:notify:sending"
_SENDING_SECONDS = 15

log = structlog.get_logger("notify")


@shared_task(name="portfolio.tasks.take_snapshots")
def take_snapshots() -> None:
    # Half an interval: a second beat takes none, and a beat that comes a little early takes its own.
    taking.take(now=timezone.now(), at_most_every=timedelta(seconds=settings.SNAPSHOT_INTERVAL / 2))


@shared_task(name="portfolio.tasks.roll_up_snapshots")
def roll_up_snapshots() -> None:
    hourly.roll_up(now=timezone.now())


@shared_task(name="portfolio.tasks.keep_up_snapshots")
def keep_up_snapshots() -> None:
    retention.keep_up(now=timezone.now())


@shared_task(name="portfolio.tasks.keep_days")
def keep_days() -> None:
    keeping.keep_days(now=timezone.now())


@shared_task(name="portfolio.tasks.ask_witnesses")
def ask_witnesses() -> None:
    witness.compare_all(now=timezone.now())


@shared_task(name="portfolio.tasks.refresh_portfolio")
def refresh_portfolio() -> None:
    pipeline.refresh(timezone.now())


@shared_task(name="portfolio.tasks.evaluate_alerts")
def evaluate_alerts() -> None:
    evaluate(timezone.now())


@shared_task(name="portfolio.tasks.send_deliveries")
def send_deliveries() -> None:
    """Send what is due, in one worker process at a time.

    Rows are claimed, so two would do no harm; but a mail server that hangs must not take all processes that
    read venues. Who dies in here leaves the note for _SENDING_SECONDS.
    """
    shared = client()
    if not shared.set(_SENDING, b"1", nx=True, ex=_SENDING_SECONDS):
        return
    try:
        done = sending.deliver(
            clock=timezone.now, alive=lambda: shared.set(_SENDING, b"1", ex=_SENDING_SECONDS)
        )
    finally:
        shared.delete(_SENDING)
    deadman.note_delivery(now=timezone.now())
    if done.sent or done.dead or done.postponed:
        log.info("delivered", sent=done.sent, postponed=done.postponed, dead=done.dead, skipped=done.skipped)


@shared_task(name="portfolio.tasks.queue_digests")
def queue_digests() -> None:
    now = timezone.now()
    audience.ensure_defaults(now=now)
    digest.queue_due(now=now)


@shared_task(name="portfolio.tasks.ping_deadman")
def ping_deadman() -> None:
    deadman.ping(now=timezone.now())


@shared_task(name="portfolio.tasks.tidy_notify")
def tidy_notify() -> None:
    upkeep.tidy(now=timezone.now())
