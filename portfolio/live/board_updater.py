"""Keeps a hub's board true: what the live log says at once, what only Postgres knows by the clock.

Two tasks: one hangs on the log and never waits for Postgres; the other has a second's beat. Each second
Postgres is asked whether the log left something out; everything is read again now and then, and whenever the
log cannot be trusted (Redis away, read too late). Fresh is what was asked successfully in that second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from portfolio import totals_store
from portfolio.live import board_reads
from portfolio.live.board import LiveBoard, RowChange
from portfolio.live.log_reader import Frame, Heard, LogReader
from positions.sync import feeds

REFRESH_SECONDS = 1.0
EVERYTHING_SECONDS = 15.0
EVERYTHING_POLLED_SECONDS = 3.0  # a coin that no stream prices is valued by reading
STREAMED_WITHIN = 5.0
NO_REST, LONGEST_REST = 0.002, 0.02  # seconds

log = structlog.get_logger("hub")

Tell = Callable[[Iterable[RowChange]], float | None]


class BoardUpdater:
    """`tell` hears of changes, after `tell_feed` of feeds, and says when it began to send any (None: it has
    not); `beat` hears each second whether it is fresh.
    """

    def __init__(
        self,
        board: LiveBoard,
        *,
        tell: Tell,
        tell_feed: Callable[[int, dict[str, Any]], None],
        beat: Callable[[bool], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.loaded = asyncio.Event()
        self._board = board
        self._tell, self._tell_feed, self._beat, self._failed = tell, tell_feed, beat, failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._everything_at = 0.0
        self._streamed_at = float("-inf")

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self._tasks)

    def start(self) -> None:
        """Read everything, then what the log says of it."""
        self.stop()
        self.loaded.clear()
        self._everything_at = 0.0
        self._spawn(self._listen())

    def stop(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    # The log

    async def _listen(self) -> None:
        log_reader = LogReader()
        try:
            # Before everything is read: what happens meanwhile comes out of the log afterwards.
            await log_reader.begin()
            while not await self._ask_postgres():  # noqa: ASYNC110
                await asyncio.sleep(REFRESH_SECONDS)
            await self._load_totals()
            self.loaded.set()
            self._spawn(self._follow_the_clock())
            while not _is_cancelled():
                heard = await log_reader.hear(within=REFRESH_SECONDS)
                with board_reads.standing_still():
                    began = self._take(heard)
                if began is not None:
                    await _rest(began)
        finally:
            await log_reader.close()

    def _take(self, heard: Heard) -> float | None:
        if heard.gap:
            self._everything_at = 0.0
        now = timezone.now()
        marks = [mark for frame in heard.marks for mark in frame.body["marks"]]
        if marks:
            self._streamed_at = time.monotonic()
        changes: list[RowChange] = []
        unknown: set[int] = set()
        accounts: set[int] = set()
        for frame in heard.news:
            if frame.kind == "portfolio":
                self._board.account_summaries = frame.body["accounts"]
            if frame.account is None:
                continue
            if frame.kind == "feed":
                self._tell_feed(frame.account, frame.body)
            elif "positions" in frame.body:
                told, missing = self._board.take_positions(
                    frame.body["positions"], account=frame.account, sequence=frame.body["sequence"], now=now
                )
                changes += told
                unknown |= missing
            else:
                found = self._take_part(frame.account, frame)
                changes += found or []
                accounts |= {frame.account} if found is None else set()
        # Fills before prices: a price may be of what was just opened.
        began = self._tell([*changes, *self._board.take_marks(marks, now=now)])
        if unknown or accounts:
            self._spawn(self._read(unknown, accounts))
        return began

    def _take_part(self, account: int, frame: Frame) -> list[RowChange] | None:
        """None: a kind of frame that is not known here, whose account is read again."""
        now = timezone.now()
        if frame.kind == "venue_state":
            return self._board.take_states(frame.body["states"], account=account, now=now)
        if frame.kind == "verdict":
            return self._board.take_verdicts(frame.body["verdicts"], account=account, now=now)
        return None

    # Postgres

    async def _follow_the_clock(self) -> None:
        await self._ask_feeds()
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self._beat(await self._ask_postgres())
            await self._ask_feeds()
            await self._load_totals()

    async def _ask_postgres(self) -> bool:
        """Whether it answered."""
        now = time.monotonic()
        try:
            if now >= self._everything_at:
                self._everything_at = now + self._everything_seconds()
                self._tell(await self._board.refresh(now=timezone.now()))
                return True
            changes, missed = await self._board.pulse(now=timezone.now())
            self._tell(changes)
            if missed:
                log.info("the log left something out; the accounts are read", accounts=sorted(missed))
                self._tell(await self._board.refresh_some(accounts=missed, now=timezone.now()))
        except (DatabaseError, InterfaceError) as error:
            self._everything_at = 0.0
            log.warning("the board cannot be read", error=str(error))
            return False
        return True

    def _everything_seconds(self) -> float:
        streamed = time.monotonic() - self._streamed_at < STREAMED_WITHIN
        # A proof ages while nobody speaks of it: it is read again before it looks old.
        every = min(EVERYTHING_SECONDS, float(settings.RECONCILIATION_INTERVAL))
        return every if streamed else min(every, EVERYTHING_POLLED_SECONDS)

    async def _read(self, positions: Collection[int], accounts: Collection[int]) -> None:
        try:
            self._tell(
                await self._board.refresh_some(positions=positions, accounts=accounts, now=timezone.now())
            )
        except (DatabaseError, InterfaceError) as error:
            self._everything_at = 0.0
            log.warning("positions cannot be read", error=str(error))

    async def _ask_feeds(self) -> None:
        """Feeds that nobody speaks of any more are down; nothing on the log says so."""
        try:
            known = await asyncio.to_thread(feeds.known, now=timezone.now())
        except redis.RedisError:
            return
        for account, feed in known.items():
            self._tell_feed(account, feed.frame())
        self._tell(())

    async def _load_totals(self) -> None:
        """Take over the last refresh: also of before this began to listen, and not one of long ago."""
        try:
            totals = await asyncio.to_thread(totals_store.load)
        except redis.RedisError:
            totals = None
        self._board.refreshed = totals
        self._board.account_summaries = None if totals is None else totals.accounts


async def _rest(began: float) -> None:
    """Leave the processor to others, as long again as sending took; what comes meanwhile leaves together.

    So a process with a thousand sockets takes half a processor for them, and they, the stream process and
    Postgres keep up; one with a hundred does not notice.
    """
    await asyncio.sleep(0)  # what the server's loop has put off is written now
    spent = time.perf_counter() - began
    if spent > NO_REST:
        await asyncio.sleep(min(spent, LONGEST_REST))


def _is_cancelled() -> bool:
    """Whether this task was told to stop: redis-py may swallow the exception that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
