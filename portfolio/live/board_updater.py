"""Keeps a hub's board up to date: from the live log at once, from Postgres by the clock.

Two tasks: one follows the log and never waits for Postgres; the other runs once a second. Each second it
checks in Postgres whether the log left something out; everything is read again now and then, and whenever the
log cannot be trusted (Redis away, read too late). The board is fresh if Postgres answered in that second.
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

from portfolio.live import board_reads
from portfolio.live.board import LiveBoard, RowChange
from portfolio.live.frame_rows import verdicts_of
from portfolio.live.log_reader import LogBatch, LogFrame, LogReader
from portfolio.totals import totals_store
from positions.sync import feed_words, feeds

REFRESH_SECONDS = 1.0
EVERYTHING_SECONDS = 15.0
EVERYTHING_POLLED_SECONDS = 3.0  # a coin that no stream prices is valued by reading
STREAMED_WITHIN = 5.0
NO_PAUSE, LONGEST_PAUSE = 0.002, 0.02  # seconds

log = structlog.get_logger("hub")

Send = Callable[[Iterable[RowChange]], float | None]


class BoardUpdater:
    """Passes changes of feeds to `send_feed` and of alerts to `send_alert`, then those of rows to `send`,
    which returns when it began to send any (None: it has not). `beat` is called each second with whether the
    board is fresh.
    """

    def __init__(
        self,
        board: LiveBoard,
        *,
        send: Send,
        send_feed: Callable[[int, dict[str, Any]], None],
        send_alert: Callable[[int | None, dict[str, Any]], None],
        beat: Callable[[bool], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.loaded = asyncio.Event()
        self._board = board
        self._send, self._send_feed, self._send_alert = send, send_feed, send_alert
        self._beat, self._failed = beat, failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._everything_at = 0.0
        self._streamed_at = float("-inf")

    @property
    def is_running(self) -> bool:
        """Return whether it was started and has not ended."""
        return bool(self._tasks)

    def start(self) -> None:
        """Read everything, then follow the log."""
        self.stop()
        self.loaded.clear()
        self._everything_at = 0.0
        self._spawn(self._follow_log())

    def stop(self) -> None:
        """Stop reading."""
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

    async def _follow_log(self) -> None:
        log_reader = LogReader()
        try:
            # Before everything is read: what happens meanwhile comes out of the log afterwards.
            await log_reader.begin()
            while not await self._check_postgres():  # noqa: ASYNC110
                await asyncio.sleep(REFRESH_SECONDS)
            await self._load_totals()
            await self._read_feed_words()
            self.loaded.set()
            self._spawn(self._follow_clock())
            while not _is_cancelled():
                batch = await log_reader.read(within=REFRESH_SECONDS)
                with board_reads.paused():
                    began = self._take(batch)
                if began is not None:
                    await _pause(began)
        finally:
            await log_reader.close()

    def _take(self, batch: LogBatch) -> float | None:
        if batch.gap:
            self._everything_at = 0.0
        now = timezone.now()
        marks = [mark for frame in batch.marks for mark in frame.body["marks"]]
        if marks:
            self._streamed_at = time.monotonic()
        changes: list[RowChange] = []
        unknown: set[int] = set()
        accounts: set[int] = set()
        for frame in batch.other:
            if frame.kind == "portfolio":
                self._board.account_summaries = frame.body["accounts"]
            if frame.kind == "alert":
                self._send_alert(frame.account, frame.body)
            if frame.account is None or frame.kind == "alert":
                continue
            if frame.kind == "feed":
                self._send_feed(frame.account, frame.body)
                if (word := feed_words.of_frame(frame.body)) is not None:
                    changes += self._board.take_feeds({frame.account: word}, now=now)
            elif "positions" in frame.body:
                moved, missing = self._board.take_positions(
                    frame.body["positions"], account=frame.account, sequence=frame.body["sequence"], now=now
                )
                changes += moved
                unknown |= missing
            else:
                moved_part = self._take_part(frame.account, frame)
                changes += moved_part or []
                accounts |= {frame.account} if moved_part is None else set()
        # Fills before prices: a price may be of what was just opened.
        began = self._send([*changes, *self._board.take_marks(marks, now=now)])
        if unknown or accounts:
            self._spawn(self._read(unknown, accounts))
        return began

    def _take_part(self, account: int, frame: LogFrame) -> list[RowChange] | None:
        """Apply one part of rows; None for a kind of frame unknown here, whose account must be read again."""
        now = timezone.now()
        if frame.kind == "venue_state":
            return self._board.take_states(frame.body["states"], account=account, now=now)
        if frame.kind == "verdict":
            return self._board.take_verdicts(verdicts_of(frame.body), account=account, now=now)
        return None

    # Postgres

    async def _follow_clock(self) -> None:
        await self._read_feeds()
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self._beat(await self._check_postgres())
            await self._read_feeds()
            await self._load_totals()

    async def _check_postgres(self) -> bool:
        """Take what Postgres knows; return whether it answered."""
        now = time.monotonic()
        try:
            if now >= self._everything_at:
                self._everything_at = now + self._everything_seconds()
                self._send(await self._board.refresh(now=timezone.now()))
                return True
            changes, missed = await self._board.check_postgres(now=timezone.now())
            self._send(changes)
            if missed:
                log.info("the log left something out; the accounts are read", accounts=sorted(missed))
                self._send(await self._board.refresh_some(accounts=missed, now=timezone.now()))
        except (DatabaseError, InterfaceError) as error:
            self._everything_at = 0.0
            log.warning("the board cannot be read", error=str(error))
            return False
        return True

    def _everything_seconds(self) -> float:
        streamed = time.monotonic() - self._streamed_at < STREAMED_WITHIN
        # A proof ages without any frame: it is read again before it is shown as old.
        every = min(EVERYTHING_SECONDS, float(settings.RECONCILIATION_INTERVAL))
        return every if streamed else min(every, EVERYTHING_POLLED_SECONDS)

    async def _read(self, positions: Collection[int], accounts: Collection[int]) -> None:
        try:
            self._send(
                await self._board.refresh_some(positions=positions, accounts=accounts, now=timezone.now())
            )
        except (DatabaseError, InterfaceError) as error:
            self._everything_at = 0.0
            log.warning("positions cannot be read", error=str(error))

    async def _read_feeds(self) -> None:
        """Read the states of feeds: no frame reports that a feed is down whose process has gone."""
        try:
            known = await asyncio.to_thread(feeds.known, now=timezone.now())
        except redis.RedisError:
            known = {}
        for account, feed in known.items():
            self._send_feed(account, feed.frame())
        self._send(await self._read_feed_words())

    async def _read_feed_words(self) -> list[RowChange]:
        """Tell the board how the feeds of its accounts stand, also those that no stream watches."""
        words = await board_reads.feeds_of(self._board.accounts())
        return self._board.take_feeds(words, now=timezone.now())

    async def _load_totals(self) -> None:
        """Take over the last refresh, also from before this process read the log; unknown if it is old."""
        try:
            totals = await asyncio.to_thread(totals_store.load)
        except redis.RedisError:
            totals = None
        self._board.refreshed = totals
        self._board.account_summaries = None if totals is None else totals.accounts


async def _pause(began: float) -> None:
    """Leave the processor to others for as long as sending took; what comes meanwhile is sent together.

    So a process with a thousand sockets takes half a processor for them, and the browsers, the stream process
    and Postgres keep up; one with a hundred does not notice.
    """
    await asyncio.sleep(0)  # what the server's loop has put off is written now
    spent = time.perf_counter() - began
    if spent > NO_PAUSE:
        await asyncio.sleep(min(spent, LONGEST_PAUSE))


def _is_cancelled() -> bool:
    """Return whether this task was cancelled: redis-py may swallow the exception."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
