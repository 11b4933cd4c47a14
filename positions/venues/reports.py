"""The plain data a venue gives: instruments, positions, balances, entries, prices and stream events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from positions.book.contracts import Contract
from positions.book.entries import Entry, Leg
from positions.venues.redaction import scrub


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueInstrument:
    """One thing the venue trades. `scope` is the part of the venue whose report includes its legs."""

    venue_symbol: str
    symbol: str
    contract: Contract
    scope: str = ""
    expiry: datetime | None = None
    option: bool = False
    contract_size: Decimal = Decimal(1)
    price_tick: Decimal | None = None
    quantity_step: Decimal | None = None
    max_leverage: Decimal | None = None
    margin_tiers: tuple[tuple[Decimal, Decimal], ...] = ()
    active: bool = True
    underlying: str = ""
    ratio: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow:
    """A row that could not be read. It leaves the legs of `venue_symbol` (None: all legs) unknown."""

    what: str
    reason: str
    payload: Any
    venue_symbol: str | None = None
    scope: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", scrub(self.reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """One leg as the venue reports it. `quantity` signed, in units; money in `currency`.

    `derived` names the fields that were computed rather than reported. liquidation_price None: not said, or
    (`no_liquidation`) the venue says that no price liquidates the leg at this equity.
    """

    venue_symbol: str
    leg: Leg
    quantity: Decimal
    currency: str
    scope: str = ""
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    liquidation_price: Decimal | None = None
    no_liquidation: bool = False
    unrealized_pnl: Decimal | None = None
    realized_pnl: Decimal | None = None
    notional: Decimal | None = None
    leverage: Decimal | None = None
    margin_mode: str | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    isolated_margin: Decimal | None = None
    funding: Decimal | None = None
    time: datetime | None = None
    derived: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRow:
    """A wallet's balance of one asset. `total` excludes unrealized P&L, so that it is Σ of cash legs; debt
    is > 0. `as_of` is the time that the venue gives this wallet, where each has its own; None: the report's.
    """

    wallet: str
    asset: str
    total: Decimal | None
    free: Decimal | None = None
    used: Decimal | None = None
    debt: Decimal | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginRow:
    """Margin of one wallet, in one currency. `equity` includes unrealized P&L."""

    wallet: str
    currency: str
    equity: Decimal | None = None
    margin_balance: Decimal | None = None
    initial_margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    withdrawable: Decimal | None = None
    unrealized_pnl: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportScope:
    """One part of the venue that a report covers: complete, or why not."""

    name: str
    complete: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The venue's state as of one moment.

    as_of is the venue's own envelope time (`as_of_source` "venue"), else the time we sent the first request,
    by the venue's clock where it tells its time ("sent").
    """

    as_of: datetime
    as_of_source: str
    received_at: datetime
    positions: tuple[PositionRow, ...] = ()
    balances: tuple[BalanceRow, ...] = ()
    margin: tuple[MarginRow, ...] = ()
    scopes: tuple[ReportScope, ...] = ()
    balances_complete: bool = False
    account_mode: str | None = None
    hedge: bool | None = None
    zero_rows: int = 0
    unknown_symbols: tuple[str, ...] = ()
    unreadable: tuple[UnreadableRow, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Return whether every call was answered and every row read."""
        return (
            bool(self.scopes)
            and all(scope.complete for scope in self.scopes)
            and not self.problems
            and not self.unreadable
            and not self.unknown_symbols
        )

    def observed(self, venue_symbol: str, *, scope: str = "") -> bool:
        """Return whether this report proves the legs of an instrument, and that an absent leg is flat.

        False when its scope was not read completely, or when an unreadable row may belong to it.
        """
        asked = {row.name: row.complete for row in self.scopes}
        if not asked.get(scope, False):
            return False
        if venue_symbol in self.unknown_symbols:
            return False
        return not any(
            row.what == "position"
            and row.venue_symbol in (None, venue_symbol)
            and row.scope in (None, scope)
            for row in self.unreadable
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryBatch:
    """Entries of a time window. `covered`: the part of the asked window where none can be missing, or None.

    `counts` per method: received rows; and duplicate, dropped, notices (known rows that move nothing).
    `unknown_since`: the time of the oldest row that names an unknown symbol.
    `kept_since`: the venue keeps nothing older. `exhausted`: all that it still keeps of the window was read
    and understood. `goes_on`: the window was too long for one request; the next starts where `covered` ends.
    """

    entries: tuple[Entry, ...]
    asked: tuple[datetime, datetime]
    covered: tuple[datetime, datetime] | None
    complete: bool
    counts: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[UnreadableRow, ...] = ()
    unknown_symbols: tuple[str, ...] = ()
    unknown_since: datetime | None = None
    problems: tuple[str, ...] = ()
    kept_since: datetime | None = None
    exhausted: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueMark:
    """A price of an instrument. `source` says which: mark, mid, last."""

    venue_symbol: str
    price: Decimal
    source: str
    time: datetime


@dataclass(frozen=True, slots=True)
class AccountValue:
    """What a venue says that an account was worth, in USD; `covers` says what of it: all, or perp."""

    time: datetime
    value: Decimal
    covers: str = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """Open, high, low, close of an interval that starts at `time`; volume in base units."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUpdate:
    """New entries to book, a new report, or both, from a stream. `snapshot`: it may repeat known entries."""

    entries: tuple[Entry, ...] = ()
    report: Report | None = None
    unreadable: tuple[UnreadableRow, ...] = ()
    snapshot: bool = False
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceUpdate:
    """New prices from a stream."""

    marks: tuple[VenueMark, ...]
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLoss:
    """The stream broke or was silent too long: nothing is known until the next StreamStart and a backfill."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """The stream subscribed at `at`. Read what happened before that with entries()."""

    at: datetime


StreamEvent = AccountUpdate | PriceUpdate | StreamLoss | StreamStart


def merged(batches: Sequence[EntryBatch]) -> EntryBatch:
    """Merge batches of the same window: covered is their intersection, one entry per reference."""
    first = batches[0]
    seen: dict[str, Entry] = {}
    for batch in batches:
        for entry in batch.entries:
            seen.setdefault(entry.venue_ref, entry)
    counts: dict[str, int] = {}
    for batch in batches:
        for name, count in batch.counts.items():
            counts[name] = counts.get(name, 0) + count
    windows = [batch.covered for batch in batches]
    covered = None
    if all(windows):
        start = max(window[0] for window in windows if window)
        end = min(window[1] for window in windows if window)
        covered = (start, end) if start < end else None
    return replace(
        first,
        entries=tuple(sorted(seen.values(), key=lambda entry: (entry.time, entry.venue_ref))),
        covered=covered,
        complete=all(batch.complete for batch in batches),
        counts=counts,
        unreadable=tuple(row for batch in batches for row in batch.unreadable),
        unknown_symbols=tuple(sorted({name for batch in batches for name in batch.unknown_symbols})),
        unknown_since=min((batch.unknown_since for batch in batches if batch.unknown_since), default=None),
        problems=tuple(problem for batch in batches for problem in batch.problems),
        kept_since=max((batch.kept_since for batch in batches if batch.kept_since), default=None),
        exhausted=all(batch.exhausted for batch in batches),
        goes_on=covered is not None and any(batch.goes_on for batch in batches),
    )
