"""Hyperliquid's WebSocket, raw: fills, funding, transfers, state per dex, and mids."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Protocol

from positions.book.clock import MOST, time_amends
from positions.book.entries import Entry, Kind
from positions.venues.base import (
    AccountUpdate,
    Environment,
    Method,
    PriceUpdate,
    Report,
    StreamEvent,
    Transient,
    UnreadableRow,
    Unsupported,
)
from positions.venues.decoding import BatchBuilder, Decoder, listed_instrument
from positions.venues.fields import InvalidField
from positions.venues.hyperliquid import ledger, rows
from positions.venues.hyperliquid.address_profile import AddressProfile
from positions.venues.instruments.catalog import Catalog
from positions.venues.redaction import scrub_value
from positions.venues.transport.client import Client
from positions.venues.transport.websocket import Session, Subscription, reconnecting, stream_start

# Per IP address, over all connections; https://hyperliquid.gitbook.io (rate limits).
STREAMED_ADDRESSES = 10
# Fills kept to see whether the venue's clock jumped back between frames.
RECENT = MOST
PLACE_FOR, RENEW_EVERY = timedelta(seconds=60), timedelta(seconds=20)
_DATA = frozenset(
    {"userFills", "userFundings", "userNonFundingLedgerUpdates", "clearinghouseState", "spotState", "allMids"}
)


class StreamedAccount(Protocol):
    """What a stream needs of its account besides the connection."""

    async def catalog(self, *, refresh: bool = False) -> Catalog:
        """The venue's instruments by symbol."""
        ...

    async def relist(self, symbols: Collection[str]) -> Catalog | None:
        """The instruments read again, or None where that may not be done yet."""
        ...

    async def read_report(
        self, answers: Mapping[str, Any], *, catalog: Catalog, sent_at: datetime, mode: str | None
    ) -> Report:
        """Answers by scope as one report, with the instruments read again where a coin is unknown."""
        ...

    async def account_mode(self, now: datetime) -> str | None:
        """The account mode at `now`."""
        ...


async def watch(
    account: StreamedAccount, *, client: Client, profile: AddressProfile, symbols: Collection[str] | None
) -> AsyncIterator[StreamEvent]:
    """The account's changes and prices, over as many connections as it takes."""

    def open_session() -> AsyncGenerator[StreamEvent, None]:
        return _Stream(account, client, profile, symbols=symbols).events()

    async for event in reconnecting(open_session, clock=client.ports.clock, closed=lambda: client.closed):
        yield event


class _Stream:
    def __init__(
        self,
        account: StreamedAccount,
        client: Client,
        profile: AddressProfile,
        *,
        symbols: Collection[str] | None,
    ) -> None:
        self._account = account
        self._client = client
        self._profile = profile
        self._clock = client.ports.clock
        self._symbols = symbols
        self._acknowledged = False
        self._recent: deque[Entry] = deque(maxlen=RECENT)
        self._amended: set[str] = set()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        async with _StreamPlace(self._client, self._profile.address) as place:
            # Read before subscribing, so that frames need not wait for it.
            await self._account.catalog()
            self._mode = await self._account.account_mode(self._clock())
            url = self._client.exchange.urls["api"]["ws"]["public"]
            session = Session(self._client, url=url, subscriptions=self._subscriptions(), owns=_is_data)
            async with aclosing(session.frames()) as frames:
                async for frame in frames:
                    await place.keep()
                    for event in await self._read(frame):
                        yield event

    def _subscriptions(self) -> list[Subscription]:
        user = {"user": self._profile.address}
        dexes = ["", *sorted(self._profile.dexes | _dexes_of(self._symbols))]
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
            return [_unread("frame", InvalidField(f"frame is {type(frame).__name__}"), frame)]
        channel, data = frame.get("channel"), frame.get("data")
        now = self._clock()
        if channel == "subscriptionResponse" and not self._acknowledged:
            self._acknowledged = True
            return [stream_start(self._clock)]
        if channel == "error" and "total users" in str(data):
            raise Unsupported(NO_PLACE)
        if channel not in _DATA:
            return []
        if not isinstance(data, Mapping):
            return [_unread(str(channel), InvalidField("data is no object"), frame)]
        if str(data.get("user", self._profile.address)).lower() != self._profile.address:
            return []
        if channel == "allMids":
            return await self._mids(data, now)
        if channel in ("clearinghouseState", "spotState"):
            return await self._state(str(channel), data, now)
        return await self._facts(str(channel), data, now)

    async def _mids(self, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        prices = data.get("mids")
        if not isinstance(prices, Mapping):
            return [_unread("allMids", InvalidField("mids is no object"), data)]
        marks = rows.mids(prices, symbols=self._symbols, time=now)
        return [PriceUpdate(marks=tuple(marks), received_at=now)] if marks else []

    async def _state(self, channel: str, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        scope = rows.SPOT if channel == "spotState" else str(data.get("dex") or "")
        report = await self._account.read_report(
            {scope: data.get(channel)}, catalog=await self._account.catalog(), sent_at=now, mode=self._mode
        )
        return [AccountUpdate(report=report, received_at=now)]

    async def _facts(self, channel: str, data: Mapping[str, Any], now: datetime) -> list[StreamEvent]:
        method, field, decode = _FACTS[channel]
        decoding = BatchBuilder(
            method, await self._account.catalog(), decode(self._profile.address), refresh=self._account.relist
        )
        page = data.get(field)
        if not isinstance(page, list):
            return [_unread(channel, InvalidField(f"{field} is no list"), data)]
        await decoding.take(page)
        batch = decoding.batch(asked=(now, now), covered=None)
        self._profile.add_batch(batch)
        if not batch.entries and not batch.unreadable:
            return []
        return [
            AccountUpdate(
                entries=(*batch.entries, *self._time_amends(batch.entries)),
                unreadable=batch.unreadable,
                snapshot=bool(data.get("isSnapshot")),
                received_at=now,
            )
        ]

    def _time_amends(self, fresh: Sequence[Entry]) -> list[Entry]:
        """Return what the chain of positions says of fills that came with an earlier time than one before."""
        latest = max((entry.time for entry in self._recent), default=None)
        jumped = latest is not None and any(entry.time < latest for entry in fresh)
        self._recent.extend(entry for entry in fresh if entry.kind is Kind.FILL)
        self._amended |= {entry.venue_ref for entry in fresh if entry.kind is Kind.AMEND}
        amends = time_amends(self._recent) if jumped else []
        amends = [amend for amend in amends if amend.venue_ref not in self._amended]
        self._amended |= {amend.venue_ref for amend in amends}
        return amends


NO_PLACE = (
    f"Hyperliquid streams {STREAMED_ADDRESSES} addresses to one IP address, and others have these places: "
    "this account is polled (a second VENUE_EGRESS would stream it)"
)


class _StreamPlace:
    """One of the addresses that are streamed to our IP address, shared by all processes behind it."""

    def __init__(self, client: Client, address: str) -> None:
        self._ports = client.ports
        self._address = address
        self._key = f"{client.budget_key}|streams"
        self._counts = client.config.environment is not Environment.SIMULATED
        self._kept_at = self._ports.clock()

    async def __aenter__(self) -> _StreamPlace:
        if self._counts and not await self._hold():
            raise Unsupported(NO_PLACE)
        return self

    async def keep(self) -> None:
        """Say now and then that we are still here. Raises Unsupported when the place is lost."""
        now = self._ports.clock()
        if not self._counts or now - self._kept_at < RENEW_EVERY:
            return
        self._kept_at = now
        # Without Redis nobody can take a place either: the stream goes on.
        with contextlib.suppress(Transient):
            if not await self._hold():
                raise Unsupported(NO_PLACE)

    async def _hold(self) -> bool:
        return await self._ports.budget.hold(
            self._key, self._address, most=STREAMED_ADDRESSES, for_=PLACE_FOR
        )

    async def __aexit__(self, *_: object) -> None:
        if self._counts:
            with contextlib.suppress(Transient):
                await self._ports.budget.release(self._key, self._address)


def fills_decoder(address: str) -> Decoder:
    """Rows of userFills."""
    return lambda row, catalog: [rows.fill(row, listed_instrument(row.get("coin"), catalog), address=address)]


def funding_decoder(address: str) -> Decoder:
    """Rows of userFunding, and of the stream, which sends them flat."""
    return lambda row, catalog: [
        rows.funding(row, listed_instrument(rows.delta_of(row).get("coin"), catalog))
    ]


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


def _unread(what: str, error: Exception, frame: Any) -> AccountUpdate:
    return AccountUpdate(
        unreadable=(UnreadableRow(what=what, reason=str(error), payload=scrub_value(frame)),)
    )
