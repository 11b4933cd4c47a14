"""The true order of facts: time, then the chain of positions-before, then reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from positions.book.apply import is_sized
from positions.book.contracts import ContractKind
from positions.book.entries import Entry, Side
from positions.book.money import ZERO, add, negate
from positions.book.position import PositionState


def _time(entry: Entry) -> datetime:
    return entry.time


def by_time(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries that share a time, time by time."""
    for _, group in groupby(sorted(entries, key=_time), key=_time):
        yield list(group)


def ordered(group: list[Entry], position: PositionState) -> list[Entry]:
    """Return in their order the entries that share a time, given the position before them.

    Funding, fees and interest come first. Fills follow as a chain in which each begins where another ended,
    when the venue states every position before; else by reference.
    """
    if len(group) == 1:
        return group
    group.sort(key=lambda entry: entry.venue_ref)
    early = [entry for entry in group if not is_sized(position, entry)]
    sized = [entry for entry in group if is_sized(position, entry)]
    if all(entry.position_before is not None for entry in sized):
        sized = _chain(sized, position)
    return early + sized


def _chain(fills: list[Entry], position: PositionState) -> list[Entry]:
    """Return an order in which every fill starts at the size the one before left: an Euler path over sizes.

    The first reference wins where several orders are possible (Hierholzer's algorithm). Where facts are
    missing the chain has gaps: each further part starts at its own beginning, the part with the first
    reference first.
    """
    outgoing: dict[Decimal, list[Entry]] = defaultdict(list)
    for fill in reversed(fills):  # popped from the end: the first reference first
        outgoing[_before(fill)].append(fill)
    path: list[Entry] = []
    start = position.size
    while len(path) < len(fills):
        if not outgoing.get(start):
            start = _beginning(outgoing, position)
        path += _walk(start, outgoing, position)
    return path


def _walk(start: Decimal, outgoing: dict[Decimal, list[Entry]], position: PositionState) -> list[Entry]:
    """Use up every fill reachable from a size."""
    path: list[Entry] = []
    trail: list[tuple[Decimal, Entry | None]] = [(start, None)]
    while trail:
        here, came_by = trail[-1]
        if outgoing.get(here):
            fill = outgoing[here].pop()
            trail.append((_after(fill, position), fill))
        else:
            trail.pop()
            if came_by is not None:
                path.append(came_by)
    path.reverse()
    return path


def _beginning(outgoing: dict[Decimal, list[Entry]], position: PositionState) -> Decimal:
    """Return the size where the fills left begin: more of them leave it than reach it."""
    left = [fill for fills in outgoing.values() for fill in fills]
    surplus: dict[Decimal, int] = defaultdict(int)
    for fill in left:
        surplus[_before(fill)] += 1
        surplus[_after(fill, position)] -= 1
    sources = [fill for fill in left if surplus[_before(fill)] > 0]
    return _before(min(sources or left, key=lambda fill: fill.venue_ref))


def _before(fill: Entry) -> Decimal:
    return fill.position_before or ZERO


def _after(fill: Entry, position: PositionState) -> Decimal:
    quantity = fill.quantity or ZERO
    size = add(_before(fill), quantity if fill.side is Side.BUY else negate(quantity))
    if (
        position.contract.kind is ContractKind.SPOT
        and fill.fee
        and fill.fee_currency == position.contract.base
    ):
        return add(size, negate(fill.fee))
    return size
