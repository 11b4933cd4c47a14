"""The facts that a diagnosis uses, and the causes that it finds. Pure.

Note [Since the proof]: a report that agreed proves all that was booked by then. So a fault of the book is
among the entries received since, and only those are suspected of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from reconciliation.rules.compare import Difference
from reconciliation.rules.opening import OpeningOverlap

ZERO = Decimal(0)
# Our clock and the venue's are not the same, and a fact is received after it happened.
CLOCKS = timedelta(seconds=5)


class DriftCause(StrEnum):
    """Why book and venue differ; docs/reconciliation.md explains each."""

    FILL_MISSED = "fill_missed"
    FILL_DOUBLED = "fill_doubled"
    PLACED_ELSEWHERE = "placed_elsewhere"
    LIQUIDATION_UNSEEN = "liquidation_unseen"
    TRANSFER_UNSEEN = "transfer_unseen"
    FUNDING_MISSING = "funding_missing"
    FEE_MISSING = "fee_missing"
    WRONG_OPENING = "wrong_opening"
    COUNTED_TWICE = "counted_twice"
    MANUAL_CORRECTION = "manual_correction"
    UNIT_MISTAKE = "unit_mistake"
    DUST = "dust_conversion"
    VENUE_LAG = "venue_lag"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class DriftEntry:
    """One effective entry (not busted): signed quantity (sell is negative) or signed amount; None is unknown.

    `before` is the size that the venue states before a fill; `received_at` our time of booking it.
    """

    ref: str
    kind: str
    cause: str
    at: datetime
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    amount: Decimal | None = None
    before: Decimal | None = None
    symbol: str = ""
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OtherBalance:
    """Another balance of the account that differs: venue − book, what the venue has left, USD per unit."""

    name: str
    amount: Decimal
    left: Decimal
    usd_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DriftRecord:
    """The facts around one difference.

    lines       the subject's newest entries, by time
    proven_at   the last report that agreed (None: none ever did)
    seen_at     the report that shows the difference, and `record` names what it rests on at the venue
    mark        price now; `liquidation_price` as the venue last stated it while it still held the leg
    cash        of a leg that alone differs: what its wallet is off by; `entry_price` is the book's average
    of_legs     of a balance: (cause, name of the case) of legs that differ, too; `notional` of all open legs
    coin        of a balance: it is no par currency
    legs        of a balance: the symbols open now
    persists    it was shown again after everything the venue has was asked for and booked
    overlap     of a balance that was never proven: facts near its T0 that explain the difference
    """

    difference: Difference
    lines: Sequence[DriftEntry]
    seen_at: datetime
    record: str = ""
    proven_at: datetime | None = None
    step: Decimal | None = None
    mark: Decimal | None = None
    liquidation_price: Decimal | None = None
    cash: Decimal | None = None
    entry_price: Decimal | None = None
    of_legs: Sequence[tuple[str, str]] = ()
    notional: Decimal | None = None
    coin: bool = False
    others: Sequence[OtherBalance] = ()
    legs: Sequence[str] = ()
    persists: bool = False
    overlap: OpeningOverlap | None = None

    @property
    def missing(self) -> Decimal:
        """Return what the book lacks: venue − book."""
        return self.difference.amount

    def suspects(self) -> list[DriftEntry]:
        """Return the entries received since the last proof; all of them where nothing was ever proven."""
        if self.proven_at is None:
            return list(self.lines)
        return [line for line in self.lines if self.is_new(line)]

    def is_new(self, line: DriftEntry) -> bool:
        """Return whether no proof covers an entry. See Note [Since the proof]."""
        return (
            self.proven_at is None or line.received_at is None or line.received_at > self.proven_at - CLOCKS
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, its score (0 to 1), the reason in words, and the references that are its evidence."""

    cause: DriftCause
    score: Decimal
    text: str
    evidence: tuple[str, ...] = field(default=())


def finding_of(cause: DriftCause, score: str, text: str, *evidence: str) -> Finding:
    """Return a finding; references that are empty are left out."""
    return Finding(cause, Decimal(score), text, tuple(ref for ref in evidence if ref))
