"""The heartbeat that proves beat → broker → worker."""

from celery import shared_task
from django.utils import timezone

from core.process import health


@shared_task(name="core.tasks.heartbeat")
def heartbeat() -> None:
    health.record_worker_heartbeat(now=timezone.now())
