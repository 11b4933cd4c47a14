"""From facts to positions: dedupe, bust, amend, order, then apply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from positions.book.entries import Entry
from positions.book.position import Change, Position


@dataclass(frozen=True, slots=True)
class Conflict:
    """The same reference with other content: kept out of the book, and raised by whoever ingests."""

    venue_ref: str
    fields: tuple[str, ...]
    kept: Entry
    refused: Entry


@dataclass(frozen=True, slots=True)
class Fold:
    """The book of one key: every episode in order, what each entry did, and what was left out and why.

    position     the state to apply the next entry to (the last episode, or the start)
    episodes     closed ones first, then the open one if any; identified by `opened_by`
    changes      per applied entry, in the true order
    effective    the entries as applied, amended, in that order
    conflicts    same reference, other content
    waiting      busts and amends whose target has not been seen
    replaced     references of inferred fills that later real fills replaced
    """

    position: Position
    episodes: tuple[Position, ...]
    changes: tuple[Change, ...]
    effective: tuple[Entry, ...]
    conflicts: tuple[Conflict, ...]
    waiting: tuple[Entry, ...]
    replaced: tuple[str, ...]


def fold(entries: Iterable[Entry], *, start: Position) -> Fold:
    """The true book of one key, whatever order, repetition or correction its facts arrived in.

    `start` is the empty position of the key, or the state before the earliest of `entries` (a refold from a known
    state). All entries belong to that key; for a spot asset, `cash.by_asset` made them so.
    """
    raise NotImplementedError
