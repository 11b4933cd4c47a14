"""A position is the fold of its entries: `apply` is in-order arithmetic, `fold` puts facts in order first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from positions.book.contracts import Contract
from positions.book.entries import Cause, Leg
from positions.book.money import ZERO, add, subtract


class ChangeKind(StrEnum):
    """What applying an entry did to the position."""

    OPENED = "opened"
    INCREASED = "increased"
    REDUCED = "reduced"
    CLOSED = "closed"
    FLIPPED = "flipped"
    ADJUSTED = "adjusted"
    RECORDED = "recorded"  # funding, fee, interest: accumulators moved, size did not
    IGNORED = "ignored"  # the entry does not concern this position (cash only)


class PositionStatus(StrEnum):
    """The status that the fold decides; OPENING, CLOSING and VOID belong to orders and the ledger."""

    FLAT = "FLAT"  # no episode yet
    OPEN = "OPEN"
    REDUCED = "REDUCED"
    CLOSED = "CLOSED"
    LIQUIDATED = "LIQUIDATED"


@dataclass(frozen=True, slots=True)
class PositionState:
    """One episode of one key, from flat to flat: the state after its latest entry.

    size            signed, in contract units: + long, - short
    open_cost       cost of the open size, >= 0, in settle currency; None = unknown (zero when flat)
    realized_pnl    of trades, in settle currency, without fees and funding; known parts only, see
                    `unknown_pnl`
    adjustment_pnl  of adjustments and dust conversions, in settle currency: separable from trading
    fees            paid (+) by currency; funding, interest: received (+) by currency
    fees_value, funding_value, interest_value   their sums in settle currency, others at the entry's par value
    unknown_*       how many entries had no price (or par value), no fee, no value: sums that include them are
                    incomplete
    opened_by       venue_ref of the opening entry (None: never opened); identifies the episode
    peak_size       largest |size|
    entered_*       Σ quantity that increased the position and Σ its known cost
    exit_*          Σ quantity that trades closed and Σ its known notional: the average exit price
    last_entry_price   the entry price just before the position became flat
    last_move       the last change of size; REDUCED makes the status REDUCED
    tie             how entries that share last_time are ordered so far; private to apply and fold
    All money is rounded to 18 places after each apply, so equal states are bit-equal.
    """

    contract: Contract
    instrument: str
    leg: Leg = Leg.NET
    size: Decimal = ZERO
    open_cost: Decimal | None = ZERO
    realized_pnl: Decimal = ZERO
    adjustment_pnl: Decimal = ZERO
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    funding: Mapping[str, Decimal] = field(default_factory=dict)
    interest: Mapping[str, Decimal] = field(default_factory=dict)
    fees_value: Decimal = ZERO
    funding_value: Decimal = ZERO
    interest_value: Decimal = ZERO
    unknown_pnl: int = 0
    unknown_fees: int = 0
    unknown_values: int = 0
    opened_by: str | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    closed_cause: Cause | None = None
    peak_size: Decimal = ZERO
    entered_size: Decimal = ZERO
    entered_cost: Decimal = ZERO
    exit_size: Decimal = ZERO
    exit_cost: Decimal = ZERO
    last_entry_price: Decimal | None = None
    last_move: ChangeKind | None = None
    fills: int = 0
    entries: int = 0
    last_ref: str | None = None
    last_time: datetime | None = None
    tie: str = ""

    @property
    def is_open(self) -> bool:
        return bool(self.size)

    @property
    def cost_known(self) -> bool:
        return self.open_cost is not None

    @property
    def entry_price(self) -> Decimal | None:
        """Return the average entry price of the open size, derived from its cost; None if flat or unknown."""
        if not self.size or not self.open_cost:
            return None
        return self.contract.average(self.size, self.open_cost)

    @property
    def entered_price(self) -> Decimal | None:
        """Return the average price of all that increased this episode; None if no cost of it is known."""
        if not self.entered_size or not self.entered_cost:
            return None
        return self.contract.average(self.entered_size, self.entered_cost)

    @property
    def exit_price(self) -> Decimal | None:
        """Return the average price of what was closed; None before the first, or if its cost is unknown."""
        if not self.exit_size or not self.exit_cost:
            return None
        return self.contract.average(self.exit_size, self.exit_cost)

    @property
    def incomplete(self) -> int:
        """Return how many unknowns the sums of this episode leave out; 0 = complete."""
        return self.unknown_pnl + self.unknown_fees + self.unknown_values

    @property
    def net_pnl(self) -> Decimal:
        """Return realized + adjustments - fees + funding + interest, in settle currency."""
        gross = add(self.realized_pnl, self.adjustment_pnl)
        return add(subtract(gross, self.fees_value), add(self.funding_value, self.interest_value))

    @property
    def status(self) -> PositionStatus:
        """Return the status: LIQUIDATED iff a liquidation reached zero; REDUCED until increased again."""
        if self.opened_by is None:
            return PositionStatus.FLAT
        if not self.size:
            return (
                PositionStatus.LIQUIDATED if self.closed_cause is Cause.LIQUIDATION else PositionStatus.CLOSED
            )
        return PositionStatus.REDUCED if self.last_move is ChangeKind.REDUCED else PositionStatus.OPEN


@dataclass(frozen=True, slots=True)
class PositionChange:
    """What one entry did.

    `realized` is its P&L in settle currency (None = unknown, zero = none); `closed` is the finished episode
    when it closed or flipped one.
    """

    venue_ref: str
    kind: ChangeKind
    realized: Decimal | None
    closed: PositionState | None = None
