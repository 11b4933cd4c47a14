"""The portfolio on a schedule."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from portfolio import pipeline
from portfolio.alerts.evaluate import evaluate
from portfolio.snapshots import hourly, retention, taking


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


@shared_task(name="portfolio.tasks.refresh_portfolio")
def refresh_portfolio() -> None:
    pipeline.refresh(timezone.now())


@shared_task(name="portfolio.tasks.evaluate_alerts")
def evaluate_alerts() -> None:
    evaluate(timezone.now())
