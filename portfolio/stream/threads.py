"""The threads of a stream process: sockets live on one event loop, Postgres and Redis are asked beside it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Threads:
    """writers: book what streams, and keep their connections. askers: everything else. redis: appends."""

    writers: ThreadPoolExecutor
    askers: ThreadPoolExecutor
    redis: ThreadPoolExecutor

    @classmethod
    def start(cls) -> Threads:
        """As many as the connections of the process allow: the supervisor and the repairer need one each."""
        each = max(1, min(4, (settings.DATABASE_POOL_MAX or 8) // 2 - 1))
        return cls(
            ThreadPoolExecutor(each, "writer"),
            ThreadPoolExecutor(each, "asker"),
            ThreadPoolExecutor(1, "redis"),
        )

    async def ask(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run work that may use Postgres or wait for a venue, off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.askers, partial(_then_return, work, *args, **kwargs))

    async def append(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run work that asks only Redis, in order."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.redis, partial(work, *args, **kwargs))

    def stop(self) -> None:
        """Start nothing more; what runs is not waited for."""
        for pool in (self.writers, self.askers, self.redis):
            pool.shutdown(wait=False, cancel_futures=True)


def _then_return(work: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Give the connection back to the pool: more threads wait for one than there are."""
    try:
        return work(*args, **kwargs)
    finally:
        connection.close()


def backoff(failures: int, *, first: float = 0.5, longest: float = 60.0) -> float:
    """Seconds to wait after so many failures in a row: exponential, with jitter, at most `longest`."""
    wait: float = min(longest, first * 2 ** min(max(failures, 1) - 1, 10))
    return random.uniform(0.5, 1.0) * wait
