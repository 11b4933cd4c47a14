"""What changed facts make of positions and balances: advanced in place where possible, else refolded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from positions.book import Leg, OutOfOrder, PositionChange, PositionState, apply
from positions.book.legs import LegSizes, split_by_leg
from positions.ledger.admission import Effect
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.checkpoints import CheckpointStride
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.refold import Refolding
from positions.ledger.fold.rules import BEGINNING, FoldPart, legs_of, running_cash, times
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import CountedCash, Episode, PositionKey, StateCheckpoint

HEDGED = (Leg.LONG, Leg.SHORT)
Step = tuple[PositionKey, Episode | None, PositionState, CountedCash]
"""An episode advanced: key, row before (None: new), state after, its counted cash."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What new facts in order did to a key."""

    steps: list[Step]
    checkpoints: list[StateCheckpoint]


@dataclass(slots=True)
class Folding:
    """One batch's way through the book of an account. `last` is the last episode of each key."""

    effective: EffectiveEntries
    update: BookUpdate
    last: dict[PositionKey, Episode]

    def run(self, effects: Sequence[Effect], by_item: Mapping[CatalogueItem, list[Effect]]) -> None:
        """Add to the update what effects do to balances, and what their parts do to positions."""
        for effect in effects:
            for sign, entry in ((-1, effect.before), (1, effect.after)):
                if entry is not None:
                    self.update.count(entry, self.effective.contract(entry), sign=sign)
        for item, parts in by_item.items():
            self._book(item, parts)

    def _book(self, item: CatalogueItem, parts: list[Effect]) -> None:
        """Advance or refold the legs of an instrument or coin that these parts change."""
        legs = legs_of(item, self.last)
        versions = [part for effect in parts for part in (effect.before, effect.after) if part is not None]
        used = {*legs, *(part.leg for part in versions if part.leg is not None)}
        hedged = not used.isdisjoint(HEDGED)
        if hedged and any(part.leg is None for part in versions):
            if not self._advance_shared(item, parts, legs):
                self._refold_all(item, used)
            return
        by_leg: dict[Leg, list[Effect]] = defaultdict(list)
        for effect in parts:
            part = effect.after or effect.before
            by_leg[(part.leg if part else None) or Leg.NET].append(effect)
        advances = {leg: self._advance(item, leg, effects) for leg, effects in by_leg.items()}
        if hedged:
            behind = None in advances.values() or min(times(parts)) <= self._latest(item, legs)
            if behind and self.effective.shares(item):
                self._refold_all(item, used)
                return
        for leg, advance in advances.items():
            if advance is None:
                Refolding(self.effective, self.update).since(item, leg, min(times(by_leg[leg])))
            else:
                self._take(advance)

    def _refold_all(self, item: CatalogueItem, used: set[Leg]) -> None:
        Refolding(self.effective, self.update).legs(item, [leg for leg in Leg if leg in used])

    def _latest(self, item: CatalogueItem, legs: Iterable[Leg]) -> datetime:
        """Return the time of the last fact of any leg: an earlier fact may change how legs share."""
        known = (self.last[PositionKey(item.id, leg.value)].state.last_time for leg in legs)
        return max((time for time in known if time is not None), default=BEGINNING)

    def _take(self, advance: Advance) -> None:
        for key, before, after, cash in advance.steps:
            self.update.change(key, before, after, cash, corrected=False)
        self.update.checkpoints += advance.checkpoints

    def _advance_shared(self, item: CatalogueItem, parts: list[Effect], legs: list[Leg]) -> bool:
        """Share one new leg-less fact among the legs as they are now, if it is later than all of them."""
        if len(parts) != 1 or parts[0].before is not None or parts[0].after is None:
            return False
        states = {leg: self.last[PositionKey(item.id, leg.value)].state for leg in legs}
        if any(
            state.last_time is None or state.last_time >= parts[0].after.time for state in states.values()
        ):
            return False
        sizes = {leg: LegSizes((), start=state) for leg, state in states.items()}
        for part in split_by_leg(parts[0].after, sizes=sizes):
            advance = self._advance(item, part.leg or Leg.NET, [Effect(None, part)])
            if advance is not None:
                self._take(advance)
        return True

    def _advance(self, item: CatalogueItem, leg: Leg, effects: list[Effect]) -> Advance | None:
        """Apply new facts to the key's last episode; None if their place is not provably after it.

        A key without an episode may hold funding that waits for one: it is refolded.
        """
        key = PositionKey(item.id, leg.value)
        episode = self.last.get(key)
        fresh = [effect.after for effect in effects if effect.before is None and effect.after is not None]
        if episode is None or len(fresh) < len(effects):
            return None
        fresh.sort(key=lambda entry: (entry.time, entry.received))
        position, changes = episode.state, list[PositionChange]()
        states, parts, begin = {}, [], 0
        stride = CheckpointStride.of(position)
        try:
            for n, entry in enumerate(fresh):
                if stride.passed(position, entry):
                    parts.append(FoldPart(fresh[begin:n], changes[begin:], position))
                    begin = n
                position, change = apply(position, entry)
                changes.append(change)
                if change.closed is not None:
                    states[change.closed.opened_by or ""] = change.closed
                states[position.opened_by or ""] = position
        except OutOfOrder:
            return None
        parts.append(FoldPart(fresh[begin:], changes[begin:], position))
        first = episode.state.opened_by
        cash, passed = running_cash(
            parts, item=item, opened=self.update.opened, openings=states, first=first, carried=episode.cash
        )
        steps = [
            (key, episode if opening == first else None, state, cash.get(opening, {}))
            for opening, state in states.items()
        ]
        kept = zip(parts[:-1], passed, strict=False)
        return Advance(steps, [StateCheckpoint(key, part.after, counted) for part, counted in kept])
