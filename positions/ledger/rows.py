"""The shapes in which a booking meets Postgres: what it loads, what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from positions.book import Entry, PositionState

BalanceAmounts = dict[tuple[str, str], tuple[Decimal, int]]
"""By (wallet, asset): the known amount, and how many unknown ones it leaves out."""
CountedCash = dict[str, tuple[Decimal, int]]
"""One position's realized P&L that balances count, by wallet: the known amount, and the unknowns."""


class PositionKey(NamedTuple):
    """What a position is of: an instrument (or coin) and a leg, within one account."""

    instrument: int
    leg: str


@dataclass(frozen=True, slots=True)
class LockedHead:
    """The locked end of the account's ledger. `opened` is T0 by wallet."""

    sequence: int
    entry_count: int
    digest: bytes
    opened: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class Episode:
    """A Position row as a booking needs it; `cash` is counted realized P&L by wallet: [amount, unknowns]."""

    id: int
    key: PositionKey
    status: str
    version: int
    cash: CountedCash
    state: PositionState


@dataclass(frozen=True, slots=True)
class StateCheckpoint:
    """A whole state inside an episode, and the cash counted by then. See Note [Checkpoints]."""

    key: PositionKey
    state: PositionState
    cash: CountedCash


@dataclass(slots=True)
class LedgerExcerpt:
    """What Postgres knows of the references and keys of a batch, read under the lock."""

    head: LockedHead
    known: dict[str, Entry] = field(default_factory=dict)
    targeting: dict[str, list[Entry]] = field(default_factory=dict)
    inferred: list[Entry] = field(default_factory=list)
    last: dict[PositionKey, Episode] = field(default_factory=dict)
    looked_up: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """What a booking makes of an episode. `before` None = a new one; `after` None = it dissolved (VOID)."""

    key: PositionKey
    before: Episode | None
    after: PositionState | None
    status: str
    cash: CountedCash
    corrected: bool
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who booked, from where, why, and when."""

    source: str
    trace_id: str
    now: datetime
    who: str = ""
    reason: str = ""
    traces: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def origin_of(self, fact: Entry) -> tuple[str, str]:
        """Return the source and trace id of a fact: its own, else those of the batch."""
        reference = fact.venue_ref
        return self.sources.get(reference, self.source), self.traces.get(reference, self.trace_id)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a feed was read: without a gap through `through`; `position` is the adapter's own mark."""

    feed: str
    through: datetime | None
    position: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WriteSet:
    """Everything that one booking writes."""

    account: int
    head: LockedHead
    facts: list[Entry]
    digest: bytes
    changes: list[EpisodeChange]
    balances: BalanceAmounts
    provenance: Provenance
    opened: dict[str, datetime]
    cursors: Sequence[Cursor] = ()
    checkpoints: Sequence[StateCheckpoint] = ()
    forgotten: Mapping[PositionKey, datetime] | None = field(default_factory=dict)
    """From when on a key's checkpoints are wrong; None = all of the account are dropped."""


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """What a commit changed: the account's changes `first` to `sequence`, and the rows as they are now."""

    first: int
    sequence: int
    positions: list[dict[str, Any]]
    balances: list[dict[str, Any]]

    def followed_by(self, later: ChangedRows) -> ChangedRows:
        """Return both as one; rows of the later one replace those of this one."""
        positions = {row["id"]: row for row in (*self.positions, *later.positions)}
        balances = {(row["wallet"], row["asset"]): row for row in (*self.balances, *later.balances)}
        return ChangedRows(self.first, later.sequence, list(positions.values()), list(balances.values()))
