"""Any ccxt exchange with fetchPositions or fetchBalance, through ccxt's unified methods; the base of the
quirks.

Unproven venues get the cautious reading: a part of the venue counts as asked only if it answered with rows
of it, and a list counts as covered only if its one page was clearly not full.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Leg
from positions.venues.base import (
    AccountConfig,
    Candle,
    Capability,
    EntryBatch,
    Evidence,
    Instrument,
    Mark,
    Method,
    Permissions,
    Ports,
    PositionRow,
    Report,
    StreamEvent,
    Unsupported,
    merged,
)
from positions.venues.decoding import ROW_ERRORS, corrupt, unexpected
from positions.venues.fields import Malformed, milliseconds, moment, number, positive_or_none
from positions.venues.generic import unified_rows
from positions.venues.generic.calls import Ask, Listing
from positions.venues.generic.lists import Lists
from positions.venues.generic.markets import Markets, store
from positions.venues.generic.state import StateReading
from positions.venues.generic.stream import watch
from positions.venues.generic.unified_rows import Row
from positions.venues.transport.client import Client, Limits


class Generic:
    """The unified reading. A quirk file overrides the class attributes and the small methods below them."""

    exchange_id: ClassVar[str] = ""
    # Whether somebody looked at how ccxt reads this venue: only then is an empty balance believed.
    proven: ClassVar[bool] = False
    # ccxt leaves rows of size zero out before parsing them, so "no rows" may stand beside a full list.
    drops_zero_rows: ClassVar[bool] = False
    limits: ClassVar[Limits | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    capabilities: Mapping[Method, Capability] = {
        method: Capability(Evidence.UNPROVEN, "through ccxt's unified methods") for method in Method
    }
    position_asks: ClassVar[tuple[Ask, ...]] = (Ask("fetch_positions"),)
    balance_asks: ClassVar[tuple[Ask, ...]] = (Ask("fetch_balance", wallet="main"),)
    fills: ClassVar[tuple[Listing, ...]] = (Listing("fetch_my_trades"),)
    funding: ClassVar[tuple[Listing, ...]] = (Listing("fetch_funding_history"),)
    deposits: ClassVar[Listing | None] = Listing("fetch_deposits")
    withdrawals: ClassVar[Listing | None] = Listing("fetch_withdrawals")
    ledgers: ClassVar[tuple[Listing, ...]] = ()

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        self.config = config
        self.ports = ports
        self.client = Client(
            self.exchange_id or config.venue,
            config=config,
            ports=ports,
            limits=self.limits,
            options={**self.options, **dict(config.options.get("ccxt", {}))},
        )

    # What quirks override

    def wallet_of(self, instrument: Instrument) -> str:
        """The wallet that an instrument's cash is in."""
        return self.balance_asks[0].wallet

    def wallet_of_transfers(self) -> str:
        """The wallet that deposits reach and withdrawals leave."""
        return self.balance_asks[0].wallet

    def leg_of(self, row: Row) -> Leg:
        """The leg that a fill belongs to, from the venue's raw row; net unless the venue says otherwise."""
        return Leg.NET

    def cause_of(self, row: Row) -> Cause:
        """Why a fill happened, from the venue's raw row."""
        return Cause.TRADE

    async def before_fills(self, rows: Collection[Row]) -> None:
        """Learn what a list of unified trades leaves out, before they are read. Raises VenueError."""

    def fills_of(self, row: Row, instrument: Instrument) -> list[Entry]:
        """The entries of one unified trade."""
        info = row.get("info")
        raw: Row = info if isinstance(info, Mapping) else {}
        return unified_rows.fill(
            row,
            instrument,
            venue=self.config.venue,
            wallet=self.wallet_of(instrument),
            leg=self.leg_of(raw),
            cause=self.cause_of(raw),
        )

    def hedged(self, row: Row) -> bool | None:
        """Whether a position row is one of two hedge legs; None: what ccxt says."""
        return None

    def ledger_of(self, row: Row) -> list[Entry]:
        """The entries of one unified ledger row; [] for what the other lists already say. Raises
        Malformed.
        """
        raise Malformed(f"rows of {self.config.venue}'s ledger are not understood")

    def position_row(self, row: Row, market: Instrument) -> PositionRow:
        """One unified position, with what ccxt's reading of this venue loses put right."""
        return unified_rows.position(row, market, hedged=self.hedged(row))

    def scopes_of(self, ask: Ask, found: set[str], markets: Iterable[Instrument]) -> tuple[str, ...]:
        """The parts of the venue that a call answered completely; `linear:*` is every settle currency."""
        if ask.scopes is None:
            return tuple(sorted(found))
        names: set[str] = set()
        for scope in ask.scopes:
            kind, star, _ = scope.partition("*")
            if star:
                names |= {row.scope for row in markets if row.scope.startswith(kind) and row.scope != "spot"}
            else:
                names.add(scope)
        return tuple(sorted(names))

    def wallet_total(self, asset: str, answer: Row) -> Decimal | None:
        """An asset's wallet balance without unrealized P&L, where ccxt's total includes it; None:
        ccxt's is right.
        """
        return None

    # Instruments

    async def markets(self, *, refresh: bool = False) -> Markets:
        """Make sure that the exchange knows its markets (shared, cached)."""
        return await store.ensure(self.client, refresh=refresh)

    async def instruments(self, *, refresh: bool = False) -> tuple[Instrument, ...]:
        """Every market whose contract size is known."""
        return tuple(await self.markets(refresh=refresh))

    async def relist(self) -> Markets | None:
        """A symbol we do not know: look once more at what is listed."""
        if not store.may_refresh(self.config.server, now=self.ports.clock()):
            return None
        return await self.markets(refresh=True)

    def has(self, method: str) -> bool:
        """Whether ccxt has a method (fetch_my_trades) for this exchange."""
        head, *rest = method.split("_")
        return bool(self.client.exchange.has.get(head + "".join(part.capitalize() for part in rest)))

    # State

    async def report(self, *, scopes: Collection[str] | None = None) -> Report:
        """Every position and balance call of the venue; a call that fails leaves its part unknown."""
        await self.markets()
        asks = [
            ask
            for ask in (*self.position_asks, *self.balance_asks)
            if self.has(ask.method)
            and (scopes is None or ask.wallet or ask.scopes is None or set(ask.scopes) & set(scopes))
        ]
        if not asks:
            raise Unsupported(f"{self.config.venue}: neither positions nor balances can be read")
        return await self.answered(asks)

    async def answered(self, asks: Sequence[Ask]) -> Report:
        """What these calls say, as one report."""
        reading = StateReading(self, await self.markets(), sent_at=self.ports.clock())
        answers = await asyncio.gather(
            *(self.client.call(ask.method, *ask.args) for ask in asks), return_exceptions=True
        )
        for ask, answer in zip(asks, answers, strict=True):
            reading.take(ask, answer)
        return reading.finish(received_at=self.ports.clock())

    # Facts

    async def entries(
        self, *, since: datetime, until: datetime | None = None, methods: Collection[Method] | None = None
    ) -> EntryBatch:
        """Fills, funding and transfers, as far as ccxt offers them."""
        lists = Lists(self, await self.markets(), since=since, until=until)
        wanted = {Method.FILLS, Method.FUNDING, Method.TRANSFERS} if methods is None else set(methods)
        batches: list[EntryBatch] = []
        for method in (Method.FILLS, Method.FUNDING, Method.TRANSFERS):
            if method in wanted:
                batches.extend(await lists.read(method))
        if not batches:
            raise Unsupported(f"{self.config.venue}: no list of {', '.join(sorted(wanted))}")
        return merged(batches)

    async def symbols_traded(self, since: datetime) -> Sequence[str] | None:
        """Symbols whose fills must be asked one by one; None: they are not known (set options.symbols)."""
        symbols = self.config.options.get("symbols")
        return list(symbols) if symbols else None

    # Prices

    async def marks(self, *, symbols: Collection[str] | None = None) -> tuple[Mark, ...]:
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
        try:
            return tuple(_candle(row) for row in answer)
        except ROW_ERRORS as error:
            raise corrupt("candles", error, talk) from error

    # The account and the connection

    def watch(self, *, symbols: Collection[str] | None = None) -> AsyncIterator[StreamEvent]:
        """What ccxt.pro can watch of the account; venues without a private stream are to be polled."""
        return watch(self, symbols=symbols)

    async def permissions(self) -> Permissions:
        """ccxt has no unified way to ask."""
        return Permissions(notes=("this venue's key permissions cannot be asked: make a read-only key",))

    async def clock_offset(self) -> timedelta | None:
        """The venue's clock minus ours, halving the round trip; None where the venue does not tell
        its time.
        """
        if not self.has("fetch_time"):
            return None
        answer, talk = await self.client.call("fetch_time")
        if talk.last is None or talk.last.received_at is None:
            return None
        middle = talk.last.sent_at + (talk.last.received_at - talk.last.sent_at) / 2
        try:
            return moment(answer) - middle
        except ROW_ERRORS as error:
            raise corrupt("the venue's time", error, talk) from error

    async def close(self) -> None:
        """Close the connections of this account."""
        await self.client.close()


def _mark(row: Row, received_at: datetime) -> Mark | None:
    """The first price that a unified ticker has: mark, last, middle of bid and ask."""
    try:
        for source, field_name in (("mark", "markPrice"), ("last", "last"), ("close", "close")):
            price = positive_or_none(number(row.get(field_name)))
            if price is not None:
                time = moment(row["timestamp"]) if row.get("timestamp") else received_at
                return Mark(venue_symbol=str(row["symbol"]), price=price, source=source, time=time)
        bid, ask = number(row.get("bid")), number(row.get("ask"))
    except ROW_ERRORS:
        return None
    if bid and ask and bid > 0 and ask > 0:
        return Mark(venue_symbol=str(row["symbol"]), price=(bid + ask) / 2, source="mid", time=received_at)
    return None


def _candle(row: Sequence[Any]) -> Candle:
    prices = [number(value) for value in row[1:5]]
    if any(price is None for price in prices):
        raise ValueError("candle without a price")
    opening, high, low, close = (Decimal(price) for price in prices if price is not None)
    return Candle(time=moment(row[0]), open=opening, high=high, low=low, close=close, volume=number(row[5]))
