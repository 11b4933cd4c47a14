"""Facts near a wallet's T0 that its opening balance has in it though it should not, or lacks. Pure.

Note [T0 is an interval]: an opening balance is what the venue stated around T0. Clocks differ, and a venue
may count a fill a moment before or after the time that the fill carries. So facts near T0 may be in the
balance and in the facts (counted twice), or in neither. The first comparison decides: where what is off
equals, to the cent, the sum of the facts next to T0, these are the ones. Amounts are signed, + into the
wallet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

ZERO = Decimal(0)
NEAR = timedelta(seconds=10)
"""Clocks are off by seconds at most, and so is a venue's count."""


class Move(Protocol):
    """One fact's effect on the wallet; an `amount` of None is unknown."""

    @property
    def ref(self) -> str: ...
    @property
    def time(self) -> datetime: ...
    @property
    def amount(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class OpeningOverlap:
    """The facts that explain a difference. `twice`: in the opening balance and as facts; else in neither."""

    refs: tuple[str, ...]
    twice: bool


def opening_overlap(
    *, missing: Decimal, moves: Sequence[Move], opened_at: datetime, allowed: Decimal
) -> OpeningOverlap | None:
    """Return the facts next to T0 whose sum is what the book lacks (`missing`, venue − book); None: none are.

    `moves` are by time. After T0 the first ones may be counted twice; up to T0 the last ones may be in
    neither. An unknown amount ends a sum.
    """
    if abs(missing) <= allowed:
        return None
    later = [one for one in moves if opened_at < one.time <= opened_at + NEAR]
    earlier = [one for one in reversed(moves) if opened_at - NEAR <= one.time <= opened_at]
    twice = _prefix(later, total=-missing, allowed=allowed)
    if twice:
        return OpeningOverlap(twice, twice=True)
    neither = _prefix(earlier, total=missing, allowed=allowed)
    return OpeningOverlap(neither, twice=False) if neither else None


def _prefix(moves: Sequence[Move], *, total: Decimal, allowed: Decimal) -> tuple[str, ...]:
    """Return the references of the first moves that add up to a total; none if they never do."""
    held = ZERO
    for number, one in enumerate(moves, start=1):
        if one.amount is None:
            return ()
        held += one.amount
        if abs(held - total) <= allowed:
            return tuple(known.ref for known in moves[:number])
    return ()
