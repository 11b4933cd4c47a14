"""The Redis behind the venues' ports: a shared cache, and rate budgets shared by all processes of
an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast
from weakref import WeakKeyDictionary

import redis.asyncio
from redis.exceptions import RedisError

from core.storage.redis import async_client
from positions.venues.base import RateLimited, Transient

PREFIX = "plumbline:"
# A longer wait is the caller's decision: its task is scheduled again instead of sleeping in a worker.
LONGEST_WAIT = timedelta(seconds=30)

# Redis's own clock, so that processes with skewed clocks share one bucket. Tokens may go below zero: each
# caller sleeps for its own debt, in the order they came. One that dies asleep has cost its tokens, no more.
_SPEND = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'paused')
local weight, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local rate, longest = tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
local paused = math.max(0, (tonumber(held[3]) or 0) - now)
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate) - weight
local wait = math.max(paused, -tokens / rate, 0)
if wait <= longest then
  redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
  redis.call('EXPIRE', KEYS[1], math.ceil(paused + (capacity - tokens) / rate) + 60)
end
return tostring(wait)
"""
_PAUSE = """
local now = redis.call('TIME')
local till = now[1] + now[2] / 1000000 + tonumber(ARGV[1])
if till > (tonumber(redis.call('HGET', KEYS[1], 'paused')) or 0) then
  redis.call('HSET', KEYS[1], 'paused', tostring(till))
  redis.call('EXPIRE', KEYS[1], math.max(redis.call('TTL', KEYS[1]), math.ceil(tonumber(ARGV[1])) + 60))
end
return 1
"""

# A sorted set of who holds a place, by when that ends.
_HOLD = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', tostring(now))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], tostring(now + ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[3])) + 60)
return 1
"""


class _PerLoop:
    """One Redis client per event loop: its connections cannot change loops."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()

    def get(self) -> redis.asyncio.Redis:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = async_client()
        return client

    async def close(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


clients = _PerLoop()


class RedisCache:
    """Bytes under a key, for a time. Raises Transient when Redis does not answer."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or expired."""
        return cast("bytes | None", await _asked(clients.get().get(PREFIX + key)))

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None:
        """Keep a value for `ttl`."""
        await _asked(clients.get().set(PREFIX + key, value, px=ttl))


class RedisBudget:
    """Token buckets in Redis. Without Redis nothing is sent (Transient): a ban costs more than a pause."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep

    async def spend(self, key: str, weight: float, *, capacity: float, per_second: float) -> None:
        """Take tokens, waiting for them. Raises RateLimited when that takes more than half a minute."""
        arguments = (weight, capacity, per_second, LONGEST_WAIT.total_seconds())
        answer = await _asked(clients.get().eval(_SPEND, 1, _bucket(key), *map(str, arguments)))
        wait = float(answer)
        if wait > LONGEST_WAIT.total_seconds():
            raise RateLimited(f"the rate budget of {key} is used up", for_=timedelta(seconds=wait))
        if wait > 0:
            await self._sleep(wait)

    async def pause(self, key: str, for_: timedelta) -> None:
        """Nobody spends from `key` for that long."""
        await _asked(clients.get().eval(_PAUSE, 1, _bucket(key), str(for_.total_seconds())))

    async def hold(self, key: str, holder: str, *, most: int, for_: timedelta) -> bool:
        """Take, or keep, one of `most` places for that long; False: others have them all."""
        arguments = (holder, str(most), str(for_.total_seconds()))
        return bool(await _asked(clients.get().eval(_HOLD, 1, _places(key), *arguments)))

    async def release(self, key: str, holder: str) -> None:
        """Give a place back."""
        await _asked(clients.get().zrem(_places(key), holder))


def _places(key: str) -> str:
    return f"{PREFIX}venues:places:{key}"


def _bucket(key: str) -> str:
    return f"{PREFIX}venues:budget:{key}"


async def _asked(answer: Any) -> Any:
    try:
        return await answer
    except RedisError as error:
        raise Transient(f"Redis does not answer: {type(error).__name__}") from error
