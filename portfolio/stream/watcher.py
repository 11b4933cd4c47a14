"""Watches one account: its stream into the writer, its lists where the stream cannot be trusted, its state.

Four loops that end only when cancelled; each survives its own failures, backs off, and says in the feed's
state how it stands. Note [Cursor]: what streams is booked at once, but a cursor moves only with a list that
was read: a frame that got lost on the way is then found by the next reading, not skipped for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from core.tracing.trace import new_trace_id
from portfolio.stream.backfill_worker import BackfillWorker
from portfolio.stream.feed_state import FeedState
from portfolio.stream.list_schedule import CASH_WITHOUT_STREAM, ListSchedule
from portfolio.stream.prices import Prices
from portfolio.stream.state_watch import StateWatch
from portfolio.stream.threads import Threads, backoff
from portfolio.stream.writer import BacklogFull, Writer
from positions.book import Entry, Kind
from positions.models import Account
from positions.sync import connections, feed_queries, poll
from positions.sync.backfills import Backfill
from positions.sync.feeds import Feed, State
from positions.venues.base import (
    AccountUpdate,
    Denied,
    Evidence,
    Method,
    PriceUpdate,
    RateLimited,
    StreamEvent,
    StreamLoss,
    StreamStart,
    Unsupported,
    Venue,
)
from positions.venues.pacing import Work, at_least
from positions.venues.transport.event_loop import background

# After this long without a frame a stream is not believed. A venue not named sends nothing while nothing
# happens: there only its own heartbeat tells.
SILENT_AFTER = {"hyperliquid": timedelta(seconds=5)}
# What an account asks for that is not to bring all prices: one that always moves, as a sign of life.
PULSE = {"hyperliquid": ("BTC",)}
POLL_WITHOUT_STREAM = timedelta(seconds=1)
AFTER_DENIAL = timedelta(seconds=60)
LOOK_EVERY = 0.25
CONNECTS_WITHIN = 2.0

log = structlog.get_logger("stream")


class Watcher:
    """One account's watcher; lives on the venues' event loop. `run` ends only when cancelled."""

    def __init__(
        self, *, account: Account, copy: str, threads: Threads, prices: Prices, tell: Callable[[Feed], None]
    ) -> None:
        self.account = account
        self.state = FeedState(account=account.pk, copy=copy, now=timezone.now(), tell=tell)
        self._asked_for, self._no_longer = asyncio.Event(), asyncio.Event()
        self._loop = background.loop
        self.writer = Writer(
            account=account, pool=threads.writers, later=self._later, failed=self._writer_failed
        )
        self._threads = threads
        self._prices = prices
        self._schedule = ListSchedule(
            poll_every=max(timedelta(seconds=settings.FILL_POLL_SECONDS), self._paced(Work.FILLS)),
            cash_every=max(CASH_WITHOUT_STREAM, self._paced(Work.CASH)),
        )
        self._started = asyncio.Event()
        self._connected = False
        self._came_up = False
        self._silent = False
        self._lists_fail = False
        self._through: datetime | None = None
        self._held: list[Entry] | None = []
        self._state_watch = StateWatch(
            account=account, threads=threads, missed=lambda: self._schedule.ask(Method.FILLS)
        )
        self.backfills = BackfillWorker(account=account, threads=threads, tell=self._reads_again)

    def _paced(self, work: Work) -> timedelta:
        """The least time between two askings, as far as the venue's budget is scarce."""
        return at_least(world=self.account.world, work=work, accounts=1)

    def ask_prices(self, wanted: bool) -> None:
        """Whether this account's stream is to bring the prices of all markets. On the event loop only."""
        (self._asked_for if wanted else self._no_longer).set()
        (self._no_longer if wanted else self._asked_for).clear()

    # What is called from other threads

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(seconds, call))

    def _writer_failed(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(lambda: self.state.unwritten(reason, now=timezone.now()))

    # The loops

    async def run(self) -> None:
        """Watch until cancelled."""
        venue = await self._connect()
        self.writer.venue = venue
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stream(venue))
            group.create_task(self._read_lists())
            group.create_task(self._watch_for_silence())
            group.create_task(
                self._state_watch.keep(
                    venue,
                    suffices=lambda: self._suffices,
                    live=self._is_live,
                    comparable=lambda: self._is_comparable,
                )
            )

    async def _connect(self) -> Venue:
        failures = 0
        while True:
            try:
                venue = await self._threads.ask(connections.connect, account=self.account)
                await self._learn_cursor()
            except Exception as error:  # noqa: BLE001  said in the feed's state, and tried again
                failures += 1
                await self._wait_after(error, failures)
            else:
                # A history that was never read comes first: a book of its last fills alone would be wrong.
                self._held = [] if self._through is None else None
                return venue

    async def _learn_cursor(self) -> None:
        self._through = await self._threads.ask(
            feed_queries.read_through, account=self.account.pk, feed=Method.FILLS
        )

    async def _stream(self, venue: Venue) -> None:
        if venue.capabilities[Method.STREAMS].evidence is Evidence.UNSUPPORTED:
            self._only_poll()
            return
        failures = 0
        while True:
            whose = self._asked_for.is_set()
            symbols = None if whose else PULSE.get(self.account.venue, ())
            reading = asyncio.create_task(self._events(venue, symbols=symbols))
            turned = asyncio.create_task(self._turned(whose))
            try:
                await asyncio.wait((reading, turned), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    continue
                reading.result()
                error: Exception = RuntimeError("the venue's stream ended")
            except Unsupported as refused:
                self._only_poll(reason=str(refused))
                return
            except Exception as raised:  # noqa: BLE001  said in the feed's state, and tried again
                error = raised
            finally:
                for task in (reading, turned):
                    task.cancel()
                await asyncio.gather(reading, turned, return_exceptions=True)
            self._connected = False
            # A stream that had come up is not one that cannot.
            failures = 1 if self._came_up else failures + 1
            self._came_up = False
            await self._wait_after(error, failures)

    def _is_live(self) -> bool:
        return self.state.feed.state is State.LIVE

    @property
    def _is_comparable(self) -> bool:
        """Whether a report may be held against the book: not while what was missed is being read.

        Without a stream reports still come by REST; a list that nobody answers must not hide what they show.
        """
        if self._is_live():
            return True
        reads = self.state.feed.state is State.BACKFILLING and not self._lists_fail
        return self._through is not None and not reads

    def _only_poll(self, *, reason: str = "") -> None:
        self._started.set()
        self._state_watch.run_requests.stream_came_up()
        self.state.polled(reason=reason)
        self._schedule.poll_every = max(POLL_WITHOUT_STREAM, self._paced(Work.FILLS))

    async def _events(self, venue: Venue, *, symbols: Collection[str] | None) -> None:
        async for event in venue.watch(symbols=symbols):
            self._take(event)

    async def _turned(self, whose: bool) -> None:
        """Return once this account is to ask for prices, or no longer (`whose`: it does now)."""
        await (self._no_longer if whose else self._asked_for).wait()

    async def _wait_after(self, error: Exception, failures: int) -> None:
        seconds = backoff(failures, first=30.0 if isinstance(error, Denied) else 0.5)
        log.warning("stream failed", account=self.account.label, error=str(error), seconds=round(seconds, 1))
        self.state.move(State.DOWN, now=timezone.now(), reason=str(error))
        await asyncio.sleep(seconds)

    # What the stream says

    def _take(self, event: StreamEvent) -> None:
        now = timezone.now()
        match event:
            case StreamStart():
                self._connected = self._came_up = True
                self._started.set()
                self._back(now, reason="connected")
            case StreamLoss():
                self._connected = False
                log.info("stream lost", account=self.account.label, reason=event.reason)
                self.state.move(State.DOWN, now=now, reason=event.reason)
                return
            case PriceUpdate():
                self._prices.take(self.account, event.marks)
            case AccountUpdate():
                self._changed(event)
        self.state.heard(now=now)
        if self._silent:
            self._silent = False
            self._back(now, reason="the venue is heard again")

    def _back(self, now: datetime, *, reason: str) -> None:
        """What happened while nobody listened is read from the cursors."""
        self._schedule.ask()
        self._state_watch.run_requests.stream_came_up()
        self.state.move(State.BACKFILLING, now=now, reason=reason)

    def _changed(self, change: AccountUpdate) -> None:
        if change.unreadable:
            log.warning(
                "frame could not be read", account=self.account.label, reason=change.unreadable[0].reason
            )
            self._schedule.ask()
        if change.report is not None:
            self._state_watch.take(change.report, at=self._loop.time())
        entries = self._unread(change) if change.snapshot else change.entries
        try:
            if self._held is not None:
                self._hold(entries)
            else:
                self.writer.put(entries)
        except BacklogFull as error:
            log.warning("dropped what waited", account=self.account.label, error=str(error))
            self._schedule.ask()

    def _unread(self, snapshot: AccountUpdate) -> list[Entry]:
        """What a snapshot (the newest facts, sent on connecting) has that no list proved yet.

        One that reaches back beyond the cursor leaves no gap: the stream is live before the list is read.
        """
        if self._through is None:
            return list(snapshot.entries)
        fills = [entry.time for entry in snapshot.entries if entry.kind is Kind.FILL]
        if fills and min(fills) <= self._through and self._held is None:
            self.state.move(State.LIVE, now=timezone.now())
        return [entry for entry in snapshot.entries if entry.time > self._through - poll.OVERLAP]

    def _hold(self, entries: Collection[Entry]) -> None:
        assert self._held is not None
        self._held.extend(entries)
        if len(self._held) > 10_000:
            # The first reading ends with them anyway.
            self._held.clear()
            self._schedule.ask()

    # The lists

    @property
    def _flows(self) -> bool:
        return self._connected and not self._silent

    @property
    def _suffices(self) -> bool:
        """Whether the stream alone tells what happens: one that was never proven is only the faster way."""
        venue = self.writer.venue
        proven = (Evidence.RECORDED, Evidence.SIMULATED)
        return self._flows and venue is not None and venue.capabilities[Method.STREAMS].evidence in proven

    async def _read_lists(self) -> None:
        # Read once the stream is on, lists leave no gap before it; read earlier, they had to be read twice.
        # Not asyncio.wait_for, which loses a cancellation that comes together with the start (Python 3.11).
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECTS_WITHIN):
                await self._started.wait()
        failures = 0
        while True:
            await asyncio.sleep(LOOK_EVERY if failures or self._flows else LOOK_EVERY / 2)
            now = timezone.now()
            methods = self._schedule.due(now=now, flows=self._suffices)
            try:
                if not methods:
                    if (asked := self.backfills.due(now=now)) is not None:
                        await self.backfills.carry_out(asked)
                    continue
                self._schedule.begin(methods)
                waits = await self._read(methods)
            except Exception as error:  # noqa: BLE001  said in the feed's state, and tried again
                failures += 1
                self._lists_failed(methods, error, failures)
            else:
                failures = 0
                self._lists_read(methods, waits=waits)

    async def _read(self, methods: list[Method]) -> bool:
        """Read and book these lists; return whether facts wait for their coin to be listed."""
        trace_id = new_trace_id()
        polled = await self._threads.ask(
            poll.facts,
            account=self.account,
            methods=methods,
            now=timezone.now(),
            trace_id=trace_id,
            progress=self._progress,
        )
        if polled.booked:
            log.info("read", account=self.account.label, booked=polled.booked, trace_id=trace_id)
        await self._learn_cursor()
        if self._held is not None and Method.FILLS in methods:
            held, self._held = self._held, None
            self.writer.put(held)
        return polled.waits

    def _progress(self, method: Method, done: int, of: int) -> None:
        def tell() -> None:
            if self.state.feed.state is State.BACKFILLING:
                progress = {"feed": method.value, "booked": done, "of": of}
                reason = self.state.feed.reason
                self.state.move(State.BACKFILLING, now=timezone.now(), reason=reason, progress=progress)

        self._loop.call_soon_threadsafe(tell)

    def _reads_again(self, one: Backfill) -> None:
        progress = {"feed": one.feed.value, "booked": one.done, "of": one.of, "since": one.since.isoformat()}
        told = None if one.is_over else progress
        self._loop.call_soon_threadsafe(lambda: self.state.read_again(told, now=timezone.now()))

    def _lists_read(self, methods: list[Method], *, waits: bool) -> None:
        now = timezone.now()
        self._lists_fail = False
        self._schedule.done(methods, now=now, waits=waits)
        if not self.state.feed.streams:
            self.state.heard(now=now)
            self.state.move(State.LIVE, now=now)
        elif self._flows and Method.FILLS not in self._schedule.asked:
            self.state.move(State.LIVE, now=now)

    def _lists_failed(self, methods: list[Method], error: Exception, failures: int) -> None:
        now = timezone.now()
        wait = timedelta(seconds=backoff(failures, longest=30.0))
        if isinstance(error, RateLimited):
            wait = max(wait, error.for_)
        if isinstance(error, Denied):
            # A person must act; asking again meanwhile only spends what other accounts need.
            wait = max(wait, AFTER_DENIAL)
        log.warning(
            "lists could not be read", account=self.account.label, error=str(error), failures=failures
        )
        self._lists_fail = True
        self._schedule.failed(methods, until=now + wait)
        if not self.state.feed.streams or isinstance(error, Denied):
            self.state.move(State.DOWN, now=now, reason=str(error))
        elif self._connected:
            self.state.move(State.BACKFILLING, now=now, reason=str(error))

    async def _watch_for_silence(self) -> None:
        """Notice a silent venue also while one of its answers hangs."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._notice_silence(timezone.now())

    def _notice_silence(self, now: datetime) -> None:
        limit, heard = SILENT_AFTER.get(self.account.venue), self.state.feed.last_event
        if self._connected and not self._silent and limit and heard and now - heard > limit:
            self._silent = True
            self.state.move(State.STALE, now=now, reason="connected, but the venue sends nothing")
