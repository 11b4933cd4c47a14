"""Reads both streams of the live log from where reading began, and reports when something may be missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
import structlog

from core.storage.redis import async_client
from positions import live

READ_AT_ONCE = 500
LONGEST_WAIT = 1.0
TRUSTED_SECONDS = live.KEEP_MS[live.LIVE] / 1000 / 2

log = structlog.get_logger("log reader")


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One frame of the log; `account` is None where it concerns no single one."""

    kind: str
    account: int | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogBatch:
    """What came since the last read, prices apart from all else. `gap`: something may be missing."""

    marks: Sequence[LogFrame] = field(default_factory=tuple)
    other: Sequence[LogFrame] = field(default_factory=tuple)
    gap: bool = False


class LogReader:
    """One task uses it, and closes it in the end."""

    def __init__(self) -> None:
        self._client: Any = async_client(block_seconds=LONGEST_WAIT)
        self._last: dict[str, str] = {}
        self._read_at = 0.0

    async def begin(self) -> None:
        """Start at the log's end, unless a place to go on from is known. Read everything else after this."""
        if self._last:
            return
        for name in (live.LIVE, live.MARKS):
            try:
                newest = await self._client.xrevrange(name, count=1)
            except redis.RedisError:
                newest = []
            self._last[name] = newest[0][0].decode() if newest else "0-0"
        self._read_at = time.monotonic()

    async def read(self, *, within: float) -> LogBatch:
        """Return the next frames, waiting at most so many seconds (LONGEST_WAIT); empty if none came.

        There is a gap, and everything must be read from Postgres, when Redis did not answer (then it waits as
        long and starts at the log's end again), and when the last read is so old that the log may have been
        trimmed meanwhile.
        """
        wait = max(0.001, min(within, LONGEST_WAIT))
        gap = time.monotonic() - self._read_at > TRUSTED_SECONDS
        try:
            answer = await self._client.xread(self._last, count=READ_AT_ONCE, block=max(1, int(wait * 1000)))
        except redis.RedisError as error:
            log.warning("the live log cannot be read; refreshing by the clock", error=str(error))
            self._last.clear()
            await asyncio.sleep(wait)
            await self.begin()
            return LogBatch(gap=True)
        self._read_at = time.monotonic()
        frames: dict[str, list[LogFrame]] = {}
        for stream, entries in answer:
            self._last[stream.decode()] = entries[-1][0].decode()
            frames[stream.decode()] = [_frame(fields) for _, fields in entries]
        return LogBatch(frames.get(live.MARKS, ()), frames.get(live.LIVE, ()), gap)

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()


def _frame(fields: dict[bytes, bytes]) -> LogFrame:
    account = fields.get(b"account")
    return LogFrame(
        kind=fields[b"kind"].decode(),
        account=None if account is None else int(account),
        body=orjson.loads(fields[b"frame"]),
    )
