"""The adapter of any ccxt exchange with fetchPositions or fetchBalance; quirk files build on it.

Unproven venues are read cautiously: a part of the venue counts as asked only if it answered with rows of it,
and a list counts as covered only if its one page was clearly not full.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from positions.venues.base import (
    AccountConfig,
    Candle,
    EntryBatch,
    Method,
    Permissions,
    Ports,
    Report,
    StreamEvent,
    Unsupported,
    VenueMark,
    merged,
)
from positions.venues.decoding import ROW_ERRORS, readable, unexpected
from positions.venues.fields import booked, milliseconds, moment, number, positive_or_none
from positions.venues.generic.calls import ReportCall
from positions.venues.generic.clock import VenueClock, told_offset
from positions.venues.generic.lists import ListReader
from positions.venues.generic.markets import Markets
from positions.venues.generic.rules import VenueRules
from positions.venues.generic.state import UnifiedReportBuilder
from positions.venues.generic.stream import watch
from positions.venues.generic.unified_rows import Row


class Generic(VenueRules):
    """Reads reports, entries, prices and streams as the rules of its venue say."""

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        self.clock = VenueClock(self.clock_offset, venue=config.venue)

    # State

    async def report(self, *, scopes: Collection[str] | None = None) -> Report:
        """Every position and balance call of the venue; a call that fails leaves its part unknown."""
        await self.markets()
        asks = [
            ask
            for ask in (*self.position_calls, *self.balance_calls)
            if self.has(ask.method)
            and (scopes is None or ask.wallet or ask.scopes is None or set(ask.scopes) & set(scopes))
        ]
        if not asks:
            raise Unsupported(f"{self.config.venue}: neither positions nor balances can be read")
        return await self.answered(asks)

    async def answered(self, asks: Sequence[ReportCall]) -> Report:
        """What these calls say, as one report: as of when they were sent, by the venue's clock."""
        markets, ahead = await self.markets(), await self.clock.offset()
        sent_at = self.ports.clock()
        answers = await asyncio.gather(*(self.ask(call) for call in asks), return_exceptions=True)
        received_at = self.ports.clock()

        def read(markets: Markets) -> Report:
            reading = UnifiedReportBuilder(self, markets, as_of=sent_at + ahead)
            for call, answer in zip(asks, answers, strict=True):
                reading.take(call, answer)
            return reading.finish(received_at=received_at)

        result = read(markets)
        if result.unknown_symbols and (fresh := await self.relist(result.unknown_symbols)) is not None:
            result = read(fresh)
        return result

    # Facts

    async def entries(
        self, *, since: datetime, until: datetime | None = None, methods: Collection[Method] | None = None
    ) -> EntryBatch:
        """Fills, funding and transfers, as far as ccxt offers them."""
        lists = ListReader(self, await self.markets(), since=since, until=until)
        wanted = {Method.FILLS, Method.FUNDING, Method.TRANSFERS} if methods is None else set(methods)
        batches: list[EntryBatch] = []
        for method in (Method.FILLS, Method.FUNDING, Method.TRANSFERS):
            if method in wanted:
                batches.extend(await lists.read(method))
        if not batches:
            raise Unsupported(f"{self.config.venue}: no list of {', '.join(sorted(wanted))}")
        return merged(batches)

    # Prices

    async def marks(self, *, symbols: Collection[str] | None = None) -> tuple[VenueMark, ...]:
        """Mark prices where the ticker has them, else last prices; of `symbols`, or all."""
        markets = await self.markets()
        wanted = [symbol for symbol in symbols if markets.get(symbol)] if symbols is not None else None
        if wanted == []:
            return ()
        answer, talk = await self.client.call("fetch_tickers", wanted)
        if not isinstance(answer, Mapping):
            raise unexpected("tickers", "an object", answer, talk)
        received_at = talk.last.received_at if talk.last and talk.last.received_at else self.ports.clock()
        found = (_mark(row, received_at) for row in answer.values() if isinstance(row, Mapping))
        return tuple(mark for mark in found if mark is not None and markets.get(mark.venue_symbol))

    async def candles(
        self, *, symbol: str, interval: str, since: datetime, until: datetime | None = None
    ) -> tuple[Candle, ...]:
        """One page of candles, as many as the venue gives."""
        await self.markets()
        params = {"until": milliseconds(until)} if until is not None else {}
        answer, talk = await self.client.call(
            "fetch_ohlcv", symbol, interval, milliseconds(since), None, params
        )
        if not isinstance(answer, list):
            raise unexpected("candles", "a list", answer, talk)
        return readable("candles", answer, _candle, talk)

    # The account and the connection

    def watch(self, *, symbols: Collection[str] | None = None) -> AsyncIterator[StreamEvent]:
        """What ccxt.pro can watch of the account; venues without a private stream are to be polled."""
        return watch(self, report=self.report, symbols=symbols)

    async def permissions(self) -> Permissions:
        """ccxt has no unified way to ask."""
        return Permissions(notes=("this venue's key permissions cannot be asked: make a read-only key",))

    async def clock_offset(self) -> timedelta | None:
        """The venue's clock minus ours, halving the round trip; None where the venue does not tell
        its time.
        """
        if not self.has("fetch_time"):
            return None
        return told_offset(*await self.client.call("fetch_time"))

    async def close(self) -> None:
        """Close the connections of this account."""
        await self.client.close()


def _mark(row: Row, received_at: datetime) -> VenueMark | None:
    """The first price that a unified ticker has: mark, last, middle of bid and ask."""
    try:
        for source, field_name in (("mark", "markPrice"), ("last", "last"), ("close", "close")):
            price = positive_or_none(number(row.get(field_name)))
            if price is not None:
                time = moment(row["timestamp"]) if row.get("timestamp") else received_at
                return VenueMark(venue_symbol=str(row["symbol"]), price=price, source=source, time=time)
        bid, ask = number(row.get("bid")), number(row.get("ask"))
    except ROW_ERRORS:
        return None
    if bid and ask and bid > 0 and ask > 0:
        return VenueMark(
            venue_symbol=str(row["symbol"]), price=booked((bid + ask) / 2), source="mid", time=received_at
        )
    return None


def _candle(row: Sequence[Any]) -> Candle:
    prices = [number(value) for value in row[1:5]]
    if any(price is None for price in prices):
        raise ValueError("candle without a price")
    opening, high, low, close = (Decimal(price) for price in prices if price is not None)
    return Candle(time=moment(row[0]), open=opening, high=high, low=low, close=close, volume=number(row[5]))
