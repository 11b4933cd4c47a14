"""PURE: why equity changed: price, funding, interest, fees, flows, conversion, corrections, unexplained.

Everything is in the display currency and signed as equity moves: a fee paid is negative. What is unknown is
None, counted, and never 0.

Note [Closing]: equity is cash and coins at their prices, and what derivatives have not realized yet. The
contributions are made from the fold of entries and from marks; equity from balances and marks. They must
agree: what is left is `unexplained`, and more of it than GATE means that a number is wrong or missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar

from positions.book.contracts import Contract
from positions.book.money import ZERO, add, multiply, negate, rounded, subtract
from positions.book.position import PositionState

GATE = Decimal("0.01")
"""What may stay unexplained, in the display currency."""


class Component(StrEnum):
    """Why equity changed. FLOWS came from outside; all others together are the P&L."""

    PRICE = "price"
    FUNDING = "funding"
    INTEREST = "interest"
    FEES = "fees"
    FLOWS = "flows"
    CONVERSION = "conversion"
    CORRECTIONS = "corrections"
    UNEXPLAINED = "unexplained"


class Dimension(StrEnum):
    """What contributions may be added up by."""

    POSITION = "position"
    ASSET = "asset"
    ACCOUNT = "account"
    VENUE = "venue"
    STRATEGY = "strategy"
    DAY = "day"


class Contribution(NamedTuple):
    """What one entry (`ref`), or the marks (no `ref`), did to equity; `amount` None: unknown."""

    component: Component
    amount: Decimal | None
    ref: str | None = None


class Place(NamedTuple):
    """Where a contribution belongs. `position` None: cash of no position; `strategy` "": untagged."""

    day: date
    account: int
    venue: str
    asset: str
    position: int | None
    strategy: str


@dataclass(slots=True)
class Cell:
    """Contributions added up. `unknown` counts those whose amount nobody knows; `refs` are the entries."""

    amounts: dict[Component, Decimal] = field(default_factory=dict)
    unknown: Counter[Component] = field(default_factory=Counter)
    refs: list[str] = field(default_factory=list)

    def add(self, one: Contribution) -> None:
        """Count a contribution."""
        if one.ref is not None and one.ref not in self.refs[-3:]:
            self.refs.append(one.ref)
        if one.amount is None:
            self.unknown[one.component] += 1
        else:
            self.amounts[one.component] = add(self.of(one.component), one.amount)

    def plus(self, other: Cell) -> None:
        """Count what another cell holds."""
        for component, amount in other.amounts.items():
            self.amounts[component] = add(self.of(component), amount)
        self.unknown += other.unknown
        self.refs += other.refs

    def of(self, component: Component) -> Decimal:
        """Return the sum of what is known of a component."""
        return self.amounts.get(component, ZERO)

    @property
    def total(self) -> Decimal:
        """Return what is known of the change of equity."""
        return _sum(self.amounts.values())

    @property
    def pnl(self) -> Decimal:
        """Return what is known of the P&L: everything but flows."""
        return subtract(self.total, self.of(Component.FLOWS))


Key = TypeVar("Key", bound=Hashable)


def cells(
    contributions: Iterable[tuple[Place, Contribution]], *, by: Callable[[Place], Key]
) -> dict[Key, Cell]:
    """Add contributions up by a key of their places: each contribution is in exactly one cell."""
    found: dict[Key, Cell] = {}
    for place, one in contributions:
        found.setdefault(by(place), Cell()).add(one)
    return found


def total_of(found: Iterable[Cell]) -> Cell:
    """Return the sum of cells."""
    whole = Cell()
    for cell in found:
        whole.plus(cell)
    return whole


@dataclass(frozen=True, slots=True)
class Closing:
    """Whether contributions explain the change of equity. `unexplained` None: start or end is not known."""

    start: Decimal | None
    end: Decimal | None
    explained: Decimal

    @property
    def unexplained(self) -> Decimal | None:
        """Return what the contributions do not explain."""
        if self.start is None or self.end is None:
            return None
        return subtract(subtract(self.end, self.start), self.explained)

    @property
    def closes(self) -> bool | None:
        """Return whether it stays within GATE; None: nobody can tell."""
        return None if self.unexplained is None else abs(self.unexplained) <= GATE


# What entries did to a leg ----------------------------------------------------------------------------------


class LegEffect(NamedTuple):
    """What one entry did to an episode (`opened_by`), in settle currency; `unknown` parts are not in it."""

    opened_by: str | None
    realized: Decimal
    adjustments: Decimal
    fees: Decimal
    funding: Decimal
    interest: Decimal
    unknown: Mapping[Component, int]


def leg_effects(
    *, before: PositionState, after: PositionState, closed: PositionState | None
) -> Iterator[LegEffect]:
    """Yield what an entry did to each episode that it touched: a flip closes one and opens the next.

    Funding that came before the first fill of a leg is carried into the episode that this opens.
    """
    if closed is not None and closed.opened_by != after.opened_by:
        yield _difference(before, closed)
        yield _difference(None, after)
    elif after.opened_by != before.opened_by and before.opened_by is not None:
        yield _difference(None, after)
    else:
        yield _difference(before, after)


def _difference(before: PositionState | None, after: PositionState) -> LegEffect:
    def moved(name: str) -> Decimal:
        value: Decimal = getattr(after, name)
        return value if before is None else subtract(value, getattr(before, name))

    def more(name: str) -> int:
        return int(getattr(after, name)) - (0 if before is None else int(getattr(before, name)))

    unknown = {Component.PRICE: more("unknown_pnl"), Component.FEES: more("unknown_fees")}
    unknown[Component.UNEXPLAINED] = more("unknown_values")
    return LegEffect(
        after.opened_by,
        moved("realized_pnl"),
        moved("adjustment_pnl"),
        moved("fees_value"),
        moved("funding_value"),
        moved("interest_value"),
        {component: count for component, count in unknown.items() if count > 0},
    )


def contributions_of(
    effect: LegEffect, *, ref: str, paid: bool, conversion: Decimal | None
) -> Iterator[Contribution]:
    """Yield a leg's effect in the display currency, at what its settle currency was worth then.

    `paid` False: its P&L moved no cash (a corrected quantity, a lot held at connection), so that a
    correction takes back what the price gave.
    """
    amounts = {
        Component.PRICE: effect.realized,
        Component.CORRECTIONS: effect.adjustments,
        Component.FEES: negate(effect.fees),
        Component.FUNDING: effect.funding,
        Component.INTEREST: effect.interest,
    }
    if not paid:
        recognised = add(effect.realized, effect.adjustments)
        amounts |= {Component.PRICE: recognised, Component.CORRECTIONS: negate(recognised)}
    for component, amount in amounts.items():
        if amount:
            yield Contribution(component, worth(amount, conversion), ref)
    for component, count in effect.unknown.items():
        for _ in range(count):
            yield Contribution(component, None, ref)


# What marks did ---------------------------------------------------------------------------------------------


class Holding(NamedTuple):
    """A leg at a boundary: its fold, its mark, and what one unit of its settle currency was worth."""

    state: PositionState
    mark: Decimal | None
    conversion: Decimal | None

    @property
    def unrealized(self) -> Decimal | None:
        """Return the unrealized P&L in settle currency; 0 when flat, None when a part of it is unknown."""
        return unrealized(self.state.contract, self.state.size, self.state.open_cost, self.mark)


def unrealized(
    contract: Contract, size: Decimal, open_cost: Decimal | None, mark: Decimal | None
) -> Decimal | None:
    """Return the unrealized P&L of a size in settle currency; 0 when flat, None when it is unknown."""
    if not size:
        return ZERO
    if mark is None or open_cost is None:
        return None
    return contract.pnl(size, open_cost, contract.notional(size.copy_abs(), mark))


def revaluation(start: Holding, end: Holding) -> tuple[Contribution, Contribution]:
    """Return what marks did to a leg between two boundaries: by its price, and by its settle currency.

    Conversion is what was open at the start times the change of the settle currency's price; price is the
    rest, at the price of the end.
    """
    before, after = start.unrealized, end.unrealized
    first, last = worth(before, start.conversion), worth(after, end.conversion)
    if before == 0 and first is None:
        first = ZERO
    if first is None or last is None or before is None or after is None:
        return Contribution(Component.PRICE, None), Contribution(Component.CONVERSION, ZERO)
    moved = ZERO
    if before and start.conversion is not None and end.conversion is not None:
        moved = rounded(multiply(before, subtract(end.conversion, start.conversion)))
    return (
        Contribution(Component.PRICE, subtract(subtract(last, first), moved)),
        Contribution(Component.CONVERSION, moved),
    )


class CoinHolding(NamedTuple):
    """Coins of an account at a boundary, and the price of one; `amount` None: a part of it is unknown."""

    amount: Decimal | None
    price: Decimal | None

    @property
    def value(self) -> Decimal | None:
        """Return what they are worth; 0 for none."""
        return ZERO if self.amount == 0 else worth(self.amount, self.price)


def coin_price(start: CoinHolding, end: CoinHolding, booked: Sequence[Decimal | None]) -> Contribution:
    """Return what the price of a held coin did: the change of value beyond what entries booked of it.

    `booked` are the values, at their time, of all that came (+) and left (-). Selling above the price of the
    last boundary is part of it.
    """
    first, last = start.value, end.value
    if first is None or last is None or any(one is None for one in booked):
        return Contribution(Component.PRICE, None)
    moved = _sum(one for one in booked if one is not None)
    return Contribution(Component.PRICE, subtract(subtract(last, first), moved))


def worth(amount: Decimal | None, price: Decimal | None) -> Decimal | None:
    """Return amount times price, rounded once; 0 times an unknown price is 0."""
    if amount is not None and not amount:
        return ZERO
    if amount is None or price is None:
        return None
    return rounded(multiply(amount, price))


def _sum(values: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for value in values:
        total = add(total, value)
    return total
