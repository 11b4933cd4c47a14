"""Earlier whole states of a key, so that a late fact costs a refold from shortly before it.

Note [Checkpoints]: a state is whole when every fact up to its last time is in it and every later fact has a
later time. One is kept about every SPAN facts of an open episode: the newest DENSE of a key, and of older
ones every n-th, so that a key never has more than DENSE + SPARSE. Whatever changes at a time makes those at
or after it wrong: they go in the same transaction, and a refold leaves new ones behind. They are never
needed: a rebuild folds without them, compares them, and drops them when it writes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from positions.book import Entry, PositionChange, PositionState
from positions.book.fold import Fold, fold_facts
from positions.ledger.rows import CountedCash, Episode, StateCheckpoint

SPAN = 32
DENSE = SPARSE = 32
BACK = (2048, 256, 32)
"""How many facts before its end a refold leaves checkpoints."""


@dataclass(frozen=True, slots=True)
class RefoldStart:
    """Where a refold begins.

    `rows` are the episodes from there on. `opening` is the episode that the state belongs to (the first of
    `rows`), with the cash it had counted by then; None = the beginning. `inside`: later facts of it follow.
    """

    state: PositionState
    rows: list[Episode]
    opening: str | None = None
    cash: CountedCash = field(default_factory=dict)
    inside: bool = False


def inside(checkpoint: StateCheckpoint, rows: list[Episode]) -> RefoldStart | None:
    """Return the start that a checkpoint is; None if its episode is not among the rows."""
    opening = checkpoint.state.opened_by
    for place, row in enumerate(rows):
        if row.state.opened_by == opening:
            return RefoldStart(checkpoint.state, rows[place:], opening, checkpoint.cash, inside=True)
    return None


@dataclass(slots=True)
class CheckpointStride:
    """Decides after which facts of an advance a checkpoint is due; never between facts of one time."""

    due: int
    seen: PositionState

    @classmethod
    def of(cls, position: PositionState) -> CheckpointStride:
        """Begin with a stored state: what was due before its last fact was kept then."""
        return cls(due=-(-position.entries // SPAN) * SPAN, seen=position)

    def passed(self, position: PositionState, entry: Entry) -> bool:
        """Return whether the state before an entry is to be kept."""
        if position.opened_by != self.seen.opened_by:
            self.due = SPAN
        self.seen = position
        if position.entries < self.due or not is_whole(position, entry):
            return False
        self.due = (position.entries // SPAN + 1) * SPAN
        return bool(position.size)


def is_whole(position: PositionState, following: Entry) -> bool:
    """Return whether nothing can be missing from a state before a fact that comes after it."""
    return position.last_time is not None and following.time > position.last_time


def is_later(state: PositionState, other: PositionState) -> bool:
    """Return whether a state ends after another one; one without facts does not."""
    if state.last_time is None or other.last_time is None:
        return state.last_time is not None
    return state.last_time > other.last_time


def cuts(facts: Sequence[Entry]) -> list[datetime]:
    """Return the times, of facts in order, up to which a refold of them leaves checkpoints."""
    times = [fact.time for fact in facts]
    found = []
    for back in BACK:
        place = len(times) - back
        if place >= back and (first := bisect_left(times, times[place])):
            found.append(times[first - 1])
    return found


def fold_parts(facts: Iterable[Entry], *, start: PositionState, until: Iterable[datetime]) -> list[Fold]:
    """Fold settled facts in parts that end at the given times, and after the last of them."""
    in_order = sorted(facts, key=_time)
    parts: list[Fold] = []
    begin, position = 0, start
    for end in (*(bisect_right(in_order, time, key=_time) for time in until), len(in_order)):
        parts.append(fold_facts(in_order[begin:end], start=position))
        begin, position = end, parts[-1].position
    return parts


def _time(entry: Entry) -> datetime:
    return entry.time


def joined(parts: Sequence[Fold]) -> Fold:
    """Return consecutive parts as one fold."""
    if len(parts) == 1:
        return parts[0]
    episodes: dict[str | None, PositionState] = {}
    changes: list[PositionChange] = []
    effective: list[Entry] = []
    for part in parts:
        episodes.update((episode.opened_by, episode) for episode in part.episodes)
        changes += part.changes
        effective += part.effective
    return Fold(parts[-1].position, tuple(episodes.values()), tuple(changes), tuple(effective))


def from_start(again: Fold, start: RefoldStart) -> Fold:
    """Return the fold with the episode it started in, also if no fact of that is left."""
    if not start.inside or any(episode.opened_by == start.opening for episode in again.episodes):
        return again
    return replace(again, episodes=(start.state, *again.episodes))
