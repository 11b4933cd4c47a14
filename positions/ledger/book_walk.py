"""The book walked forward from a moment: what each later fact did to legs and to cash, as known now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from positions.book import CashLeg, Contract, ContractKind, Entry, Leg, PositionState, cash_legs
from positions.book.apply import advance
from positions.book.money import ZERO, add
from positions.book.order import by_time, ordered
from positions.ledger.fold.advance import HEDGED
from positions.ledger.fold.refold import shared
from positions.ledger.fold.rewind import Rewind, named_legs, steadily
from positions.ledger.fold.rules import collector_paused, counts, empty, legs_of, pays
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import BalanceAmounts, PositionKey
from positions.ledger.sql import last_episodes
from positions.models import Account, Balance


@dataclass(frozen=True, slots=True)
class LegMove:
    """What a fact did to one leg; `closed` is the episode that it ended, if it did.

    `place` is where the fold put it among the leg's facts: several may share a time.
    """

    key: PositionKey
    before: PositionState
    after: PositionState
    closed: PositionState | None
    realized: Decimal | None
    place: int


@dataclass(frozen=True, slots=True)
class FactEffect:
    """One fact that counts, and what it did. `counted` False: from before T0, in no balance.

    `paid`: a derivative's realized P&L of it is cash. `contract` is that of the market it names.
    """

    fact: Entry
    contract: Contract | None
    counted: bool
    paid: bool
    cash: tuple[CashLeg, ...]
    moves: tuple[LegMove, ...]


@dataclass(frozen=True, slots=True)
class BookWalk:
    """An account's book at a moment, every fact after it by time, and what balances hold now.

    `opened` is the account's T0, None where balances count everything. `sequence` is its last change.
    """

    at: datetime
    opened: datetime | None
    sequence: int | None
    balances: BalanceAmounts
    legs: Mapping[PositionKey, PositionState]
    effects: tuple[FactEffect, ...]
    now: BalanceAmounts


def book_walk(*, account: Account, at: datetime) -> BookWalk:
    """Return what happened to an account after a moment: facts at it belong to the state before."""
    return steadily(account=account, at=at, read=_walk)


def _walk(rewind: Rewind) -> BookWalk:
    balances, moved = rewind.balances()
    facts = rewind.effective.later(after=rewind.at)
    parts: dict[CatalogueItem, list[Entry]] = defaultdict(list)
    for fact in facts:
        for item, part in rewind.effective.parts(fact).items():
            parts[item].append(part)
    with collector_paused():
        moves = _moves(rewind, parts, moved)
    rows = Balance.objects.filter(account=rewind.account)
    return BookWalk(
        at=rewind.at,
        opened=min(rewind.opened.values(), default=None),
        sequence=rewind.sequence,
        balances=dict(balances),
        legs=rewind.positions(moved),
        effects=tuple(_effects(rewind, facts, moves)),
        now={(row.wallet, row.asset): (row.amount, row.unknown_count) for row in rows},
    )


def _moves(
    rewind: Rewind,
    parts: Mapping[CatalogueItem, list[Entry]],
    moved: Mapping[PositionKey, PositionState],
) -> dict[str, list[LegMove]]:
    """Return what facts did to legs, by reference."""
    found: dict[str, list[LegMove]] = defaultdict(list)
    contracts = {item.id: item.contract for item in parts}
    last = last_episodes(account=rewind.account.pk, contracts=contracts) if parts else {}
    for item, own in parts.items():
        used = {*(part.leg for part in own), *legs_of(item, last)}
        if used & set(HEDGED) and rewind.effective.shares(item):
            moves: Iterable[LegMove] = _of_shared(rewind, item)
        else:
            moves = _of_legs(item, own, {part.leg or Leg.NET for part in own}, moved)
        for ref, move in ((move.after.last_ref, move) for move in moves):
            found[ref or ""].append(move)
    return found


def _of_legs(
    item: CatalogueItem,
    parts: Iterable[Entry],
    legs: Collection[Leg],
    moved: Mapping[PositionKey, PositionState],
) -> Iterator[LegMove]:
    facts = list(parts)
    for leg in legs:
        key = PositionKey(item.id, leg.value)
        own = [part for part in facts if (part.leg or Leg.NET) is leg]
        yield from _folded(key, own, moved.get(key) or empty(item, leg))


def _of_shared(rewind: Rewind, item: CatalogueItem) -> Iterator[LegMove]:
    """Legs that share facts depend on each other from the first fact on."""
    facts = rewind.effective.of(item, after=None)
    for leg, own in shared(facts, item, named_legs(facts)).items():
        for move in _folded(PositionKey(item.id, leg.value), own, empty(item, leg)):
            if move.after.last_time is not None and move.after.last_time > rewind.at:
                yield move


def _folded(key: PositionKey, facts: Iterable[Entry], state: PositionState) -> Iterator[LegMove]:
    place = 0
    for group in by_time(facts):
        for fact in ordered(group, state):
            before = state
            state, change = advance(before, fact)
            if state is not before:  # else the fact does not concern it
                place += 1
                yield LegMove(key, before, state, change.closed, change.realized, place)


def _effects(
    rewind: Rewind, facts: Iterable[Entry], moves: Mapping[str, list[LegMove]]
) -> Iterator[FactEffect]:
    def order(fact: Entry) -> tuple[datetime, int, str]:
        """What shares a time is in the order of its leg's fold, so that the last state is the last."""
        own = moves.get(fact.venue_ref, ())
        return fact.time, max((move.place for move in own), default=0), fact.venue_ref

    for fact in sorted(facts, key=order):
        contract = rewind.effective.contract(fact)
        own = tuple(moves.get(fact.venue_ref, ()))
        derivative = contract is not None and contract.kind is not ContractKind.SPOT
        paid = derivative and pays(fact)
        realized = _realized(own) if paid else ZERO
        yield FactEffect(
            fact=fact,
            contract=contract,
            counted=counts(fact, rewind.opened),
            paid=paid,
            cash=cash_legs(fact, contract, realized=realized),
            moves=own,
        )


def _realized(moves: Iterable[LegMove]) -> Decimal | None:
    total = ZERO
    for move in moves:
        if move.realized is None:
            return None
        total = add(total, move.realized)
    return total
