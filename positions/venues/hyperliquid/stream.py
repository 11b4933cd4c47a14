"""Hyperliquid's WebSocket, raw: fills, funding, transfers, state per dex, and mids."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from positions.venues.base import (
    Change,
    Environment,
    Method,
    StreamEvent,
    Tick,
    Transient,
    Unreadable,
    Unsupported,
)
from positions.venues.decoding import Decoder, Decoding, known
from positions.venues.fields import Malformed
from positions.venues.hyperliquid import ledger, rows
from positions.venues.hyperliquid.state import StateReading
from positions.venues.redaction import scrub_value
from positions.venues.transport.websocket import Session, Subscription, connected, reconnecting

if TYPE_CHECKING:
    from positions.venues.hyperliquid.adapter import Hyperliquid

# Per IP address, over all connections; https://hyperliquid.gitbook.io (rate limits).
STREAMED_ADDRESSES = 10
PLACE_FOR, RENEW_EVERY = timedelta(seconds=60), timedelta(seconds=20)
_DATA = frozenset(
    {"userFills", "userFundings", "userNonFundingLedgerUpdates", "clearinghouseState", "spotState", "allMids"}
)


async def watch(venue: Hyperliquid, *, symbols: Collection[str] | None) -> AsyncIterator[StreamEvent]:
    """The account's changes and prices, over as many connections as it takes."""

    def open_session() -> AsyncGenerator[StreamEvent, None]:
        return _Stream(venue, symbols=symbols).events()

    async for event in reconnecting(
        open_session, clock=venue.ports.clock, closed=lambda: venue.client.closed
    ):
        yield event


class _Stream:
    def __init__(self, venue: Hyperliquid, *, symbols: Collection[str] | None) -> None:
        self._venue = venue
        self._symbols = symbols
        self._acknowledged = False

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        venue = self._venue
        async with _Place(venue) as place:
            # Read before subscribing, so that frames need not wait for it.
            await venue.instruments()
            self._mode = await venue.account_mode(venue.ports.clock())
            url = venue.client.exchange.urls["api"]["ws"]["public"]
            session = Session(venue.client, url=url, subscriptions=self._subscriptions(), owns=_is_data)
            async with aclosing(session.frames()) as frames:
                async for frame in frames:
                    await place.keep()
                    for event in await self._read(frame):
                        yield event

    def _subscriptions(self) -> list[Subscription]:
        user = {"user": self._venue.address}
        dexes = ["", *sorted(self._venue.dexes_in_use | _dexes_of(self._symbols))]
        bodies: list[dict[str, Any]] = [
            {"type": "userFills", **user},
            {"type": "userFundings", **user},
            {"type": "userNonFundingLedgerUpdates", **user},
            {"type": "spotState", **user},
        ]
        for dex in dexes:
            part = {"dex": dex} if dex else {}
            bodies.append({"type": "clearinghouseState", **user, **part})
            bodies.append({"type": "allMids", **part})
        return [
            Subscription(
                name=f"{body['type']}:{body.get('user', '')}:{body.get('dex', '')}",
                message={"method": "subscribe", "subscription": body},
            )
            for body in bodies
        ]

    async def _read(self, frame: Any) -> list[StreamEvent]:
        if not isinstance(frame, Mapping):
            return [_unread("frame", Malformed(f"frame is {type(frame).__name__}"), frame)]
        channel, data = frame.get("channel"), frame.get("data")
        now = self._venue.ports.clock()
        if channel == "subscriptionResponse" and not self._acknowledged:
            self._acknowledged = True
            return [connected(self._venue.ports.clock)]
        if channel == "error" and "total users" in str(data):
            raise Unsupported(NO_PLACE)
        if channel not in _DATA:
            return []
        if not isinstance(data, Mapping):
            return [_unread(str(channel), Malformed("data is no object"), frame)]
        if str(data.get("user", self._venue.address)).lower() != self._venue.address:
            return []
        if channel == "allMids":
            return await self._mids(data, now)
        if channel in ("clearinghouseState", "spotState"):
            return await self._state(str(channel), data, now)
        return await self._facts(str(channel), data, now)

    async def _mids(self, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        prices = data.get("mids")
        if not isinstance(prices, Mapping):
            return [_unread("allMids", Malformed("mids is no object"), data)]
        marks = rows.mids(prices, symbols=self._symbols, time=now)
        return [Tick(marks=tuple(marks), received_at=now)] if marks else []

    async def _state(self, channel: str, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        scope = rows.SPOT if channel == "spotState" else str(data.get("dex") or "")
        reading = StateReading(await self._venue.catalog(), sent_at=now, mode=self._mode)
        reading.take(scope, data.get(channel))
        return [Change(report=reading.finish(received_at=now), received_at=now)]

    async def _facts(self, channel: str, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        method, field, decode = _FACTS[channel]
        decoding = Decoding(
            method, await self._venue.catalog(), decode(self._venue.address), refresh=self._venue.relist
        )
        page = data.get(field)
        if not isinstance(page, list):
            return [_unread(channel, Malformed(f"{field} is no list"), data)]
        await decoding.take(page)
        batch = decoding.batch(asked=(now, now), covered=None)
        self._venue.saw(batch)
        if not batch.entries and not batch.unreadable:
            return []
        return [
            Change(
                entries=batch.entries,
                unreadable=batch.unreadable,
                snapshot=bool(data.get("isSnapshot")),
                received_at=now,
            )
        ]


NO_PLACE = (
    f"Hyperliquid streams {STREAMED_ADDRESSES} addresses to one IP address, and others have these places: "
    "this account is polled (a second VENUE_EGRESS would stream it)"
)


class _Place:
    """One of the addresses that are streamed to our IP address, shared by all processes behind it."""

    def __init__(self, venue: Hyperliquid) -> None:
        self._venue = venue
        self._key = f"{venue.config.server}|{venue.config.egress}|streams"
        self._counts = venue.config.environment is not Environment.SIMULATED
        self._kept_at = venue.ports.clock()

    async def __aenter__(self) -> _Place:
        if self._counts and not await self._hold():
            raise Unsupported(NO_PLACE)
        return self

    async def keep(self) -> None:
        """Say now and then that we are still here. Raises Unsupported when the place is lost."""
        now = self._venue.ports.clock()
        if not self._counts or now - self._kept_at < RENEW_EVERY:
            return
        self._kept_at = now
        # Without Redis nobody can take a place either: the stream goes on.
        with contextlib.suppress(Transient):
            if not await self._hold():
                raise Unsupported(NO_PLACE)

    async def _hold(self) -> bool:
        return await self._venue.ports.budget.hold(
            self._key, self._venue.address, most=STREAMED_ADDRESSES, for_=PLACE_FOR
        )

    async def __aexit__(self, *_: object) -> None:
        if self._counts:
            with contextlib.suppress(Transient):
                await self._venue.ports.budget.release(self._key, self._venue.address)


def fills_decoder(address: str) -> Decoder:
    """Rows of userFills."""
    return lambda row, catalog: [rows.fill(row, known(row.get("coin"), catalog), address=address)]


def funding_decoder(address: str) -> Decoder:
    """Rows of userFunding, and of the stream, which sends them flat."""
    return lambda row, catalog: [rows.funding(row, known(rows.delta_of(row).get("coin"), catalog))]


def ledger_decoder(address: str) -> Decoder:
    """Rows of userNonFundingLedgerUpdates."""
    return lambda row, catalog: ledger.ledger(row, address=address)


_FACTS = {
    "userFills": (Method.FILLS, "fills", fills_decoder),
    "userFundings": (Method.FUNDING, "fundings", funding_decoder),
    "userNonFundingLedgerUpdates": (Method.TRANSFERS, "nonFundingLedgerUpdates", ledger_decoder),
}


def _is_data(frame: Any) -> bool:
    return isinstance(frame, Mapping) and frame.get("channel") in _DATA


def _dexes_of(symbols: Collection[str] | None) -> set[str]:
    return {symbol.partition(":")[0] for symbol in symbols or () if ":" in symbol}


def _unread(what: str, error: Exception, frame: Any) -> Change:
    return Change(unreadable=(Unreadable(what=what, reason=str(error), payload=scrub_value(frame)),))
