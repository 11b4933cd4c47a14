"""What changed facts make of positions and balances: advanced in place where possible, else refolded.

Note [Refold]: a key is folded again from the last state before the earliest changed fact that is whole: a
checkpoint inside an episode (Note [Checkpoints]), or an episode's last state, unless the next one opened at
that very time (a flip, or facts that share a time).
Episodes after it are matched by their opening entry; one that no longer exists becomes VOID.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from positions.admission import Effect
from positions.book import (
    Change,
    Contract,
    ContractKind,
    Entry,
    Leg,
    OutOfOrder,
    Position,
    apply,
    by_asset,
    cash_legs,
)
from positions.book.fold import Fold, fold_facts
from positions.book.legs import Sizes, split_by_leg
from positions.book.money import ZERO, add, negate
from positions.book.resolve import resolve
from positions.catalogue import Catalogue, Traded
from positions.checkpoints import Start, Stride, cuts, fold_parts, from_start, inside, is_later, joined
from positions.folding_rules import (
    BEGINNING,
    Part,
    collector_paused,
    counts,
    empty,
    heir_of,
    running_cash,
    start_of,
    times,
)
from positions.ledger_rows import Amounts, Cash, Checkpoint, Episode, EpisodeChange, Key
from positions.lifecycle import folded_status
from positions.models import Status

HEDGED = (Leg.LONG, Leg.SHORT)
Step = tuple[Key, Episode | None, Position, Cash]
"""An episode advanced: key, row before (None: new), state after, its counted cash."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """What new facts in order did to a key."""

    steps: list[Step]
    checkpoints: list[Checkpoint]


class History(Protocol):
    """What a refold asks Postgres for."""

    def episodes(self, key: Key, *, opened: datetime | None = None) -> list[Episode]:
        """All episodes of a key that are not VOID, in order, or those opened at a time or later."""

    def checkpoint(self, key: Key, *, before: datetime) -> Checkpoint | None:
        """The last checkpoint of a key before a time."""

    def checkpoints(self, key: Key) -> list[Checkpoint]:
        """All checkpoints of a key, in order."""

    def voided(self, key: Key, openings: Iterable[str]) -> list[Episode]:
        """VOID episodes of a key that these entries once opened."""

    def has_legless(self, traded: Traded) -> bool:
        """Whether facts of an instrument name no leg."""

    def facts(self, traded: Traded, after: datetime | None) -> list[Entry]:
        """Facts of an instrument or coin whose time may be later, and all corrections of them."""


@dataclass(slots=True)
class Folding:
    """One batch's way through the book of an account."""

    catalogue: Catalogue
    par: frozenset[str]
    opened: dict[str, datetime]
    last: dict[Key, Episode]
    facts: list[Entry]
    history: History
    changes: list[EpisodeChange] = field(default_factory=list)
    balances: Amounts = field(default_factory=dict)
    realized: Amounts = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    forgotten: dict[Key, datetime] = field(default_factory=dict)
    doubted: list[tuple[Checkpoint, Position, Cash]] = field(default_factory=list)
    """Stored checkpoints that a fold from the first fact does not bear out: with its state and cash."""

    def run(self, effects: Sequence[Effect]) -> None:
        """Fill `changes` and `balances` with what the effects do."""
        work: dict[Traded, list[Effect]] = defaultdict(list)
        for effect in effects:
            self._count(effect.before, sign=-1)
            self._count(effect.after, sign=1)
            for traded, part in self._parts_of(effect):
                work[traded].append(part)
        for traded, parts in work.items():
            self._book(traded, parts)

    def _count(self, entry: Entry | None, *, sign: int) -> None:
        """Cash that does not depend on the fold."""
        if entry is None or not counts(entry, self.opened):
            return
        for leg in cash_legs(entry, self._contract(entry), realized=ZERO):
            self._move(leg.wallet or "", leg.asset, leg.amount, sign)

    def _move(self, wallet: str, asset: str, amount: Decimal | None, sign: int, unknowns: int = 1) -> None:
        held, unknown = self.balances.get((wallet, asset), (ZERO, 0))
        if amount is None:
            self.balances[wallet, asset] = held, unknown + sign * unknowns
        else:
            self.balances[wallet, asset] = add(held, amount if sign > 0 else negate(amount)), unknown

    def _contract(self, entry: Entry) -> Contract | None:
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        return market.contract if market else None

    def parts(self, entry: Entry | None) -> dict[Traded, Entry]:
        """Return what an entry is to each instrument or coin whose position it moves."""
        if entry is None:
            return {}
        market = self.catalogue.instrument(entry.instrument) if entry.instrument else None
        if market is not None and market.contract.kind is not ContractKind.SPOT:
            return {market: entry}
        found = {}
        for part in by_asset(entry, market.contract if market else None, par=self.par):
            coin = self.catalogue.coin(part.instrument or "")
            if coin is not None:
                found[coin] = part
        return found

    def _parts_of(self, effect: Effect) -> Iterable[tuple[Traded, Effect]]:
        before, after = self.parts(effect.before), self.parts(effect.after)
        for traded in {**before, **after}:
            yield traded, Effect(before.get(traded), after.get(traded))

    def _legs(self, traded: Traded) -> list[Leg]:
        """The legs that have ever been used."""
        return [leg for leg in Leg if Key(traded.id, leg.value) in self.last]

    def _book(self, traded: Traded, parts: list[Effect]) -> None:
        legs = self._legs(traded)
        versions = [part for effect in parts for part in (effect.before, effect.after) if part is not None]
        named = {part.leg for part in versions if part.leg is not None}
        hedged = bool({*legs, *named} & set(HEDGED))
        legless = any(part.leg is None for part in versions)
        if legless and hedged:
            if not self._advance_shared(traded, parts, legs):
                self._refold_shared(traded, [leg for leg in Leg if leg in {*legs, *named}])
            return
        by_leg: dict[Leg, list[Effect]] = defaultdict(list)
        for effect in parts:
            part = effect.after or effect.before
            by_leg[(part.leg if part else None) or Leg.NET].append(effect)
        advanced = {leg: self._advance(traded, leg, effects) for leg, effects in by_leg.items()}
        behind = None in advanced.values() or min(times(parts)) <= self._latest(traded, legs)
        if hedged and behind and self._shares(traded):
            self._refold_shared(traded, [leg for leg in Leg if leg in {*legs, *named}])
            return
        for leg, steps in advanced.items():
            if steps is None:
                with collector_paused():
                    self._refold(traded, leg, since=min(times(by_leg[leg])))
            else:
                self._take(steps)

    def _latest(self, traded: Traded, legs: Iterable[Leg]) -> datetime:
        """The last fact of any leg: a fact before it may change how those without a leg were shared."""
        known = (self.last[Key(traded.id, leg.value)].state.last_time for leg in legs)
        return max((time for time in known if time is not None), default=BEGINNING)

    def _shares(self, traded: Traded) -> bool:
        """Whether an instrument has facts without a leg, so that its legs' folds depend on each other."""
        return self.history.has_legless(traded) or any(
            part.leg is None for entry in self.facts if (part := self.parts(entry).get(traded)) is not None
        )

    def _take(self, advanced: Advanced) -> None:
        for key, before, after, cash in advanced.steps:
            self._change(key, before, after, cash, corrected=False)
        self.checkpoints += advanced.checkpoints

    # In place -----------------------------------------------------------------------------------------------

    def _advance_shared(self, traded: Traded, parts: list[Effect], legs: list[Leg]) -> bool:
        """Share one new leg-less fact among the legs as they stand now, if it is later than all of them."""
        if len(parts) != 1 or parts[0].before is not None or parts[0].after is None:
            return False
        states = {leg: self.last[Key(traded.id, leg.value)].state for leg in legs}
        if any(
            state.last_time is None or state.last_time >= parts[0].after.time for state in states.values()
        ):
            return False
        sizes = {leg: Sizes((), start=state) for leg, state in states.items()}
        for part in split_by_leg(parts[0].after, sizes=sizes):
            advanced = self._advance(traded, part.leg or Leg.NET, [Effect(None, part)])
            if advanced is not None:
                self._take(advanced)
        return True

    def _advance(self, traded: Traded, leg: Leg, effects: list[Effect]) -> Advanced | None:
        """Apply new facts to the key's last episode; None if their place is not provably after it.

        A key without an episode may hold funding that waits for one: it is refolded.
        """
        key = Key(traded.id, leg.value)
        episode = self.last.get(key)
        fresh = [effect.after for effect in effects if effect.before is None and effect.after is not None]
        if episode is None or len(fresh) < len(effects):
            return None
        fresh.sort(key=lambda entry: (entry.time, entry.received))
        position, changes = episode.state, list[Change]()
        states, parts, begin = {}, [], 0
        stride = Stride.of(position)
        try:
            for n, entry in enumerate(fresh):
                if stride.passed(position, entry):
                    parts.append(Part(fresh[begin:n], changes[begin:], position))
                    begin = n
                position, change = apply(position, entry)
                changes.append(change)
                if change.closed is not None:
                    states[change.closed.opened_by or ""] = change.closed
                states[position.opened_by or ""] = position
        except OutOfOrder:
            return None
        parts.append(Part(fresh[begin:], changes[begin:], position))
        first = episode.state.opened_by
        cash, passed = running_cash(
            parts, traded=traded, opened=self.opened, openings=states, first=first, carried=episode.cash
        )
        steps = [
            (key, episode if opening == first else None, state, cash.get(opening, {}))
            for opening, state in states.items()
        ]
        kept = zip(parts[:-1], passed, strict=False)
        return Advanced(steps, [Checkpoint(key, part.after, counted) for part, counted in kept])

    # Again --------------------------------------------------------------------------------------------------

    def _refold(self, traded: Traded, leg: Leg, *, since: datetime) -> None:
        key = Key(traded.id, leg.value)
        start = self._start(traded, leg, since)
        facts = self.standing(traded, after=start.state.last_time)
        own = sorted((part for part in facts if (part.leg or Leg.NET) is leg), key=lambda fact: fact.time)
        parts = fold_parts(own, start=start.state, until=cuts(own))
        passed = self._compare(traded, key, start, parts)
        self.forgotten[key] = since
        for part, counted in zip(parts[:-1], passed, strict=False):
            if part.position.is_open:
                self.checkpoints.append(Checkpoint(key, part.position, counted))

    def _start(self, traded: Traded, leg: Leg, since: datetime) -> Start:
        """The last whole state before a time. See Note [Refold] and Note [Checkpoints]."""
        key = Key(traded.id, leg.value)
        checkpoint = self.history.checkpoint(key, before=since)
        if checkpoint is not None:
            rows = self.history.episodes(key, opened=checkpoint.state.opened_at)
            found, place = inside(checkpoint, rows), start_of(rows, since=since)
            if found is not None and (place < 0 or not is_later(rows[place].state, checkpoint.state)):
                return found
        rows = self.history.episodes(key)
        place = start_of(rows, since=since)
        if place < 0:
            return Start(empty(traded, leg), rows)
        return Start(rows[place].state, rows[place:], rows[place].state.opened_by, rows[place].cash)

    def refold_whole(self, traded: Traded) -> None:
        """Fold an instrument or coin from its first fact on; `realized` adds up its cash."""
        used = {part.leg for part in self.standing(traded, after=None)} | set(self._legs(traded))
        self._refold_shared(traded, [leg for leg in Leg if leg in used] or [Leg.NET])

    def _refold_shared(self, traded: Traded, legs: list[Leg]) -> None:
        """All legs of an instrument from the beginning: what has no leg is shared by size at its time."""
        own = self._shared(self.standing(traded, after=None), traded, legs)
        for leg, facts in own.items():
            key = Key(traded.id, leg.value)
            self.forgotten[key] = BEGINNING
            known = self.history.checkpoints(key)
            start = Start(empty(traded, leg), self.history.episodes(key))
            until = [kept.state.last_time or BEGINNING for kept in known]
            parts = fold_parts(facts, start=start.state, until=until)
            passed = self._compare(traded, key, start, parts)
            for kept, part, counted in zip(known, parts, passed, strict=False):
                if kept.state != part.position or kept.cash != counted:
                    self.doubted.append((kept, part.position, counted))

    def _shared(self, facts: list[Entry], traded: Traded, legs: Iterable[Leg]) -> dict[Leg, list[Entry]]:
        """The facts of each leg; what has no leg is shared among them."""
        starts = {leg: empty(traded, leg) for leg in legs}
        own: dict[Leg, list[Entry]] = {leg: [part for part in facts if part.leg is leg] for leg in starts}
        sizes = {leg: Sizes(own[leg], start=start) for leg, start in starts.items()}
        for part in facts:
            if part.leg is None:
                for share in split_by_leg(part, sizes=sizes):
                    own[share.leg or Leg.NET].append(share)
        return own

    def folds(self, traded: Traded, facts: list[Entry], legs: Iterable[Leg]) -> dict[Leg, Fold]:
        """Return the fold of each leg from its first fact on; what has no leg is shared among them."""
        own = self._shared(facts, traded, legs)
        return {leg: fold_facts(parts, start=empty(traded, leg)) for leg, parts in own.items()}

    def add_realized(self, traded: Traded, again: Fold) -> None:
        """Add up in `realized` what a fold from the first fact on realized in cash."""
        openings = [episode.opened_by or "" for episode in again.episodes]
        whole = Part(again.effective, again.changes, again.position)
        cash, _ = running_cash([whole], traded=traded, opened=self.opened, openings=openings)
        for counted in cash.values():
            self._add_realized(traded, counted)

    def _add_realized(self, traded: Traded, counted: Cash) -> None:
        key = traded.contract.settle
        for wallet, (amount, unknown) in counted.items():
            held, unknowns = self.realized.get((wallet, key), (ZERO, 0))
            self.realized[wallet, key] = add(held, amount), unknowns + unknown

    def standing(self, traded: Traded, *, after: datetime | None) -> list[Entry]:
        """The facts of an instrument or coin that stand, later than a time, this batch's included.

        Corrections that waited for a fact of this batch are among `facts`.
        """
        known = {entry.venue_ref: entry for entry in self.history.facts(traded, after)}
        self.catalogue.load_for(known.values(), par=self.par)
        known.update((entry.venue_ref, entry) for entry in self.facts)
        parts = (self.parts(entry).get(traded) for entry in resolve(known.values()).effective)
        return [part for part in parts if part is not None and (after is None or part.time > after)]

    def _compare(self, traded: Traded, key: Key, start: Start, parts: list[Fold]) -> list[Cash]:
        """Match the episodes of a fold with rows; returns the cash counted by the end of each part."""
        again = from_start(joined(parts), start)
        states = {episode.opened_by or "": episode for episode in again.episodes}
        # Counted before the fold's start: only what comes after it is counted again.
        cash, passed = running_cash(
            [Part(part.effective, part.changes, part.position) for part in parts],
            traded=traded, opened=self.opened, openings=states, first=start.opening, carried=start.cash,
        )  # fmt: skip
        own = {row.state.opened_by or "": row for row in start.rows}
        fresh = [opening for opening in states if opening not in own]
        own.update((row.state.opened_by or "", row) for row in self.history.voided(key, fresh))
        for opening, row in own.items():
            if opening not in states and opening != start.opening:
                self._dissolve(key, row, again, start.opening)
        for opening, state in states.items():
            before = own.get(opening)
            counted = cash.get(opening, {})
            self._add_realized(traded, counted)
            revived = before is not None and before.status == Status.VOID
            if before is None or revived or before.state != state or before.cash != counted:
                corrected = before is not None and (start.inside or opening != start.opening)
                self._change(key, before, state, counted, corrected=corrected)
        return passed

    def _dissolve(self, key: Key, row: Episode, again: Fold, first: str | None) -> None:
        for wallet, (amount, unknown) in row.cash.items():
            self._recount(wallet, row.state.contract.settle, amount, unknown, sign=-1)
        self.changes.append(
            EpisodeChange(key, row, None, Status.VOID, {}, True, heir_of(row, again, first=first))
        )

    def _change(
        self,
        key: Key,
        before: Episode | None,
        after: Position,
        cash: Cash,
        corrected: bool,
    ) -> None:
        settle = after.contract.settle
        for sign, counted in ((-1, before.cash if before else {}), (1, cash)):
            for wallet, (amount, unknown) in counted.items():
                self._recount(wallet, settle, amount, unknown, sign=sign)
        current = before.status if before else None
        status = folded_status(current=current, folded=after.status)
        self.changes.append(EpisodeChange(key, before, after, status, cash, corrected))

    def _recount(self, wallet: str, asset: str, amount: Decimal, unknown: int, *, sign: int) -> None:
        self._move(wallet, asset, amount, sign)
        if unknown:
            self._move(wallet, asset, None, sign, unknown)
