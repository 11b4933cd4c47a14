"""Wait for Postgres and Redis when a process starts, and exit with a clear line when one does not come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import psycopg
import redis
from django.conf import settings

from core.storage.leases import database_conninfo

ASK_EVERY = 1.0


def await_services() -> None:
    """Return once both answer. Raises SystemExit after STARTUP_WAIT_SECONDS, naming what did not."""
    deadline = time.monotonic() + settings.STARTUP_WAIT_SECONDS
    for name, variable, ask in (
        ("PostgreSQL", "DATABASE_URL", _ask_postgres),
        ("Redis", "REDIS_URL", _ask_redis),
    ):
        _await(name, variable, ask, deadline)


def _await(name: str, variable: str, ask: Callable[[], None], deadline: float) -> None:
    told = False
    while True:
        try:
            ask()
        except (psycopg.OperationalError, redis.RedisError, OSError) as error:
            if time.monotonic() >= deadline:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise SystemExit(
                    f"plumbline: {name} does not answer ({reason}). Start it or set {variable}; "
                    "for trying out, bin/demo and bin/manage start their own."
                ) from error
            if not told:
                print(f"plumbline: waiting for {name} …", file=sys.stderr, flush=True)
                told = True
            time.sleep(ASK_EVERY)
        else:
            return


def _ask_postgres() -> None:
    psycopg.connect(database_conninfo(), connect_timeout=2).close()


def _ask_redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as asked:
        asked.ping()
