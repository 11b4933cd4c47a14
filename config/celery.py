"""The Celery application."""

import os
import warnings

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Celery warns about root because of pickle, which we do not accept: messages are JSON only.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("plumbline")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_init.connect
@signals.beat_init.connect
def _await_services(**_: object) -> None:
    from core.process.startup import await_services

    await_services()


@signals.worker_ready.connect
def _worker_lives(**_: object) -> None:
    from core.process import heartbeats

    heartbeats.start("worker")


@signals.beat_init.connect
def _beat_lives(**_: object) -> None:
    from core.process import heartbeats

    heartbeats.start("beat")


@signals.beat_init.connect
def _beat_at_once(**_: object) -> None:
    """Beat runs each task an interval after its start: until then a worker that works would not be
    ready, and a month's partition would be missing after a long rest."""
    from django.conf import settings

    app.send_task("core.tasks.heartbeat", expires=settings.WORKER_HEARTBEAT_SECONDS * 0.9)
    app.send_task("portfolio.tasks.keep_up_snapshots", expires=3600)
    app.send_task("portfolio.tasks.refresh_portfolio", expires=5)


@signals.setup_logging.connect
def _keep_our_logging(**_: object) -> None:
    """Keep Django's LOGGING: without a receiver of this signal Celery installs its own."""
