"""Which of several prices of an instrument counts, and when it is stale or no longer known. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

# The venue's own mark, then its mid, then its last trade; any other source is a reference venue's name.
RANK = {"mark": 0, "mid": 1, "last": 2, "stream": 2, "close": 2}
REFERENCE_RANK = 3
# A better kind of price wins only while it is about as new as the others: a frozen mark must not hide a move.
ABOUT_AS_NEW = timedelta(seconds=5)
STALE_AFTER = timedelta(seconds=30)


class Freshness(StrEnum):
    """How far a price may be believed: shown as it is, shown grey with its age, or not shown at all."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Quote:
    """A price of one instrument, in its quote currency: which price (`RANK`, or a venue), as of when."""

    price: Decimal
    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DisplayPrice:
    """What to show. `price` is None when UNKNOWN; `at` is then the time of the last known price, or None."""

    freshness: Freshness
    price: Decimal | None
    source: str | None
    at: datetime | None


def best(*, quotes: Iterable[Quote]) -> Quote | None:
    """Return the quote that counts: venue mark → mid → last → reference, of those about as new as the newest.

    So the last known one remains when nothing newer comes. None: there is none.
    """
    known = list(quotes)
    if not known:
        return None
    newest = max(quote.at for quote in known)
    recent = [quote for quote in known if newest - quote.at <= ABOUT_AS_NEW]
    return min(recent, key=lambda quote: (RANK.get(quote.source, REFERENCE_RANK), newest - quote.at))


def shown(*, quotes: Iterable[Quote], now: datetime, unknown_after: timedelta) -> DisplayPrice:
    """Return what a page may show of a price: fresh up to 30 s, stale up to `unknown_after`, then unknown."""
    quote = best(quotes=quotes)
    if quote is None:
        return DisplayPrice(Freshness.UNKNOWN, None, None, None)
    age = now - quote.at
    if age > unknown_after:
        return DisplayPrice(Freshness.UNKNOWN, None, quote.source, quote.at)
    return DisplayPrice(
        Freshness.STALE if age > STALE_AFTER else Freshness.FRESH, quote.price, quote.source, quote.at
    )
