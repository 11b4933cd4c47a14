"""Keeps a simulation over restarts, kill -9 included: a venue never forgets what it has told.

A snapshot is written now and then and after every action from outside. Steps between snapshots are not
written: they are taken again at their own times, and the same seed tells the same history, to the trade id.
"""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from typing import Protocol, TypeVar

STEP = 250

FORMAT = 1
# Longer than the time between two snapshots, so that everything told after the last one is told again; what
# an absence has beyond it is a halt of the venue: nobody waits for hours of trading to be replayed.
LONGEST_REPLAY = 60_000


class Clockwork(Protocol):
    """What can be kept: it steps to a time, the same way each time, and can skip some."""

    clock: int

    def advance(self, now: int) -> int:
        """Take every step that is due at `now` (ms)."""

    def resume(self, skipped: int) -> None:
        """Go on `skipped` ms later."""


Kept = TypeVar("Kept", bound=Clockwork)


class BadSnapshot(ValueError):
    """A snapshot that cannot be used; the message says what to do."""


class Keeper:
    """Writes a simulation to `path`, at most every 15 s by itself and never more than 2 % of the time."""

    def __init__(self, simulation: Clockwork, path: Path) -> None:
        self.simulation = simulation
        self.path = path
        self.due = 0.0

    def save(self) -> None:
        """Write a snapshot now, atomically."""
        began = time.monotonic()
        half = self.path.with_name(self.path.name + ".new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            os.chmod(half, 0o600)
            pickle.dump((FORMAT, self.simulation), file, protocol=pickle.HIGHEST_PROTOCOL)
        os.replace(half, self.path)
        now = time.monotonic()
        self.due = now + max(15.0, 50 * (now - began))

    def save_if_due(self) -> None:
        """Write a snapshot when the last is old."""
        if time.monotonic() >= self.due:
            self.save()


def load(path: Path, kind: type[Kept], *, now: int) -> Kept | None:
    """The simulation kept in `path`, brought to `now` (ms); None if there is no file. Raises BadSnapshot."""
    if not path.exists():
        return None
    try:
        # A file of our own, in our own data directory, readable by nobody else.
        version, simulation = pickle.loads(path.read_bytes())
    except Exception as error:
        raise BadSnapshot(f"{path} cannot be read ({error!r}): delete it to start afresh") from error
    if version != FORMAT or not isinstance(simulation, kind):
        raise BadSnapshot(f"{path} is of another version: delete it to start afresh")
    simulation.advance(min(now, simulation.clock + LONGEST_REPLAY))
    simulation.resume(max(0, now - simulation.clock) // STEP * STEP)
    return simulation
