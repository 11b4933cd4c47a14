"""Positions folded again: from the last whole state before what changed, or from the first fact on.

Note [Refold]: a key is folded again from the last state before the earliest changed fact that is whole: a
checkpoint inside an episode (Note [Checkpoints]), or an episode's last state, unless the next one opened at
that very time (a flip, or facts that share a time).
Episodes after it are matched by their opening entry; one that no longer exists becomes VOID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from positions.book import Entry, Leg, PositionState
from positions.book.fold import Fold, fold_facts
from positions.book.legs import LegSizes, split_by_leg
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.checkpoints import (
    RefoldStart,
    cuts,
    fold_parts,
    from_start,
    inside,
    is_later,
    joined,
)
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.rules import BEGINNING, FoldPart, collector_paused, empty, running_cash, start_of
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import CountedCash, PositionKey, StateCheckpoint
from positions.models import Status

EPISODES_BACK = (8, 32, 128, 512, 2048)


@dataclass(slots=True)
class Refolding:
    """Folds the facts that count, compares with what is stored, and adds what differs to the update."""

    effective: EffectiveEntries
    update: BookUpdate
    doubted: list[tuple[StateCheckpoint, PositionState, CountedCash]] = field(default_factory=list)
    """Stored checkpoints that a fold from the first fact does not bear out: with its state and cash."""

    def since(self, item: CatalogueItem, leg: Leg, time: datetime) -> None:
        """Fold a key again because facts changed at a time or later."""
        with collector_paused():
            key = PositionKey(item.id, leg.value)
            start = self.start(item, leg, time)
            facts = self.effective.of(item, after=start.state.last_time)
            own = sorted((part for part in facts if (part.leg or Leg.NET) is leg), key=lambda fact: fact.time)
            parts = fold_parts(own, start=start.state, until=cuts(own))
            passed = self._compare(item, key, start, parts)
        self.update.forgotten[key] = time
        for part, counted in zip(parts[:-1], passed, strict=False):
            if part.position.is_open:
                self.update.checkpoints.append(StateCheckpoint(key, part.position, counted))

    def start(self, item: CatalogueItem, leg: Leg, since: datetime) -> RefoldStart:
        """Return the last whole state before a time. See Note [Refold] and Note [Checkpoints]."""
        key, history = PositionKey(item.id, leg.value), self.effective.history
        checkpoint = history.checkpoint(key, before=since)
        if checkpoint is not None:
            rows = history.episodes(key, opened=checkpoint.state.opened_at)
            found, place = inside(checkpoint, rows), start_of(rows, since=since)
            if found is not None and (place < 0 or not is_later(rows[place].state, checkpoint.state)):
                return found
        # Most often one of the last few is whole; where each turned into the next, one far back, or none.
        for back in (*EPISODES_BACK, None):
            opened = None if back is None else history.opened_before(key, time=since, back=back)
            rows = history.episodes(key, opened=opened)
            place = start_of(rows, since=since)
            if place >= 0:
                return RefoldStart(
                    rows[place].state, rows[place:], rows[place].state.opened_by, rows[place].cash
                )
            if opened is None:
                break
        return RefoldStart(empty(item, leg), rows)

    def whole(self, item: CatalogueItem, *, known: Iterable[Leg]) -> None:
        """Fold an instrument or coin from its first fact on: the legs known, and those its facts name."""
        used = {part.leg for part in self.effective.of(item, after=None)} | set(known)
        self.legs(item, [leg for leg in Leg if leg in used] or [Leg.NET])

    def legs(self, item: CatalogueItem, legs: list[Leg]) -> None:
        """Fold all legs of an instrument from the beginning; what has no leg is shared by size."""
        own = shared(self.effective.of(item, after=None), item, legs)
        for leg, facts in own.items():
            key = PositionKey(item.id, leg.value)
            self.update.forgotten[key] = BEGINNING
            known = self.effective.history.checkpoints(key)
            start = RefoldStart(empty(item, leg), self.effective.history.episodes(key))
            until = [kept.state.last_time or BEGINNING for kept in known]
            parts = fold_parts(facts, start=start.state, until=until)
            passed = self._compare(item, key, start, parts)
            for kept, part, counted in zip(known, parts, passed, strict=False):
                if kept.state != part.position or kept.cash != counted:
                    self.doubted.append((kept, part.position, counted))

    def _compare(
        self, item: CatalogueItem, key: PositionKey, start: RefoldStart, parts: list[Fold]
    ) -> list[CountedCash]:
        """Match the episodes of a fold with rows; returns the cash counted by the end of each part."""
        again = from_start(joined(parts), start)
        states = {episode.opened_by or "": episode for episode in again.episodes}
        # Counted before the fold's start: only what comes after it is counted again.
        cash, passed = running_cash(
            [FoldPart(part.effective, part.changes, part.position) for part in parts],
            item=item, opened=self.update.opened, openings=states, first=start.opening, carried=start.cash,
        )  # fmt: skip
        own = {row.state.opened_by or "": row for row in start.rows}
        fresh = [opening for opening in states if opening not in own]
        revived = self.effective.history.voided(key, fresh)
        own.update((row.state.opened_by or "", row) for row in revived)
        for opening, row in own.items():
            if opening not in states and opening != start.opening:
                self.update.dissolve(key, row, again, first=start.opening)
        for opening, state in states.items():
            before, counted = own.get(opening), cash.get(opening, {})
            self.update.realize(item, counted)
            was_void = before is not None and before.status == Status.VOID
            if before is None or was_void or before.state != state or before.cash != counted:
                corrected = before is not None and (start.inside or opening != start.opening)
                self.update.change(key, before, state, counted, corrected=corrected)
        return passed


def shared(facts: list[Entry], item: CatalogueItem, legs: Iterable[Leg]) -> dict[Leg, list[Entry]]:
    """Return the facts of each leg; what has no leg is shared among them."""
    starts = {leg: empty(item, leg) for leg in legs}
    own: dict[Leg, list[Entry]] = {leg: [part for part in facts if part.leg is leg] for leg in starts}
    sizes = {leg: LegSizes(own[leg], start=start) for leg, start in starts.items()}
    for part in facts:
        if part.leg is None:
            for share in split_by_leg(part, sizes=sizes):
                own[share.leg or Leg.NET].append(share)
    return own


def folds(item: CatalogueItem, facts: list[Entry], legs: Iterable[Leg]) -> dict[Leg, Fold]:
    """Return the fold of each leg from its first fact on; what has no leg is shared among them."""
    own = shared(facts, item, legs)
    return {leg: fold_facts(parts, start=empty(item, leg)) for leg, parts in own.items()}
