"""The portfolio on a schedule."""

from celery import shared_task
from django.utils import timezone

from portfolio import pipeline, snapshots


@shared_task(name="portfolio.tasks.take_snapshots")
def take_snapshots() -> None:
    snapshots.take(now=timezone.now())


@shared_task(name="portfolio.tasks.refresh_portfolio")
def refresh_portfolio() -> None:
    pipeline.refresh(timezone.now())
