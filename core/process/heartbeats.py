"""Each process of the product says every few seconds that it lives, so that others see when it does not."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

import redis
import structlog
from django.utils import timezone

from core.storage.redis import client

HEARTBEATS = "health:processes"
EVERY = 3.0
MISSED_AFTER = 15.0
"""Seconds of silence after which a process counts as down."""

log = structlog.get_logger("health")

_started: set[str] = set()


def record(process: str, *, now: datetime) -> None:
    """Record that a copy of a process lives. Raises redis.RedisError."""
    client().hset(HEARTBEATS, process, now.isoformat())


def last_seen() -> dict[str, datetime]:
    """Return when each process last said that it lives. Raises redis.RedisError."""
    found: dict[Any, Any] = client().hgetall(HEARTBEATS)
    return {name.decode(): datetime.fromisoformat(at.decode()) for name, at in found.items()}


def start(process: str) -> None:
    """Say every EVERY seconds that this process lives, from a thread of its own, until it ends."""
    if process in _started:
        return
    _started.add(process)
    threading.Thread(target=_beat, args=(process,), name=f"heartbeat {process}", daemon=True).start()


def _beat(process: str) -> None:
    told = True
    while True:
        try:
            record(process, now=timezone.now())
            told = True
        except redis.RedisError as error:
            if told:
                log.warning("the heartbeat is not heard: Redis does not answer", error=str(error))
            told = False
        time.sleep(EVERY)
