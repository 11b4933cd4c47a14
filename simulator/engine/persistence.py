"""Keeps a simulation over restarts, kill -9 included: a venue never forgets what it has told.

A snapshot is written now and then and after every action from outside. Steps between snapshots are not
written: they are taken again at their own times, and the same seed tells the same history, to the trade id.
Beside it are the snapshot before it, for the day that the file is damaged, and the archive of older rows.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .records import Archive, set_aside

STEP = 250

FORMAT = 3
# Where this package was when the first snapshots of this format were written.
_FORMER_PARENT = "positions.venues."
# Longer than the time between two snapshots, so that everything told after the last one is told again; what
# an absence has beyond it is a halt of the venue: nobody waits for hours of trading to be replayed.
LONGEST_REPLAY = 60_000


class Clockwork(Protocol):
    """What can be kept: it steps to a time, the same way each time, and can skip some."""

    clock: int

    @property
    def archive(self) -> Archive:
        """Where its older rows are."""

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
        if simulation.archive.path is None:
            simulation.archive.attach(archive_of(path), fresh=True)

    def save(self) -> None:
        """Write a snapshot now, atomically; the one before stays beside it."""
        began = time.monotonic()
        half = self.path.with_name(self.path.name + ".new")
        self.simulation.archive.commit()
        with half.open("wb") as file:
            os.chmod(half, 0o600)
            pickle.dump((FORMAT, self.simulation), file, protocol=pickle.HIGHEST_PROTOCOL)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.path, previous_of(self.path))
        os.replace(half, self.path)
        now = time.monotonic()
        self.due = now + max(15.0, 50 * (now - began))

    def save_if_due(self) -> None:
        """Write a snapshot when the last is old."""
        if time.monotonic() >= self.due:
            self.save()


def archive_of(path: Path) -> Path:
    """Where the older rows of a simulation kept in `path` are."""
    return path.with_name(path.name + ".history")


def previous_of(path: Path) -> Path:
    """Where the snapshot before the one in `path` is."""
    return path.with_name(path.name + ".previous")


def load(path: Path, kind: type[Kept], *, now: int) -> Kept | None:
    """The simulation kept in `path`, brought to `now` (ms); None if there is none. Raises BadSnapshot.

    A damaged file is set aside and the snapshot before it used: what was told since is told again, but what
    came from outside in between (an order, a fault) is forgotten. A second damaged one is the end: a venue
    that began afresh under the same address would contradict every book of its past.
    """
    problems = []
    for file in (path, previous_of(path)):
        if not file.exists():
            continue
        try:
            simulation = _read(file, kind)
        except Damaged as error:
            problems.append(f"{file} cannot be read ({error})")
            continue
        for problem in problems:
            sys.stderr.write(f"simulator: {problem}: it is now {set_aside(path)}, going on from {file}\n")
        simulation.archive.attach(archive_of(path), fresh=False)
        simulation.advance(min(now, simulation.clock + LONGEST_REPLAY))
        simulation.resume(max(0, now - simulation.clock) // STEP * STEP)
        return simulation
    if problems:
        raise BadSnapshot(f"{'; '.join(problems)}: {AFRESH}")
    return None


class Damaged(ValueError):
    """A file that is no snapshot."""


AFRESH = (
    "put a copy back, or start afresh together with the book that knows this venue (bin/demo --reset): "
    "another past at the same address would contradict it"
)


class _SnapshotReader(pickle.Unpickler):
    """Reads snapshots of earlier releases too, whose classes were in another package."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module.removeprefix(_FORMER_PARENT), name)


def _read(file: Path, kind: type[Kept]) -> Kept:
    try:
        # A file of our own, in our own data directory, readable by nobody else.
        version, simulation = _SnapshotReader(io.BytesIO(file.read_bytes())).load()
    except Exception as error:
        raise Damaged(repr(error)) from error
    if version != FORMAT or not isinstance(simulation, kind):
        raise BadSnapshot(f"{file} is of another version: {AFRESH}")
    return simulation
