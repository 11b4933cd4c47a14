"""Reading the live log without missing anything: both of its streams, from where reading began."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis
import structlog

from core.redis import async_client
from positions import live

READ_AT_ONCE = 500
LONGEST_WAIT = 1.0
TRUSTED_SECONDS = live.KEEP_MS[live.LIVE] / 1000 / 2

log = structlog.get_logger("log reader")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the log; `account` is None where it concerns no single one."""

    kind: str
    account: int | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came since the last time, prices apart from all else. `gap`: something may have been missed."""

    marks: Sequence[Frame] = field(default_factory=tuple)
    news: Sequence[Frame] = field(default_factory=tuple)
    gap: bool = False


class LogReader:
    """Reads on from where it stands. One task uses it; `close` it in the end."""

    def __init__(self) -> None:
        self._client: Any = async_client(block_seconds=LONGEST_WAIT)
        self._last: dict[str, str] = {}
        self._heard_at = 0.0

    async def begin(self) -> None:
        """Stand at the log's end, if it is not known where to go on. Read everything else after this."""
        if self._last:
            return
        for name in (live.LIVE, live.MARKS):
            try:
                newest = await self._client.xrevrange(name, count=1)
            except redis.RedisError:
                newest = []
            self._last[name] = newest[0][0].decode() if newest else "0-0"
        self._heard_at = time.monotonic()

    async def hear(self, *, within: float) -> Heard:
        """Return what comes first within so many seconds (at most LONGEST_WAIT); nothing, if nothing does.

        When Redis does not answer it waits that long and stands at the end again: then, and when it was read
        so late that the log may have been cut, there is a gap, and everything else must be read.
        """
        wait = max(0.001, min(within, LONGEST_WAIT))
        gap = time.monotonic() - self._heard_at > TRUSTED_SECONDS
        try:
            answer = await self._client.xread(self._last, count=READ_AT_ONCE, block=max(1, int(wait * 1000)))
        except redis.RedisError as error:
            log.warning("the live log cannot be read; refreshing by the clock", error=str(error))
            self._last.clear()
            await asyncio.sleep(wait)
            await self.begin()
            return Heard(gap=True)
        self._heard_at = time.monotonic()
        heard: dict[str, list[Frame]] = {}
        for stream, entries in answer:
            self._last[stream.decode()] = entries[-1][0].decode()
            heard[stream.decode()] = [_frame(fields) for _, fields in entries]
        return Heard(heard.get(live.MARKS, ()), heard.get(live.LIVE, ()), gap)

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()


def _frame(fields: dict[bytes, bytes]) -> Frame:
    account = fields.get(b"account")
    return Frame(
        kind=fields[b"kind"].decode(),
        account=None if account is None else int(account),
        body=orjson.loads(fields[b"frame"]),
    )
