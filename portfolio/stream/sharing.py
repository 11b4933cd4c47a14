"""How copies of the stream process share the accounts: who is there, how many each may hold, and what one
that is gone has left behind.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection

from django.db import connection

from core.storage.redis import client

COPIES = "plumbline:stream:copies"
GONE_AFTER = 2.5  # seconds without a sign of life
# A transaction of a copy that is gone and began longer ago will not end by itself soon.
STUCK_AFTER = 2.0
SESSIONS = "plumbline stream "


def fair_share(*, accounts: int, copies: int) -> int:
    """Return how many accounts one of so many copies may hold, so that all are held."""
    return -(-accounts // max(1, copies))


def surplus(*, held: Collection[int], accounts: int, copies: int) -> list[int]:
    """Return the accounts to give to another copy: those beyond the fair share, newest first."""
    return sorted(held, reverse=True)[: max(0, len(held) - fair_share(accounts=accounts, copies=copies))]


def alive(*, me: str) -> frozenset[str]:
    """Say that this copy lives, and return the names of all that do. Raises redis.RedisError.

    Only who can reach Postgres may say so: what a copy that lives does not hold, the others leave to it.
    """
    redis_client = client()
    seconds, micros = redis_client.time()
    now = seconds + micros / 1_000_000
    redis_client.hset(COPIES, me, str(now))
    found = redis_client.hgetall(COPIES).items()
    beats = {name.decode() if isinstance(name, bytes) else name: float(at) for name, at in found}
    dead = {name for name, at in beats.items() if now - at > GONE_AFTER}
    if dead:
        redis_client.hdel(COPIES, *dead)
    return frozenset(beats.keys() - dead)


def leave(*, me: str) -> None:
    """Say that this copy ends. Raises redis.RedisError."""
    client().hdel(COPIES, me)


def new_name() -> str:
    """Return a name for this copy, from what no other process has at the same time."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{time.time_ns() // 1_000_000 % 1_000_000}"


def session_name(copy: str) -> str:
    """Return what a copy's sessions in Postgres are called, the account locks' holders among them."""
    return SESSIONS + copy


def end_transactions_of_the_gone(*, living: Collection[str]) -> int:
    """End the sessions of copies that do not live any more and left a transaction open; returns how many.

    A copy that lost the network in the middle of a booking keeps the account's lock until Postgres notices:
    whoever takes the account over could book nothing. Raises DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, %s)"
            " AND application_name <> ALL(%s) AND xact_start < now() - make_interval(secs => %s)",
            [SESSIONS, [session_name(copy) for copy in living], STUCK_AFTER],
        )
        return int(cursor.fetchone()[0])
