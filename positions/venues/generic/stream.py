"""What ccxt.pro can watch of an account: fills as they come, and "something changed" for positions and
balances.

ccxt delivers a fill that arrived while nobody awaited only together with the next one. So its cache is
looked through on every wake-up and at least once a second: whatever came is seen within that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from positions.venues.base import (
    AccountUpdate,
    Method,
    PriceUpdate,
    Report,
    StreamEvent,
    Unsupported,
    VenueMark,
)
from positions.venues.decoding import ROW_ERRORS, BatchBuilder, listed_instrument
from positions.venues.fields import moment, number, positive_or_none
from positions.venues.generic.rules import VenueRules
from positions.venues.transport.websocket import (
    GOODBYE,
    ConnectionFailure,
    hang_up,
    reconnecting,
    stream_start,
)

LOOK_EVERY = timedelta(seconds=1)
# A burst of changes is answered by one report.
REPORT_AT_MOST_EVERY = timedelta(seconds=2)
_SEEN_HELD = 5000


async def watch(
    venue: VenueRules, *, report: Callable[[], Awaitable[Report]], symbols: Collection[str] | None
) -> AsyncIterator[StreamEvent]:
    """Changes and prices, over as many connections as it takes. Raises Unsupported where nothing
    can be watched.
    """
    if venue.client.gate is not None:
        # Markets may be at hand; nothing else is asked of the venue before its sockets are.
        await venue.client.gate()
    await venue.markets()
    watched = [name for name in ("watch_my_trades", "watch_positions", "watch_balance") if venue.has(name)]
    if not watched and not venue.has("watch_tickers"):
        raise Unsupported(f"{venue.config.venue} has no stream of the account: poll it")

    def open_session() -> AsyncGenerator[StreamEvent, None]:
        return _WatchSession(venue, watched, report, symbols).events()

    async for event in reconnecting(
        open_session, clock=venue.ports.clock, closed=lambda: venue.client.closed
    ):
        yield event


class _WatchSession:
    def __init__(
        self,
        venue: VenueRules,
        watched: list[str],
        report: Callable[[], Awaitable[Report]],
        symbols: Collection[str] | None,
    ) -> None:
        self._venue = venue
        self._report = report
        self._watched = watched
        self._symbols = list(symbols) if symbols else None
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._seen: dict[str, None] = {}

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        exchange = self._venue.client.exchange
        names = list(self._watched)
        if self._venue.has("watch_tickers") and self._symbols:
            names.append("watch_tickers")
        tasks = [asyncio.create_task(self._loop(name)) for name in names]
        tasks.append(asyncio.create_task(self._look()))
        reported_at = None
        try:
            yield stream_start(self._venue.ports.clock)
            while True:
                item = await self._queue.get()
                if isinstance(item, BaseException):
                    raise ConnectionFailure(f"{type(item).__name__}: {item}".rstrip(": ")) from item
                name, result = item
                event: StreamEvent | None
                if name == "watch_tickers":
                    event = self._tick(result)
                elif name == "watch_my_trades":
                    event = await self._fills()
                else:
                    now = self._venue.ports.clock()
                    if reported_at is not None and now - reported_at < REPORT_AT_MOST_EVERY:
                        continue
                    reported_at = now
                    event = AccountUpdate(report=await self._report(), received_at=self._venue.ports.clock())
                if event is not None:
                    yield event
        finally:
            for task in tasks:
                task.cancel()
            await hang_up(exchange)
            await asyncio.wait(tasks, timeout=GOODBYE.total_seconds())

    async def _loop(self, name: str) -> None:
        """Await one of ccxt's watch methods again and again; its failure ends the session."""
        method = getattr(self._venue.client.exchange, name)
        try:
            while True:
                result = await (method(self._symbols) if name == "watch_tickers" else method())
                self._queue.put_nowait((name, result))
        except asyncio.CancelledError as error:
            # ccxt says so when a socket is closed from elsewhere; where it is meant for us, nobody reads on.
            self._queue.put_nowait(error)
            raise
        except Exception as error:  # noqa: BLE001  handed to the reader, who ends the session
            self._queue.put_nowait(error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            self._queue.put_nowait(("watch_my_trades", None))

    async def _fills(self) -> AccountUpdate | None:
        """Every fill in ccxt's cache that was not handed out yet."""
        cached = getattr(self._venue.client.exchange, "myTrades", None) or []
        fresh = [row for row in list(cached) if _key(row) not in self._seen]
        if not fresh:
            return None
        await self._venue.before_fills(fresh)
        for row in fresh:
            self._seen[_key(row)] = None
        while len(self._seen) > _SEEN_HELD:
            self._seen.pop(next(iter(self._seen)))
        markets = await self._venue.markets()
        decoding = BatchBuilder(
            Method.FILLS,
            markets,
            lambda row, listed: self._venue.fills_of(row, listed_instrument(row.get("symbol"), listed)),
            time_of=lambda row: row.get("timestamp"),
        )
        await decoding.take(fresh)
        now = self._venue.ports.clock()
        batch = decoding.batch(asked=(now, now), covered=None)
        return AccountUpdate(entries=batch.entries, unreadable=batch.unreadable, received_at=now)

    def _tick(self, result: Any) -> PriceUpdate | None:
        now = self._venue.ports.clock()
        marks = []
        for row in result.values() if isinstance(result, Mapping) else []:
            try:
                price = positive_or_none(number(row.get("markPrice")) or number(row.get("last")))
                if price is not None:
                    time = moment(row["timestamp"]) if row.get("timestamp") else now
                    marks.append(
                        VenueMark(venue_symbol=row["symbol"], price=price, source="stream", time=time)
                    )
            except ROW_ERRORS:
                continue
        return PriceUpdate(marks=tuple(marks), received_at=now) if marks else None


def _key(row: Mapping[str, Any]) -> str:
    return f"{row.get('symbol')}:{row.get('id')}:{row.get('order')}:{row.get('timestamp')}"
