"""How copies of the stream process share the accounts: who is there, and how many each may hold."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection

from core.redis import client

COPIES = "plumbline:stream:copies"
GONE_AFTER = 2.5  # seconds without a sign of life


def fair_share(*, accounts: int, copies: int) -> int:
    """Return how many accounts one of so many copies may hold, so that all are held."""
    return -(-accounts // max(1, copies))


def surplus(*, held: Collection[int], accounts: int, copies: int) -> list[int]:
    """Return the accounts to give to another copy: those beyond the fair share, newest first."""
    return sorted(held, reverse=True)[: max(0, len(held) - fair_share(accounts=accounts, copies=copies))]


def count_copies(*, me: str) -> int:
    """Say that this copy lives, and return how many do. Raises redis.RedisError."""
    redis_client = client()
    seconds, micros = redis_client.time()
    now = seconds + micros / 1_000_000
    redis_client.hset(COPIES, me, str(now))
    beats = {name: float(at) for name, at in redis_client.hgetall(COPIES).items()}
    dead = [name for name, at in beats.items() if now - at > GONE_AFTER]
    if dead:
        redis_client.hdel(COPIES, *dead)
    return len(beats) - len(dead)


def leave(*, me: str) -> None:
    """Say that this copy ends. Raises redis.RedisError."""
    client().hdel(COPIES, me)


def new_name() -> str:
    """Return a name for this copy, from what no other process has at the same time."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000 % 1_000_000}"
