"""Fills that nobody has seen, derived from a venue's position. Pure.

Note [Price of 18 places]: the price that makes an average exactly is often no finite decimal. It is rounded
to the places that the book keeps; the average is then off by a unit or two of the last place.

Signed quantities (short is negative), in units; averages and prices are unsigned; None is unknown. Rules:
docs/reconciliation.md, after NautilusTrader's reconciliation, with one departure: a reduction on the same
side cannot move an average, so a different average there is reported as such and prices nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum

from positions.book import plain
from positions.book.money import rounded

ZERO = Decimal(0)
PRECISION = 76
JUST_BEFORE = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def inferred_price(
    *, quantity: Decimal, average: Decimal | None, target: Decimal, target_average: Decimal | None
) -> Decimal | None:
    """Return the price at which the missing fill makes the venue's average; None where none can.

    To flat: the current average (no profit is invented). From flat or through a flip: the target average.
    Increase: (target × target_average − quantity × average) / (target − quantity), if positive. Reduction:
    the current average, if the venue's agrees with it or is not said.
    """
    if target == quantity:
        return None
    if not target:
        return average
    if not quantity or quantity * target < 0:
        return target_average or None
    if abs(target) < abs(quantity):
        return average if target_average in (None, average) else None
    if not target_average or average is None:
        return None
    with localcontext() as context:
        context.prec = PRECISION
        price = rounded((target * target_average - quantity * average) / (target - quantity))
    return price if price > 0 else None


@dataclass(frozen=True, slots=True)
class MissingFill:
    """One fill that must have happened: signed quantity, price (None = unknown)."""

    quantity: Decimal
    price: Decimal | None


def missing_fills(
    *,
    quantity: Decimal,
    average: Decimal | None,
    target: Decimal,
    target_average: Decimal | None,
    step: Decimal | None = None,
    quote: tuple[Decimal, Decimal] | None = None,
) -> list[MissingFill]:
    """Return the fills that lead from the book's position to the venue's: none, one, or the halves of a flip.

    `quote` (bid, ask) prices what the averages cannot. Less than half a `step` is no fill.
    """
    delta = target - quantity
    if not delta or abs(delta) < (step or ZERO) / 2:
        return []
    price = inferred_price(quantity=quantity, average=average, target=target, target_average=target_average)
    price = price if price is not None else _of(quote, delta)
    halves = [-quantity, target] if quantity * target < 0 else [delta]
    return [MissingFill(half, price) for half in halves]


def _of(quote: tuple[Decimal, Decimal] | None, quantity: Decimal) -> Decimal | None:
    if quote is None:
        return None
    return quote[1] if quantity > 0 else quote[0]


def order_gap(*, booked: Decimal, filled: Decimal) -> Decimal:
    """Return how much of an order is not booked yet.

    Raises ValueError when the venue states less than is booked: nothing is ever taken back for that.
    """
    if filled < booked:
        raise ValueError(f"the venue says {filled} filled, {booked} are booked")
    return filled - booked


def reference(
    *,
    account: int,
    instrument: str,
    leg: str,
    last_ref: str,
    book: Decimal,
    target: Decimal,
    undone: int,
    half: str = "",
) -> str:
    """Return the reference of an inferred fill: the same event gives the same one, in any process, any time.

    `last_ref` is the leg's last real reference; `undone` counts earlier inferred fills with the same inputs
    that were busted or reversed; `half` tells the halves of a flip apart.
    """
    parts = (str(account), instrument, leg, last_ref, plain(book), plain(target), str(undone), half)
    digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
    return f"inferred:{instrument}:{digest}"


# Tolerances of other engines, as parameters -----------------------------------------------------------------


def quantities_match(a: Decimal, b: Decimal, *, units: Decimal = ZERO) -> bool:
    """Return whether two signed quantities agree within `units`, inclusive."""
    return abs(a - b) <= units


def positions_match(
    *, quantity: Decimal, open_value: Decimal, venue: Decimal, venue_average: Decimal, tolerance: Decimal
) -> bool:
    """Return whether sizes are equal, and averages within a relative tolerance of the venue's, inclusive."""
    if quantity != venue:
        return False
    if not quantity:
        return True
    if not venue_average:
        return False
    return abs(open_value / abs(quantity) - venue_average) <= tolerance * venue_average


# A window of fills that does not reach back to the beginning ------------------------------------------------


@dataclass(frozen=True, slots=True)
class WindowFill:
    """A fill of the window: signed quantity, price, time, the venue's order."""

    quantity: Decimal
    price: Decimal
    time: datetime
    order: str = ""


@dataclass(frozen=True, slots=True)
class FillSimulation:
    """The result of fills from flat: signed quantity, its cost, and when each lifecycle ended."""

    quantity: Decimal
    open_value: Decimal
    crossings: tuple[datetime, ...]
    flats: tuple[int, ...]


def simulate(fills: Sequence[WindowFill]) -> FillSimulation:
    """Fold fills, by time, from flat, at average cost. A flip is a crossing, but no flat."""
    quantity = value = ZERO
    crossings, flats = [], []
    with localcontext() as context:
        context.prec = PRECISION
        for index, fill in enumerate(sorted(fills, key=lambda one: one.time)):
            after = quantity + fill.quantity
            if quantity * fill.quantity >= 0:
                value += abs(fill.quantity) * fill.price
            elif after * quantity > 0:
                value = value * after / quantity
            else:
                value = abs(after) * fill.price
                crossings.append(fill.time)
                if not after:
                    flats.append(index)
            quantity = after
    return FillSimulation(quantity, value, tuple(crossings), tuple(flats))


def opening_price(
    fills: Sequence[WindowFill], *, lot: Decimal, target_average: Decimal | None
) -> Decimal | None:
    """Return what a lot held before these fills cost, so that all together have the venue's average.

    The cost left in the end is linear in the lot's price. None where the lot was closed meanwhile (then any
    price does), or only a price of 0 or less would do.
    """
    if target_average is None:
        return None
    before = min((fill.time for fill in fills), default=EPOCH) - JUST_BEFORE
    free = simulate([WindowFill(lot, ZERO, before), *fills])
    with localcontext() as context:
        context.prec = PRECISION
        slope = simulate([WindowFill(lot, Decimal(1), before), *fills]).open_value - free.open_value
        if not slope:
            return None
        price = rounded((target_average * abs(free.quantity) - free.open_value) / slope)
    return price if price > 0 else None


class WindowMeaning(StrEnum):
    """What a window of fills means for a position that the venue states."""

    CONSISTENT = "consistent"
    OPENING = "opening"
    CURRENT = "current"
    MISMATCHED = "mismatched"


@dataclass(frozen=True, slots=True)
class WindowAssessment:
    """CONSISTENT: it explains the position. OPENING: a lot before it does. CURRENT: only the fills since the
    last flat count, and explain it. MISMATCHED: the current lifecycle does not lead there; what would.

    `opening` is the lot or replacement and `opening_at` its time; `since` the last flat; `count` and `order`
    (the first one's) of the fills since then.
    """

    window: WindowMeaning
    opening: MissingFill | None = None
    opening_at: datetime | None = None
    since: datetime | None = None
    count: int = 0
    order: str = ""


def assess(
    fills: Sequence[WindowFill],
    *,
    venue: Decimal,
    venue_average: Decimal,
    tolerance: Decimal,
    hedged: bool = False,
) -> WindowAssessment:
    """Return whether a window explains the venue's position, and what would. Books nothing.

    For a `hedged` instrument nothing is derived: what one leg lacks may be the other's.
    """
    ordered = sorted(fills, key=lambda one: one.time)
    if hedged or not ordered or not venue:
        return WindowAssessment(WindowMeaning.CONSISTENT)
    flats = simulate(ordered).flats
    current = ordered[flats[-1] + 1 :] if flats else ordered
    found = simulate(current)
    explained = positions_match(
        quantity=found.quantity,
        open_value=found.open_value,
        venue=venue,
        venue_average=venue_average,
        tolerance=tolerance,
    )
    since = ordered[flats[-1]].time if flats else None
    order = current[0].order if current else ""
    if explained and not flats:
        return WindowAssessment(WindowMeaning.CONSISTENT, count=len(current), order=order)
    if explained:
        return WindowAssessment(WindowMeaning.CURRENT, since=since, count=len(current), order=order)
    at = max((current or ordered)[0].time - JUST_BEFORE, EPOCH)
    if flats:
        lot = MissingFill(venue, venue_average)
        return WindowAssessment(WindowMeaning.MISMATCHED, lot, at, since, len(current), order)
    lot = MissingFill(venue - found.quantity, _opening_price(found, venue, venue_average))
    return WindowAssessment(WindowMeaning.OPENING, lot, at, None, len(current), order)


def _opening_price(found: FillSimulation, venue: Decimal, venue_average: Decimal) -> Decimal | None:
    average = found.open_value / abs(found.quantity) if found.quantity else None
    return inferred_price(
        quantity=found.quantity, average=average, target=venue, target_average=venue_average
    )
