"""The book held against a venue's report: differences by leg. Pure; nothing is judged here, only named.

A leg that the report did not observe gives UNKNOWN, never a difference: not observed is not flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Kind(StrEnum):
    """What differs."""

    MISSING_IN_BOOK = "missing_in_book"
    MISSING_AT_VENUE = "missing_at_venue"
    QUANTITY = "quantity"
    ENTRY_PRICE = "entry_price"


@dataclass(frozen=True, slots=True)
class LegKey:
    """One leg of one account: the venue's symbol, and net, long or short."""

    venue_symbol: str
    leg: str


@dataclass(frozen=True, slots=True)
class LegState:
    """Signed quantity in units, and the average entry price (None = unknown)."""

    quantity: Decimal
    entry_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Of one instrument: half a step of quantity; a tick, or a share of the price, of the entry price."""

    quantity_step: Decimal | None
    price_tick: Decimal | None
    entry_price_share: Decimal = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Difference:
    """What the book says, what the venue says, and venue − book, in units or in price."""

    kind: Kind
    book: Decimal | None
    venue: Decimal | None

    @property
    def amount(self) -> Decimal:
        return (self.venue or Decimal(0)) - (self.book or Decimal(0))


@dataclass(frozen=True, slots=True)
class LegResult:
    """One leg's outcome. `observed` False: the report says nothing about it."""

    key: LegKey
    observed: bool
    differences: tuple[Difference, ...]


def compare(
    *,
    book: Mapping[LegKey, LegState],
    venue: Mapping[LegKey, LegState],
    observed: Iterable[LegKey],
    tolerances: Mapping[str, Tolerance],
) -> list[LegResult]:
    """Return one result for each leg that either side holds or the report proves, in a stable order.

    `observed` names the legs that the report proves, an absent one being flat. Raises KeyError for a venue
    symbol without a tolerance: which units it has is then unknown.
    """
    proven = set(observed)
    keys = sorted(proven | set(book) | set(venue), key=lambda key: (key.venue_symbol, key.leg))
    results = []
    for key in keys:
        if key not in proven:
            results.append(LegResult(key, observed=False, differences=()))
            continue
        found = differences(book.get(key), venue.get(key), tolerances[key.venue_symbol])
        results.append(LegResult(key, observed=True, differences=tuple(found)))
    return results


def differences(book: LegState | None, venue: LegState | None, tolerance: Tolerance) -> list[Difference]:
    """Name how two views of one leg differ; nothing where both are flat or agree."""
    ours = book.quantity if book else Decimal(0)
    theirs = venue.quantity if venue else Decimal(0)
    if ours != theirs and abs(theirs - ours) >= (tolerance.quantity_step or Decimal(0)) / 2:
        kind = Kind.QUANTITY
        if not ours:
            kind = Kind.MISSING_IN_BOOK
        elif not theirs:
            kind = Kind.MISSING_AT_VENUE
        return [Difference(kind, ours, theirs)]
    if not ours or book is None or venue is None:
        return []
    return _entry_price(book.entry_price, venue.entry_price, tolerance)


def _entry_price(ours: Decimal | None, theirs: Decimal | None, tolerance: Tolerance) -> list[Difference]:
    if ours is None or theirs is None:
        return []
    allowed = max(tolerance.price_tick or Decimal(0), abs(ours) * tolerance.entry_price_share)
    return [Difference(Kind.ENTRY_PRICE, ours, theirs)] if abs(theirs - ours) > allowed else []
