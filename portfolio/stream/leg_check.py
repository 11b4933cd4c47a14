"""Whether what a stream states of legs is what the book says. Pure.

Note [Two looks]: a fill may be on its way, or a report older than the book. So a difference counts when a
leg whose quantity stands still shows the very same one twice, `STILL` apart. A leg that trades without pause
never stands still: when it is off by the same in two looks, `STILL` apart, or has differed in every look for
`RESTLESS`, it is for a reconciliation to say, which holds a report against the book as of the report's time;
and again each `RESTLESS`, for as long as it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from positions.venues.base import Report

ZERO = Decimal(0)
Key = tuple[str, str]
Legs = dict[Key, Decimal]
"""Signed quantity by (venue symbol, leg); what is flat is left out."""

# Longer than the time between two frames of state. Monotonic seconds, as all times here.
STILL = 1.5
RESTLESS = 8.0
# A difference may come from the book's side, too: somebody edits it.
LOOK_AT_LEAST_EVERY = 5.0


class Booked(NamedTuple):
    """Of an open leg: signed quantity, scope, average entry price (None: unknown)."""

    quantity: Decimal
    scope: str = ""
    entry_price: Decimal | None = None


class Difference(NamedTuple):
    """What differs ("quantity" or "entry price"), as stated and as booked; a price may be unknown."""

    what: str
    stated: Decimal | None
    booked: Decimal | None

    @property
    def off(self) -> Decimal | None:
        """What a quantity is off by: on a leg that trades on, that stays the same. None: of a price."""
        if self.what != "quantity" or self.stated is None or self.booked is None:
            return None
        return self.stated - self.booked


Book = Mapping[Key, Booked]
Differences = dict[Key, Difference]


def quantities(report: Report) -> Legs:
    """Return what the report states of each leg."""
    return {(row.venue_symbol, row.leg.value): row.quantity for row in report.positions if row.quantity}


def differing(report: Report, book: Book, *, entry_share: Decimal | None = None) -> Differences:
    """Return the legs of which this report proves something else than the book says.

    Entry prices differ when they are further apart than `entry_share` of ours; None: they are not comparable.
    """
    found: Differences = {}
    for row in report.positions:
        key = row.venue_symbol, row.leg.value
        held = book.get(key, Booked(ZERO))
        if row.quantity != held.quantity:
            found[key] = Difference("quantity", row.quantity, held.quantity)
        elif entry_share is not None and _apart(row.entry_price, held.entry_price, entry_share):
            found[key] = Difference("entry price", row.entry_price, held.entry_price)
    stated = quantities(report)
    for key, held in book.items():
        if key not in stated and held.quantity and report.observed(key[0], scope=held.scope):
            found[key] = Difference("quantity", ZERO, held.quantity)
    return found


def _apart(stated: Decimal | None, booked: Decimal | None, share: Decimal) -> bool:
    return stated is not None and booked is not None and abs(stated - booked) > abs(booked) * share


@dataclass(slots=True)
class _Suspicion:
    """A leg that differs: since when at all, in the very same way, by the same; and when that was told."""

    differs_since: float
    same_since: float
    off_since: float
    difference: Difference
    told_at: float = float("-inf")

    def seen(self, difference: Difference, *, at: float, moves: bool) -> None:
        """The leg differs still; `moves`: its quantity does not stand still."""
        if difference.off is None or difference.off != self.difference.off:
            self.off_since = at
        if moves or difference != self.difference:
            self.same_since = at
        self.difference = difference

    def is_restless(self, *, at: float) -> bool:
        """Whether a reconciliation is to say what it is."""
        lasts = at - self.off_since >= STILL or at - self.differs_since >= RESTLESS
        return lasts and at - self.told_at >= RESTLESS


class Found(NamedTuple):
    """`certain`: of legs that stand still. `restless`: of legs that never do."""

    certain: Differences
    restless: Differences


class Comparison:
    """Which streamed reports to hold against the book, and which differences count. See Note [Two looks].

    Each difference is told once; again when it has become another one, or was over in between.
    """

    def __init__(self) -> None:
        self._latest: dict[tuple[str, ...], Report] = {}
        self._superseded: set[tuple[str, ...]] = set()
        self._looked_at: dict[tuple[str, ...], float] = {}
        self._moved_at: dict[Key, float] = {}
        self._moved_last: dict[tuple[str, ...], float] = {}
        self._suspected: dict[tuple[str, ...], dict[Key, _Suspicion]] = {}
        self._told: dict[tuple[str, ...], Differences] = {}

    def saw(self, report: Report, *, at: float) -> None:
        """A report came. Whatever told of a part of it before is old now, and not looked at any more."""
        scopes = tuple(scope.name for scope in report.scopes)
        self._superseded -= {scopes}
        self._superseded |= {one for one in self._latest if one != scopes and not {*one}.isdisjoint(scopes)}
        before = self._latest.get(scopes)
        known, legs = quantities(before) if before else {}, quantities(report)
        for key in known.keys() | legs.keys():
            if known.get(key) != legs.get(key):
                self._moved_at[key] = self._moved_last[scopes] = at
        self._latest[scopes] = report
        self._looked_at.setdefault(scopes, at)

    def due(self, *, at: float) -> list[Report]:
        """Return the newest report of each part that is to be looked at now."""
        return [
            self._latest[scopes]
            for scopes, looked_at in self._looked_at.items()
            if scopes not in self._superseded and at - looked_at >= self._every(scopes, looked_at)
        ]

    def _every(self, scopes: tuple[str, ...], looked_at: float) -> float:
        moved = self._moved_last.get(scopes, float("-inf")) >= looked_at
        return STILL if moved or self._suspected.get(scopes) else LOOK_AT_LEAST_EVERY

    def judge(self, report: Report, found: Differences, *, at: float) -> Found:
        """Take what `differing` found in a report that was due; return what counts and was not told yet."""
        scopes = tuple(scope.name for scope in report.scopes)
        self._looked_at[scopes] = at
        before, told = self._suspected.get(scopes, {}), self._told.get(scopes, {})
        certain: Differences = {}
        restless: Differences = {}
        suspected: dict[Key, _Suspicion] = {}
        for key, difference in found.items():
            if told.get(key) == difference:
                continue
            one = before.get(key) or _Suspicion(at, at, at, difference)
            one.seen(difference, at=at, moves=at - self._moved_at.get(key, float("-inf")) < STILL)
            if at - one.same_since >= STILL:
                certain[key] = difference
                continue
            if one.is_restless(at=at):
                restless[key], one.told_at = difference, at
            suspected[key] = one
        self._suspected[scopes] = suspected
        self._told[scopes] = {key: value for key, value in told.items() if found.get(key) == value} | certain
        return Found(certain, restless)
