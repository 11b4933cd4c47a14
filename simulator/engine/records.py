"""Rows that a venue keeps of its past, in little memory: the last few as they are, older ones on disk.

A venue serves thousands of rows of everybody: as objects they are a hundred megabytes after a few hours. Rows
leave memory in packed blocks; what stays is where each block is.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
# Rows of a block: what a list holds in memory is at most twice as many.
BLOCK = 32
# A list that never has more rows than this stays in memory.
SHORT = 256
# SQLite's own memory, in KiB.
CACHE = 1024


class Unusable(ValueError):
    """The archive's file cannot be had; the message says why."""


class Block(NamedTuple):
    """Rows that left memory: where they are, how many, and between which times (ms)."""

    id: int
    size: int
    first: int
    last: int


class Archive:
    """The blocks of one simulator, in a file that nobody sees, or beside its state (`attach`).

    Blocks have the same ids in each replay, so that writing one twice writes the same. What a list drops is
    deleted when neither the last snapshot nor the one before needs it.
    """

    def __init__(self) -> None:
        self.next_id = 1
        self.lists: list[Records] = []
        self.dropped: list[int] = []
        self.doomed: list[int] = []
        self.path: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def __getstate__(self) -> Row:
        return self.__dict__ | {"_connection": None, "path": None}

    def records(self, kept: int) -> Records:
        """A new list of the newest `kept` rows whose older rows are here."""
        made = Records(self, kept)
        self.lists.append(made)
        return made

    # -- the file ------------------------------------------------------------------------------------

    def attach(self, path: Path, *, fresh: bool) -> None:
        """Use the file at `path`, a new one if `fresh`.

        A damaged one is set aside: the lists then have the rows that are in memory, as if the venue had
        cut their history. Says so on stderr. Raises Unusable.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        self.path = path
        try:
            self._open()
            found = {one for (one,) in self._sql().execute("SELECT id FROM block")}
        except sqlite3.OperationalError as error:
            self.close()
            raise Unusable(
                f"{path} cannot be used ({error}): does another venue run on this state?"
            ) from error
        except sqlite3.DatabaseError as error:
            self.close()
            aside = set_aside(path)
            sys.stderr.write(f"simulator: {path} cannot be read ({error}): it is now {aside}\n")
            self._open()
            found = set()
        lost = sum(one.forget(found) for one in self.lists)
        if lost:
            sys.stderr.write(f"simulator: {lost} old rows are gone; positions and balances are not touched\n")

    def _open(self) -> None:
        self._connection = sqlite3.connect(
            str(self.path or ""), timeout=2.0, isolation_level=None, check_same_thread=False
        )
        run = self._connection.execute
        run(f"PRAGMA cache_size=-{CACHE}")
        if self.path is None:
            run("PRAGMA journal_mode=OFF")
        else:
            os.chmod(self.path, 0o600)
            ((health,),) = run("PRAGMA quick_check(1)").fetchall()
            if health != "ok":
                raise sqlite3.DatabaseError(health)
        run("CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, rows BLOB NOT NULL)")
        if self.path is not None:
            run("BEGIN IMMEDIATE")

    def _sql(self) -> sqlite3.Connection:
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def commit(self) -> None:
        """Make every block safe: a snapshot that needs them follows."""
        self._delete(self.doomed)
        self.doomed, self.dropped = self.dropped, []
        if self.path is not None:
            self._sql().execute("COMMIT")
            self._sql().execute("BEGIN IMMEDIATE")

    # -- blocks --------------------------------------------------------------------------------------

    def write(self, rows: list[Row]) -> Block:
        """Put rows away."""
        packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
        times = [time_of(row) for row in rows]
        block = Block(self.next_id, len(rows), min(times), max(times))
        self.next_id += 1
        self._sql().execute("INSERT OR REPLACE INTO block VALUES (?, ?)", (block.id, packed))
        return block

    def read(self, block: Block) -> list[Row]:
        """The rows of a block."""
        ((packed,),) = self._sql().execute("SELECT rows FROM block WHERE id = ?", (block.id,)).fetchall()
        rows: list[Row] = json.loads(zlib.decompress(packed))
        return rows

    def drop(self, block: Block) -> None:
        """Forget a block, as soon as no snapshot needs it."""
        if self.path is None:
            self._delete([block.id])
        else:
            self.dropped.append(block.id)

    def _delete(self, ids: Iterable[int]) -> None:
        self._sql().executemany("DELETE FROM block WHERE id = ?", [(one,) for one in ids])


class Records:
    """The newest `kept` rows, oldest first; every row has a time (ms)."""

    __slots__ = ("archive", "blocks", "count", "kept", "recent")

    def __init__(self, archive: Archive, kept: int) -> None:
        self.archive = archive
        self.kept = kept
        self.blocks: deque[Block] = deque()
        self.recent: deque[Row] = deque()
        self.count = 0

    def append(self, row: Row) -> None:
        """A row that follows all others, whatever its time."""
        self.recent.append(row)
        self.count += 1
        self._settle()

    def insert(self, row: Row) -> None:
        """A row at its time, after those of the same time."""
        later: list[Row] = []
        while self._back_to_memory() and time_of(self.recent[-1]) > time_of(row):
            later.append(self.recent.pop())
        self.recent.extend([row, *reversed(later)])
        self.count += 1
        self._settle()

    def _back_to_memory(self) -> bool:
        """Whether there is a last row, which then is in memory."""
        if not self.recent and self.blocks:
            block = self.blocks.pop()
            self.recent.extend(self.archive.read(block))
            self.archive.drop(block)
        return bool(self.recent)

    def _settle(self) -> None:
        while len(self.recent) >= 2 * BLOCK and self.kept > SHORT:
            rows = [self.recent.popleft() for _ in range(BLOCK)]
            self.blocks.append(self.archive.write(rows))
        while self.blocks and self.count - self.blocks[0].size >= self.kept:
            block = self.blocks.popleft()
            self.count -= block.size
            self.archive.drop(block)
        while not self.blocks and self.count > self.kept:
            self.recent.popleft()
            self.count -= 1

    def forget(self, found: set[int]) -> int:
        """Let go of the blocks that are not `found` any more, and of all before them; how many rows."""
        lost = 0
        missing = [index for index, block in enumerate(self.blocks) if block.id not in found]
        for _ in range(missing[-1] + 1 if missing else 0):
            lost += self.blocks.popleft().size
        self.count -= lost
        return lost

    def between(self, start: int, end: int) -> Iterator[Row]:
        """The rows with `start` <= time <= `end` (ms), oldest first."""
        for row in self._from(start):
            if start <= time_of(row) <= end:
                yield row

    def __iter__(self) -> Iterator[Row]:
        return self._from(None)

    def _from(self, start: int | None) -> Iterator[Row]:
        """All rows but those of blocks that end before `start`."""
        skipped = self.count - len(self)
        for block in list(self.blocks):
            if start is None or block.last >= start:
                yield from islice(self.archive.read(block), skipped, None)
            skipped = 0
        yield from list(self.recent)

    def __reversed__(self) -> Iterator[Row]:
        return islice(self._backwards(), len(self))

    def _backwards(self) -> Iterator[Row]:
        yield from reversed(list(self.recent))
        for block in reversed(list(self.blocks)):
            yield from reversed(self.archive.read(block))

    def newest(self, count: int) -> list[Row]:
        """The last `count` rows, oldest first."""
        rows = list(islice(reversed(self), count))
        rows.reverse()
        return rows

    def __getitem__(self, index: int) -> Row:
        return self.newest(-index)[0] if -len(self) <= index < 0 else list(self)[index]

    def __len__(self) -> int:
        return min(self.count, self.kept)


def time_of(row: Row) -> int:
    """When a row happened (ms): its `time`, or an order's `statusTimestamp`."""
    moment: int = row["time"] if "time" in row else row["statusTimestamp"]
    return moment


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that whoever wants to can look at it; its new name."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    os.replace(path, aside)
    return aside
