"""Ports that live in one process: for commands without Redis, and for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from positions.venues.base import Ports, RateLimited

LONGEST_WAIT = timedelta(seconds=30)


class MemoryCache:
    """A dict with an expiry per key."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._held: dict[str, tuple[float, bytes]] = {}

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or expired."""
        held = self._held.get(key)
        return held[1] if held and held[0] > self._now() else None

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None:
        """Keep a value for `ttl`."""
        self._held[key] = (self._now() + ttl.total_seconds(), value)


class MemoryBudget:
    """Token buckets of one process. A bucket may go below zero: then everybody waits until it is above
    again.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._buckets: dict[str, tuple[float, float]] = {}
        self._paused: dict[str, float] = {}
        self.spent: dict[str, float] = {}
        self._places: dict[str, dict[str, float]] = {}

    async def spend(self, key: str, weight: float, *, capacity: float, per_second: float) -> None:
        """Take tokens, waiting for them. Raises RateLimited when that takes more than half a minute."""
        wait = self._take(key, weight, capacity, per_second)
        if wait > LONGEST_WAIT.total_seconds():
            raise RateLimited(f"rate budget of {key} is used up", for_=timedelta(seconds=wait))
        if wait > 0:
            await self._sleep(wait)

    def _take(self, key: str, weight: float, capacity: float, per_second: float) -> float:
        now = self._now()
        tokens, at = self._buckets.get(key, (capacity, now))
        tokens = min(capacity, tokens + (now - at) * per_second) - weight
        paused = max(0.0, self._paused.get(key, now) - now)
        wait = max(paused, -tokens / per_second)
        if wait <= LONGEST_WAIT.total_seconds():
            self._buckets[key] = (tokens, now)
            self.spent[key] = self.spent.get(key, 0.0) + weight
        return wait

    async def pause(self, key: str, for_: timedelta) -> None:
        """Nobody spends from `key` for that long."""
        until = self._now() + for_.total_seconds()
        self._paused[key] = max(until, self._paused.get(key, until))

    async def hold(self, key: str, holder: str, *, most: int, for_: timedelta) -> bool:
        """Take, or keep, one of `most` places for that long; False: others have them all."""
        now = self._now()
        held = {one: until for one, until in self._places.get(key, {}).items() if until > now}
        self._places[key] = held
        if holder not in held and len(held) >= most:
            return False
        held[holder] = now + for_.total_seconds()
        return True

    async def release(self, key: str, holder: str) -> None:
        """Give a place back."""
        self._places.get(key, {}).pop(holder, None)


def ports(clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Ports:
    """Ports of this process alone."""
    return Ports(cache=MemoryCache(), budget=MemoryBudget(), clock=clock)
