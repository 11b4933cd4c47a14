"""Redis clients with time-outs: one pool per process, synchronous; asynchronous ones on request."""

from __future__ import annotations

from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0


@cache
def client() -> redis.Redis:
    """Return this process's client (bytes in, bytes out). Raises redis.RedisError when it cannot answer."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=15,
    )


def script(lua: str) -> Any:
    """Return a Lua script to be called on this process's client: sent once, then named by its digest."""
    return _registered(client(), lua)


@cache
def _registered(connection: redis.Redis, lua: str) -> Any:
    return connection.register_script(lua)


def async_client(*, block_seconds: float = 0) -> redis.asyncio.Redis:
    """Return a new asynchronous client; the caller closes it. `block_seconds` is added for blocking reads."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS + block_seconds,
        health_check_interval=15,
    )
