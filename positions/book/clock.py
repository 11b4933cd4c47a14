"""Fills whose times contradict their chain of positions, because the venue's clock jumped back. Pure.

Note [Clock]: the book orders by time. A venue whose clock is set back (an NTP step) gives a fill an earlier
time than the one before it; where it also states the position before each fill, that chain tells the true
order. Such a fill gets an amend of its time to that of the fill before it: the two then share a time, and
facts that share one are ordered by the chain (order.py). So the order is a fact of the book, which every
fold, whatever of the past it begins from, sees alike.

A break of the chain is as often a fill that is missing. So fills are moved only where the chain before them
is whole, and all of them, within `WITHIN`, make one chain from there: with a fill missing they do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise

from positions.book.entries import Entry, Kind, Leg, Side
from positions.book.money import add, negate

WITHIN = timedelta(minutes=10)
MOST = 64
"""How many fills are put into another order at once."""


def time_amends(entries: Iterable[Entry]) -> list[Entry]:
    """Return the amends of time that put fills into the order of their chains; none where times agree."""
    keys: dict[tuple[str | None, Leg | None], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind is Kind.FILL and entry.position_before is not None:
            keys[entry.instrument, entry.leg].append(entry)
    return [amend for fills in keys.values() for amend in _amends(true_order(fills))]


def true_order(fills: Iterable[Entry]) -> list[Entry]:
    """Return fills of one key by time, and by their chain where that contradicts the times."""
    done: list[Entry] = []
    moments = [list(group) for _, group in groupby(sorted(fills, key=_place), key=_time)]
    for group, following in zip(moments, [*moments[1:], []], strict=True):
        done += _one_moment(group, _after(done[-1]) if done else None, following)
        if len(done) > 1 and not _is_chained(done[-2:]):
            _put_right(done)
    return done


def _one_moment(group: list[Entry], start: Decimal | None, following: list[Entry]) -> list[Entry]:
    """Return the fills of one time as a chain: from a size, else from wherever they make one."""
    if len(group) == 1 or len(group) > MOST:
        return group
    chain = None if start is None else _chain(group, start)
    return chain or _own_chain(group, following) or group


def _own_chain(group: list[Entry], following: list[Entry]) -> list[Entry] | None:
    """Return the fills as one chain. One that ends where it began has several beginnings: the fills that
    follow tell which; None: they are no chain.
    """
    begins = dict.fromkeys(_before(fill) for fill in group)
    found = [chain for start in begins if (chain := _chain(group, start)) is not None]
    goes_on = {_before(fill) for fill in following}
    fitting = [chain for chain in found if _after(chain[-1]) in goes_on]
    return next(iter([*fitting, *found]), None)


def _put_right(done: list[Entry]) -> None:
    """Order the last fills anew, from the nearest whole chain from which all of them follow."""
    newest = max(fill.time for fill in done[-2:])
    for first in range(len(done) - 1, 0, -1):
        if len(done) - first > MOST or newest - done[first].time > WITHIN:
            return
        if first > 1 and not _is_chained(done[first - 2 : first]):
            continue  # what is before is not whole: it is to be put right too, or a fill is missing there
        if first == 1 and done[0].time == done[1].time:
            continue  # nothing tells that the first of one moment is the first
        chain = _chain(done[first:], _after(done[first - 1]))
        if chain is not None:
            done[first:] = chain
            return


def _chain(fills: Sequence[Entry], start: Decimal) -> list[Entry] | None:
    """Return the fills as one chain from a size, the earliest first where several can follow; None: no chain.

    Each fill is an edge from the size before to the size after it: an Euler path (Hierholzer's algorithm).
    """
    leaving: dict[Decimal, list[Entry]] = defaultdict(list)
    for fill in sorted(fills, key=_place, reverse=True):
        leaving[_before(fill)].append(fill)
    path: list[Entry] = []
    trail: list[tuple[Decimal, Entry | None]] = [(start, None)]
    while trail:
        here, came_by = trail[-1]
        if leaving.get(here):
            fill = leaving[here].pop()
            trail.append((_after(fill), fill))
        else:
            trail.pop()
            if came_by is not None:
                path.append(came_by)
    path.reverse()
    whole = len(path) == len(fills) and _before(path[0]) == start and _is_chained(path)
    return path if whole else None


def _amends(fills: list[Entry]) -> list[Entry]:
    amends = []
    latest: datetime | None = None
    for fill in fills:
        if latest is not None and fill.time < latest:
            amends.append(
                Entry(
                    kind=Kind.AMEND,
                    venue_ref=f"clock:{fill.venue_ref}:{latest:%Y%m%dT%H%M%S.%f}",
                    time=latest,
                    instrument=fill.instrument,
                    leg=fill.leg,
                    target=fill.venue_ref,
                    amended_time=latest,
                    reason="the venue's clock jumped back: its positions tell the order",
                )
            )
        else:
            latest = fill.time
    return amends


def _is_chained(fills: Sequence[Entry]) -> bool:
    return all(_after(fill) == _before(following) for fill, following in pairwise(fills))


def _time(fill: Entry) -> datetime:
    return fill.time


def _place(fill: Entry) -> tuple[datetime, str]:
    return fill.time, fill.venue_ref


def _before(fill: Entry) -> Decimal:
    return fill.position_before or Decimal(0)


def _after(fill: Entry) -> Decimal:
    quantity = fill.quantity or Decimal(0)
    return add(_before(fill), quantity if fill.side is Side.BUY else negate(quantity))
