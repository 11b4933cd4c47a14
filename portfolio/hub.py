"""One reader of the book per web process; every browser's socket hangs on it.

The hub keeps the board's rows, re-reads them when the live log says that something was booked and once a
second for marks, and sends each changed row, serialised once, to every socket. A heartbeat leaves only
while reading works: a board that cannot be refreshed must not look alive.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import redis
import structlog
from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.utils import timezone

from core.redis import async_client
from portfolio import rollup, rows
from positions import live

REFRESH_SECONDS = 1.0
HEARTBEAT_SECONDS = 2.0
WAITING_FRAMES = 1000  # a browser that is further behind starts over with a snapshot

log = structlog.get_logger("hub")

Frames = asyncio.Queue[str | None]


class Hub:
    """The rows as last read, and the queues of the sockets. Lives in one event loop."""

    def __init__(self) -> None:
        self._rows: dict[int, rows.Row] = {}
        self._environments: tuple[str, ...] = ()
        self._queues: set[Frames] = set()
        self._task: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._beat_at: datetime | None = None

    async def subscribe(self) -> Frames:
        """Return a queue that starts with hello and a snapshot. None in it means: too slow, start over."""
        if self._task is None or self._task.done():
            self._loaded.clear()
            self._task = asyncio.create_task(self._run())
        try:
            await self._loaded.wait()
        except asyncio.CancelledError:
            self._rest()
            raise
        queue: Frames = asyncio.Queue(WAITING_FRAMES)
        queue.put_nowait(_frame("hello", server_time=timezone.now().isoformat()))
        queue.put_nowait(_frame("snapshot", positions=list(self._rows.values()), totals=self._totals()))
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: Frames) -> None:
        """Forget a socket; with the last one the reading stops."""
        self._queues.discard(queue)
        self._rest()

    def _rest(self) -> None:
        if not self._queues and self._task:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        reader = async_client(block_seconds=REFRESH_SECONDS)
        last = "$"
        try:
            while True:
                await self._refresh()
                last = await _wait_for_news(reader, last)
        finally:
            await reader.aclose()

    async def _refresh(self) -> None:
        now = timezone.now()
        try:
            fresh, self._environments = await _read(now)
        except DatabaseError as error:
            log.warning("the board cannot be read", error=str(error))
            return
        self._loaded.set()
        changed = [row for key, row in fresh.items() if self._rows.get(key) != row]
        gone = [row | {"open": False} for key, row in self._rows.items() if key not in fresh]
        self._rows = fresh
        totals: dict[str, Any] = {"totals": self._totals()}
        for row in [*changed, *gone]:
            self._send(_frame("position_update", id=row["id"], position=row, **totals))
            totals = {}  # they count all of this refresh: once is enough
        if self._beat_at is None or (now - self._beat_at).total_seconds() >= HEARTBEAT_SECONDS:
            self._beat_at = now
            self._send(_frame("heartbeat", server_time=now.isoformat()))

    def _totals(self) -> dict[str, dict[str, Any]]:
        return rollup.totals(rows=self._rows.values(), environments=self._environments)

    def _send(self, frame: str) -> None:
        for queue in self._queues:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(frame)


def hub() -> Hub:
    """Return this event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


async def _wait_for_news(reader: Any, last: str) -> str:
    """Return after the next book frame or REFRESH_SECONDS, with the id to go on from."""
    try:
        answer = await reader.xread({live.LIVE: last}, block=int(REFRESH_SECONDS * 1000))
    except redis.RedisError as error:
        log.warning("the live log cannot be read; refreshing by the clock", error=str(error))
        await asyncio.sleep(REFRESH_SECONDS)
        return last
    with contextlib.suppress(IndexError):
        return str(answer[0][1][-1][0].decode())
    return last


@database_sync_to_async  # type: ignore[untyped-decorator]
def _read(now: datetime) -> tuple[dict[int, rows.Row], tuple[str, ...]]:
    return {row["id"]: row for row in rows.board(now=now)}, rows.environments()


def _frame(kind: str, **parts: Any) -> str:
    return orjson.dumps({"type": kind, **parts}).decode()
