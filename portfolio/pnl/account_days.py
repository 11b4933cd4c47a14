"""An account's days: its book walked forward, cut where the desk's days begin, and closed to the cent.

Note [Days]: a fact belongs to the day of its own time, so P&L of a position falls on the days of its closing
fills. What marks did between the first and the last moment of a day is the rest. Equity of those moments
comes from balances and marks; what facts and marks do not explain of its change is `unexplained`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

from portfolio.attribution import (
    Cell,
    Closing,
    CoinHolding,
    Component,
    Contribution,
    Holding,
    coin_price,
    revaluation,
    worth,
)
from portfolio.pnl.fact_values import LegPlace, booked, contributions
from portfolio.totals import desk
from positions.book import Contract, ContractKind, ParValue, PositionState
from positions.book.money import ZERO, add
from positions.ledger.rows import PositionKey
from positions.queries import BookWalk, FactEffect

NEARLY = timedelta(minutes=5)
"""A coin that came without a value has the price of a day's beginning that is so near."""


class BoundaryPrices(Protocol):
    """Prices at the moments where days begin; None: not known."""

    def mark(self, instrument: int, at: datetime) -> Decimal | None:
        """Return an instrument's price in its quote currency."""

    def coin(self, asset: str, at: datetime) -> Decimal | None:
        """Return what one of a coin is worth in USD; 1 for a par currency."""


class MarketFacts(NamedTuple):
    """What days need of an instrument."""

    contract: Contract
    underlying: str
    is_coin: bool


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What does not move with the day: instruments, coins by name, positions by (key, opening), tags."""

    par: Collection[str]
    markets: Mapping[int, MarketFacts]
    coins: Mapping[str, int]
    positions: Mapping[tuple[PositionKey, str], int]
    tags: Mapping[str, str]


class Line(NamedTuple):
    """Where the contributions of a day are added up: a row of PnlDay."""

    position: int | None
    asset: str
    strategy: str


@dataclass(slots=True)
class DayFigures:
    """One day of an account. `unexplained` None: equity is not known at its start or end."""

    day: date
    starts_at: datetime
    ends_at: datetime
    as_of: datetime
    start_equity: Decimal | None
    end_equity: Decimal | None = None
    unexplained: Decimal | None = None
    joined: Decimal = ZERO
    lines: dict[Line, Cell] = field(default_factory=dict)
    closing: dict[int, Decimal | None] = field(default_factory=dict)
    """Total P&L of open positions at the end, in their own P&L currency."""

    def add(self, line: Line, one: Contribution) -> None:
        """Count a contribution."""
        self.lines.setdefault(line, Cell()).add(one)


def account_days(
    walk: BookWalk,
    *,
    start: datetime,
    joins: bool,
    now: datetime,
    prices: BoundaryPrices,
    facts: AccountFacts,
) -> list[DayFigures]:
    """Return every day from `start` (where the walk begins) to now; the last one is open.

    `joins`: the account begins there, with all that it holds as a flow.
    """
    return list(_Days(walk, prices, facts).run(start=start, joins=joins, now=now))


class _Days:
    """The running book of one account."""

    def __init__(self, walk: BookWalk, prices: BoundaryPrices, facts: AccountFacts) -> None:
        self.walk, self.prices, self.facts = walk, prices, facts
        self.legs: dict[PositionKey, PositionState] = dict(walk.legs)
        self.held, self.unknown = _by_asset(walk.balances)

    def run(self, *, start: datetime, joins: bool, now: datetime) -> Iterator[DayFigures]:
        waiting = list(reversed([one for one in self.walk.effects if one.fact.time < now]))
        equity = self.equity(start)
        for index, day in enumerate(desk.days(desk.day_of(start), desk.day_of(now))):
            begins, ends = max(start, desk.day_start(day)), desk.day_end(day)
            until = min(ends, now)
            figures = DayFigures(day, desk.day_start(day), ends, until, equity)
            if joins and index == 0:
                figures.starts_at = start
                self.join(figures, start)
            effects = []
            while waiting and (waiting[-1].fact.time < until or until == now):
                effects.append(waiting.pop())
            self.live(figures, effects, begins, until)
            if until == now:
                self.held, self.unknown = _by_asset(self.walk.now)
            figures.end_equity = equity = self.equity(until)
            self.close(figures, until)
            yield figures

    def join(self, figures: DayFigures, at: datetime) -> None:
        """Count all that the account holds when it begins as a flow."""
        figures.start_equity, figures.joined = ZERO, self.equity(at) or ZERO
        for asset, amount in self.held.items():
            if amount:
                value = worth(amount, self.prices.coin(asset, at))
                figures.add(self.asset_line(asset), Contribution(Component.FLOWS, value))
        for key, state in self.legs.items():
            if self.is_derivative(key):
                held = self.holding(key, state, at)
                value = worth(held.unrealized, held.conversion)
                line = self.leg_line(key, state.opened_by)
                figures.add(line, Contribution(Component.FLOWS, value))

    def live(
        self, figures: DayFigures, effects: Sequence[FactEffect], begins: datetime, until: datetime
    ) -> None:
        """Add what facts and marks of a stretch did, and move the running book to its end."""
        before, coins_before = dict(self.legs), dict(self.held)
        values: dict[str, list[Decimal | None]] = {}
        for booked_effect in effects:
            effect = self.valued(booked_effect, begins, until)
            self.apply(effect)
            if not effect.counted:
                continue
            for place, one in contributions(effect, par=self.facts.par):
                figures.add(self.line(place, one.ref), one)
            for asset, value in booked(effect, par=self.facts.par).items():
                if asset not in self.facts.par:
                    values.setdefault(asset, []).append(value)
        for key in before.keys() | self.legs.keys():
            if self.is_derivative(key):
                self.revalue(figures, key, before.get(key), self.legs.get(key), begins, until)
        for asset in sorted({*coins_before, *self.held} - set(self.facts.par)):
            one = coin_price(
                CoinHolding(coins_before.get(asset, ZERO), self.prices.coin(asset, begins)),
                CoinHolding(self.amount(asset), self.prices.coin(asset, until)),
                values.get(asset, ()),
            )
            if one.amount != 0:
                figures.add(self.asset_line(asset), one)

    def valued(self, effect: FactEffect, *moments: datetime) -> FactEffect:
        """Return a fact with the value of its coins, where a price of nearly its time is known only now."""
        fact = effect.fact
        if (
            fact.par is not None
            or not fact.amount
            or fact.currency is None
            or fact.currency in self.facts.par
        ):
            return effect
        for at in moments:
            price = self.prices.coin(fact.currency, at)
            if price is not None and abs(fact.time - at) <= NEARLY:
                value = worth(fact.amount.copy_abs(), price)
                found = ParValue(value or ZERO, "price of the day's beginning", at)
                return replace(effect, fact=replace(fact, par=found))
        return effect

    def apply(self, effect: FactEffect) -> None:
        for move in effect.moves:
            self.legs[move.key] = move.after
        if not effect.counted:
            return
        for leg in effect.cash:
            if leg.amount is None:
                self.unknown[leg.asset] += 1
            else:
                self.held[leg.asset] = add(self.held.get(leg.asset, ZERO), leg.amount)

    def revalue(
        self,
        figures: DayFigures,
        key: PositionKey,
        before: PositionState | None,
        after: PositionState | None,
        begins: datetime,
        until: datetime,
    ) -> None:
        """Count what marks did to a leg; where one episode ended and another began, to each."""
        if before is not None and after is not None and before.opened_by != after.opened_by:
            self.revalue(figures, key, before, replace(before, size=ZERO, open_cost=ZERO), begins, until)
            before = None
        first = before or replace(after, size=ZERO, open_cost=ZERO) if after is not None else before
        last = after or before
        if first is None or last is None:
            return
        for one in revaluation(self.holding(key, first, begins), self.holding(key, last, until)):
            if one.amount != 0:
                figures.add(self.leg_line(key, last.opened_by), one)

    def close(self, figures: DayFigures, until: datetime) -> None:
        explained = ZERO
        for cell in figures.lines.values():
            explained = add(explained, cell.total)
        closing = Closing(figures.start_equity, figures.end_equity, explained)
        figures.unexplained = closing.unexplained
        if closing.unexplained:
            one = Contribution(Component.UNEXPLAINED, closing.unexplained)
            figures.add(Line(None, "", ""), one)
        for key, state in self.legs.items():
            position = self.facts.positions.get((key, state.opened_by or ""))
            if state.is_open and position is not None:
                moved = self.holding(key, state, until).unrealized
                figures.closing[position] = None if moved is None else add(state.net_pnl, moved)

    # -- what things are worth, and where they belong -------------------------------------------------------

    def equity(self, at: datetime) -> Decimal | None:
        """Return cash and coins at their prices, and what derivatives have not realized; None: unknown."""
        total = ZERO
        parts = [
            worth(self.amount(asset), self.prices.coin(asset, at)) for asset in {*self.held, *self.unknown}
        ]
        for key, state in self.legs.items():
            if state.is_open and self.is_derivative(key):
                held = self.holding(key, state, at)
                parts.append(worth(held.unrealized, held.conversion))
        for part in parts:
            if part is None:
                return None
            total = add(total, part)
        return total

    def amount(self, asset: str) -> Decimal | None:
        return None if self.unknown[asset] else self.held.get(asset, ZERO)

    def holding(self, key: PositionKey, state: PositionState, at: datetime) -> Holding:
        mark = self.prices.mark(key.instrument, at) if state.size else None
        return Holding(state, mark, self.prices.coin(state.contract.settle, at))

    def is_derivative(self, key: PositionKey) -> bool:
        return self.facts.markets[key.instrument].contract.kind is not ContractKind.SPOT

    def line(self, place: LegPlace, ref: str | None) -> Line:
        if place.instrument is None:
            found = self.asset_line(place.asset)
        else:
            found = self.leg_line(PositionKey(place.instrument, place.leg), place.opened_by)
        tag = self.facts.tags.get(ref or "")
        return found if tag is None else found._replace(strategy=tag)

    def leg_line(self, key: PositionKey, opened_by: str | None) -> Line:
        position = self.facts.positions.get((key, opened_by or ""))
        return Line(position, self.facts.markets[key.instrument].underlying, "")

    def asset_line(self, asset: str) -> Line:
        """Cash belongs to no position; coins to the episode of the coin."""
        instrument = self.facts.coins.get(asset)
        if asset in self.facts.par or instrument is None:
            return Line(None, asset, "")
        key = PositionKey(instrument, "net")
        state = self.legs.get(key)
        return self.leg_line(key, None if state is None else state.opened_by)


def _by_asset(
    balances: Mapping[tuple[str, str], tuple[Decimal, int]],
) -> tuple[dict[str, Decimal], Counter[str]]:
    held: dict[str, Decimal] = {}
    unknown: Counter[str] = Counter()
    for (_, asset), (amount, missing) in balances.items():
        held[asset] = add(held.get(asset, ZERO), amount)
        unknown[asset] += missing
    return held, unknown


def total_of(days: Iterable[DayFigures]) -> Cell:
    """Return the sum of all days' contributions."""
    total = Cell()
    for day in days:
        for cell in day.lines.values():
            total.plus(cell)
    return total
