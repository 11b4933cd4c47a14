"""Hedge mode: what belongs to an instrument, and which of its legs it belongs to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from positions.book.entries import SIZED_KINDS, Entry, Leg, Side
from positions.book.money import ZERO, add, negate, share, subtract
from positions.book.position import PositionState


class LegSizes:
    """The size of one leg over time."""

    def __init__(self, entries: Iterable[Entry], *, start: PositionState) -> None:
        self._times: list[datetime] = []
        self._sizes: list[Decimal] = [start.size]
        self._start = start.last_time
        for entry in sorted(entries, key=lambda entry: entry.time):
            if entry.kind in SIZED_KINDS and entry.quantity is not None:
                signed = entry.quantity if entry.side is Side.BUY else negate(entry.quantity)
                self._times.append(entry.time)
                self._sizes.append(add(self._sizes[-1], signed))

    def before(self, time: datetime) -> Decimal:
        """Return the signed size just before a time: funding of that time was paid on it."""
        return self._sizes[bisect_left(self._times, time)]

    def moved_before(self, time: datetime) -> datetime | None:
        """Return when the size last changed before a time; None if never."""
        index = bisect_left(self._times, time)
        return self._times[index - 1] if index else self._start


def split_by_leg(entry: Entry, *, sizes: Mapping[Leg, LegSizes]) -> tuple[Entry, ...]:
    """Split an entry without a leg into one per leg, pro rata to the legs' sizes before its time.

    The parts add up to the amount exactly. With every leg flat it belongs to the one that moved last (the
    last closed episode); if none ever did, to the first.
    """
    legs = list(sizes)
    weights = {leg: sizes[leg].before(entry.time).copy_abs() for leg in legs}
    holders = [leg for leg in legs if weights[leg]]
    if not holders:
        moved = {leg: sizes[leg].moved_before(entry.time) for leg in legs}
        ever = [(time, leg) for leg in legs if (time := moved[leg]) is not None]
        return (replace(entry, leg=max(ever, key=lambda pair: pair[0])[1] if ever else legs[0]),)
    parts = []
    rest, par_rest = entry.amount or ZERO, entry.par.amount if entry.par else ZERO
    left = sum_of(weights.values())
    for leg in holders:
        amount, par_amount = share(rest, weights[leg], left), share(par_rest, weights[leg], left)
        par = replace(entry.par, amount=par_amount) if entry.par else None
        parts.append(replace(entry, leg=leg, amount=amount, par=par))
        rest, par_rest = subtract(rest, amount), subtract(par_rest, par_amount)
        left = subtract(left, weights[leg])
    return tuple(parts)


def sum_of(numbers: Iterable[Decimal]) -> Decimal:
    """Return the exact sum, whatever the thread's context."""
    total = ZERO
    for number in numbers:
        total = add(total, number)
    return total
