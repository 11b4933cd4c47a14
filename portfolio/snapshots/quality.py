"""PURE: what was stale or unknown when a snapshot was taken."""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """The inputs that were not as they should be; 0 is complete. Stored: bits are never reused."""

    COMPLETE = 0
    MARK_STALE = 1
    MARK_UNKNOWN = 2
    COST_UNKNOWN = 4
    CASH_UNKNOWN = 8
    FEED_STALE = 16
    OTHER_CURRENCY = 32
    FAILED = 64


STALE = Quality.MARK_STALE | Quality.FEED_STALE
UNKNOWN = Quality.MARK_UNKNOWN | Quality.COST_UNKNOWN | Quality.CASH_UNKNOWN | Quality.FAILED

_LABELS = {
    Quality.MARK_STALE: ("mark_stale", "a price is old"),
    Quality.MARK_UNKNOWN: ("mark_unknown", "a price is not known"),
    Quality.COST_UNKNOWN: ("cost_unknown", "a cost, fee or price of a fill is not known"),
    Quality.CASH_UNKNOWN: ("cash_unknown", "a balance is not known"),
    Quality.FEED_STALE: ("feed_stale", "a feed is silent"),
    Quality.OTHER_CURRENCY: ("other_currency", "an amount in another currency is left out"),
    Quality.FAILED: ("failed", "an account could not be added up"),
}


def names(bits: int) -> list[str]:
    """Return the API's words for what was wrong; [] when all was complete."""
    return [_LABELS[one][0] for one in _LABELS if bits & one]


def text(bits: int) -> str:
    """Return it as people read it: "complete", or what was stale or unknown."""
    return ", ".join(_LABELS[one][1] for one in _LABELS if bits & one) or "complete"
