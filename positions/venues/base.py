"""The protocol that every venue adapter implements, and the settings it is built from.

Conventions: quantities are signed (+ long, - short) in units: the base asset for linear and spot, quote
currency for inverse contracts; multiplier 1 after the adapter. Money is Decimal with its currency. None
means unknown. Times are aware UTC. A leg that is absent from a report is flat only where `Report.observed`
says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from positions.book.world import World
from positions.venues.errors import Corrupt, Denied, RateLimited, Transient, Unsupported, VenueError
from positions.venues.redaction import MASK
from positions.venues.reports import (
    AccountUpdate,
    AccountValue,
    BalanceRow,
    Candle,
    EntryBatch,
    MarginRow,
    PositionRow,
    PriceUpdate,
    Report,
    ReportScope,
    StreamEvent,
    StreamLoss,
    StreamStart,
    UnreadableRow,
    VenueInstrument,
    VenueMark,
    merged,
)  # fmt: skip

__all__ = [
    "AccountConfig",
    "AccountUpdate",
    "AccountValue",
    "BalanceRow",
    "Cache",
    "Candle",
    "Capability",
    "CcxtPatches",
    "Clock",
    "Corrupt",
    "Credentials",
    "Denied",
    "EntryBatch",
    "Environment",
    "Evidence",
    "MarginRow",
    "Method",
    "Permissions",
    "Ports",
    "PositionRow",
    "PriceUpdate",
    "RateBudget",
    "RateLimited",
    "Report",
    "ReportScope",
    "StreamEvent",
    "StreamLoss",
    "StreamStart",
    "Transient",
    "UnreadableRow",
    "Unsupported",
    "Venue",
    "VenueError",
    "VenueInstrument",
    "VenueMark",
    "merged",
]  # fmt: skip


class Environment(StrEnum):
    """Where an account lives. They never mix; simulated may point at any server that speaks the venue's
    protocol.
    """

    LIVE = "live"
    TESTNET = "testnet"
    SIMULATED = "simulated"


class Method(StrEnum):
    """A kind of request to a venue: the columns of the evidence table."""

    POSITIONS = "positions"
    BALANCES = "balances"
    FILLS = "fills"
    FUNDING = "funding"
    TRANSFERS = "transfers"
    INSTRUMENTS = "instruments"
    MARKS = "marks"
    CANDLES = "candles"
    STREAMS = "streams"
    VALUES = "values"


class Evidence(StrEnum):
    """What proves our reading of a method: recorded answers, our simulator, or nothing yet."""

    RECORDED = "recorded"
    SIMULATED = "simulated"
    UNPROVEN = "unproven"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Capability:
    """How far a venue's method is proven, and a note for its reader (history depth, traps)."""

    evidence: Evidence
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Decrypted keys of one account. Never printed: repr shows only which fields are set."""

    api_key: str | None = None
    secret: str | None = None
    password: str | None = None
    private_key: str | None = None
    uid: str | None = None

    def __repr__(self) -> str:
        set_fields = ", ".join(f"{name}={MASK!r}" for name, value in self.plain().items() if value)
        return f"Credentials({set_fields})"

    def plain(self) -> dict[str, str]:
        """The fields that are set."""
        names = ("api_key", "secret", "password", "private_key", "uid")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """Plain data an adapter is built from.

    account   our name of the account (its id), for errors and metrics
    venue     a key of the registry, or any ccxt exchange id
    address   wallet address, where that is what identifies an account (no key needed)
    base_url  http(s) root of a server that speaks the venue's protocol (environment simulated)
    options   per venue: `dexes` (Hyperliquid), `symbols` (where fills are asked per symbol), `trading`
    egress    name of the IP address requests leave from: processes with the same one share the rate budget
    """

    account: str
    venue: str
    environment: Environment = Environment.LIVE
    address: str | None = None
    base_url: str | None = None
    credentials: Credentials = field(default_factory=Credentials)
    options: Mapping[str, Any] = field(default_factory=dict)
    egress: str = "default"
    timeout: timedelta = timedelta(seconds=10)

    @property
    def server(self) -> str:
        """The key of the account's world: markets and budgets are shared inside one only."""
        return str(World(self.venue, self.environment, self.base_url or ""))


class Cache(Protocol):
    """Shared key-value store (Redis in production). May raise Transient; None means absent."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl: timedelta) -> None: ...


class RateBudget(Protocol):
    """Token buckets shared by every process behind one address."""

    async def spend(self, key: str, weight: float, *, capacity: float, per_second: float) -> None:
        """Wait until `weight` tokens are there and take them; RateLimited when that would take too long."""
        ...

    async def pause(self, key: str, for_: timedelta) -> None:
        """Stop all spending from `key` for that long, because the venue refused more."""
        ...

    async def hold(self, key: str, holder: str, *, most: int, for_: timedelta) -> bool:
        """Take, or keep, one of `most` places for that long; False: others have them all."""
        ...

    async def release(self, key: str, holder: str) -> None:
        """Give a place back."""
        ...


class Clock(Protocol):
    """Returns the current time (aware UTC)."""

    def __call__(self) -> datetime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CcxtPatches:
    """Which of our changes to ccxt's inside are on; each can be switched off if a release of ccxt breaks it.

    lazy_import     import one exchange instead of all of them (lazy_ccxt.py); off: slower start, more memory
    exponent_limit  refuse numbers like 1e999999999, which fill the memory; off: a venue could send one
    row_guards      keep rows that ccxt cannot parse, by name; off: one such row fails its whole list
    socket_guards   end a socket whose frame cannot be read; off: ccxt goes on without ever reading another
    """

    lazy_import: bool = True
    exponent_limit: bool = True
    row_guards: bool = True
    socket_guards: bool = True


@dataclass(frozen=True, slots=True)
class Ports:
    """What an adapter needs from outside."""

    cache: Cache
    budget: RateBudget
    clock: Clock
    patches: CcxtPatches = CcxtPatches()


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What an API key may do. None: the venue does not tell."""

    read: bool | None = None
    trade: bool | None = None
    withdraw: bool | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class ValueHistory(Protocol):
    """A venue that tells what the account was worth in the past. Not every venue does."""

    async def account_values(self) -> tuple[AccountValue, ...]:
        """Values of the past, oldest first. Raises VenueError."""
        ...


class Venue(Protocol):
    """One account at one venue. Every method raises Transient, RateLimited, Denied, Unsupported or
    Corrupt.
    """

    config: AccountConfig
    ports: Ports
    capabilities: Mapping[Method, Capability]

    async def instruments(self, *, refresh: bool = False) -> tuple[VenueInstrument, ...]:
        """All instruments, from the shared cache; `refresh` asks the venue and renews the cache."""
        ...

    async def relist(self, symbols: Collection[str]) -> object | None:
        """Read the instruments anew because nobody knows these symbols; None: not yet again."""
        ...

    async def report(self, *, scopes: Collection[str] | None = None) -> Report:
        """Positions, balances and margin now. `scopes` limits it to parts of the venue (None: what is in
        use).
        """
        ...

    async def entries(
        self, *, since: datetime, until: datetime | None = None, methods: Collection[Method] | None = None
    ) -> EntryBatch:
        """Fills, funding and transfers with since <= venue time, with the window that was really covered."""
        ...

    async def marks(self, *, symbols: Collection[str] | None = None) -> tuple[VenueMark, ...]:
        """Newest prices by venue symbol (None: all)."""
        ...

    async def candles(
        self, *, symbol: str, interval: str, since: datetime, until: datetime | None = None
    ) -> tuple[Candle, ...]:
        """Candles, oldest first; `interval` as 1m, 1h, 1d."""
        ...

    def watch(self, *, symbols: Collection[str] | None = None) -> AsyncIterator[StreamEvent]:
        """Changes of the account and prices as they come, reconnecting with back-off, until closed."""
        ...

    async def permissions(self) -> Permissions:
        """What the credentials may do."""
        ...

    async def clock_offset(self) -> timedelta | None:
        """The venue's clock minus ours; None where it cannot be asked."""
        ...

    async def close(self) -> None:
        """Close connections. The venue cannot be used afterwards."""
        ...
