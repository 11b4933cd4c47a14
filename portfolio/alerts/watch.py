"""Evaluates alerts each second from a thread of its own, in a process that needs neither broker nor worker.

So alerts are raised while Redis, beat or the workers are down: a process that they take with them could not.
"""

from __future__ import annotations

import threading
import time

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from portfolio.alerts.evaluate import evaluate

EVERY = 1.0

log = structlog.get_logger("alerts")


def start() -> threading.Thread:
    """Start evaluating, until the process ends."""
    thread = threading.Thread(target=_watch, name="alerts", daemon=True)
    thread.start()
    return thread


def _watch() -> None:
    failures = 0
    while True:
        began = time.monotonic()
        try:
            evaluate(timezone.now())
            failures = 0
        except (DatabaseError, InterfaceError) as error:
            failures += 1
            if failures in (1, 10) or not failures % 60:
                log.warning("alerts were not evaluated", failures=failures, error=str(error))
        except Exception:
            # A mistake of ours in one evaluation must not end all others.
            log.exception("alerts were not evaluated: a mistake of ours")
        finally:
            connection.close()
        time.sleep(max(0.1, EVERY - (time.monotonic() - began)))
