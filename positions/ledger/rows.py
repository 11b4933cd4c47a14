"""The shapes in which a booking meets Postgres: what it loads, what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from positions.book import Entry, PositionState

BalanceAmounts = dict[tuple[str, str], tuple[Decimal, int]]
"""By (wallet, asset): the known amount, and how many unknown ones it leaves out."""
CountedCash = dict[str, tuple[Decimal, int]]
"""The same of one position's realized P&L, by wallet."""


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
