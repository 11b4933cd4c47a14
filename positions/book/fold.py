"""From facts to positions: dedupe, bust, amend, order, then apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from positions.book.apply import OutOfOrder, advance
from positions.book.entries import Entry, Leg
from positions.book.legs import LegSizes, split_by_leg
from positions.book.order import by_time, ordered
from positions.book.position import PositionChange, PositionState
from positions.book.resolve import Conflict, resolve


@dataclass(frozen=True, slots=True)
class Fold:
    """The book of one key: every episode in order, what each entry did, and what was left out and why.

    position   the state to apply the next entry to (the last episode, or the start)
    episodes   closed ones first, then the open one if any; identified by `opened_by`. Refolded from a `start`
               inside an episode, that episode is the first
    changes    per applied entry, in the true order
    effective  the entries as applied, amended, in that order
    conflicts  same reference, other content
    waiting    busts and amends whose target has not been seen
    replaced   references of inferred fills and opening lots that real fills received later have replaced
    """

    position: PositionState
    episodes: tuple[PositionState, ...]
    changes: tuple[PositionChange, ...]
    effective: tuple[Entry, ...]
    conflicts: tuple[Conflict, ...] = ()
    waiting: tuple[Entry, ...] = ()
    replaced: tuple[str, ...] = ()


def fold(entries: Iterable[Entry], *, start: PositionState) -> Fold:
    """Return the book of one key, whatever order, repetition or correction its facts arrived in.

    `start` is the empty position of the key, or a known state before the earliest of `entries`. All entries
    belong to that key. For a spot asset, and for entries without a leg in hedge mode, several keys share
    facts: `resolve` them once, split them (`cash.by_asset`, `fold_legs`), and `fold_facts` each.

    Raises OutOfOrder when an entry is not later than `start`.
    """
    facts = resolve(entries)
    return replace(
        fold_facts(facts.effective, start=start),
        conflicts=facts.conflicts,
        waiting=facts.waiting,
        replaced=facts.replaced,
    )


def fold_facts(effective: Iterable[Entry], *, start: PositionState) -> Fold:
    """Fold facts that `resolve` has settled, as `fold` does."""
    position = start
    episodes: dict[str, PositionState] = {}
    changes: list[PositionChange] = []
    applied: list[Entry] = []
    for group in by_time(effective):
        if start.last_time is not None and group[0].time <= start.last_time:
            raise OutOfOrder(venue_ref=group[0].venue_ref, after=start.last_ref)
        for entry in ordered(group, position):
            position, change = advance(position, entry)
            if change.closed is not None and change.closed.opened_by is not None:
                episodes[change.closed.opened_by] = change.closed
            if position.opened_by is not None:
                episodes[position.opened_by] = position
            changes.append(change)
            applied.append(entry)
    return Fold(position, tuple(episodes.values()), tuple(changes), tuple(applied))


def fold_legs(entries: Iterable[Entry], *, starts: Mapping[Leg, PositionState]) -> dict[Leg, Fold]:
    """Return the book of an instrument in hedge mode: entries without a leg are shared by leg size then.

    `starts` has the empty (or known) position of each leg. Conflicts, waiting and replaced are reported with
    every leg.
    Raises OutOfOrder as `fold`.
    """
    facts = resolve(entries)
    own = {leg: [entry for entry in facts.effective if entry.leg is leg] for leg in starts}
    sizes = {leg: LegSizes(own[leg], start=start) for leg, start in starts.items()}
    for entry in facts.effective:
        if entry.leg is None:
            for part in split_by_leg(entry, sizes=sizes):
                own[part.leg or Leg.NET].append(part)
    return {
        leg: replace(
            fold_facts(own[leg], start=start),
            conflicts=facts.conflicts,
            waiting=facts.waiting,
            replaced=facts.replaced,
        )
        for leg, start in starts.items()
    }
