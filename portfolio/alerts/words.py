"""How numbers and times read in alerts: one line of plain text, for mails, pages and logs. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

_CONTEXT = Context(prec=76, rounding=ROUND_HALF_EVEN)
UNKNOWN = "unknown"
MOST_PLACES = 8


def amount(value: Decimal | None, *, places: int | None = None) -> str:
    """Return an amount with separated thousands and at least `places` digits after the point."""
    if value is None:
        return UNKNOWN
    digits = max(places or 0, min(own_places(value), MOST_PLACES))
    rounded = value.quantize(Decimal(1).scaleb(-digits), context=_CONTEXT)
    return f"{'−' if rounded < 0 else ''}{rounded.copy_abs():,f}"


def both(one: Decimal | None, other: Decimal | None) -> tuple[str, str]:
    """Return two amounts with the same number of places."""
    places = max(min(own_places(value), MOST_PLACES) for value in (one or Decimal(0), other or Decimal(0)))
    return amount(one, places=places), amount(other, places=places)


def usd(value: Decimal | None) -> str:
    """Return an amount of USD to the cent; "an unknown amount" where nobody knows."""
    if value is None:
        return "an unknown amount"
    return f"{'−' if value < 0 else ''}{value.copy_abs().quantize(Decimal('0.01'), context=_CONTEXT):,f} USD"


def percent(value: Decimal | None) -> str:
    """Return a percentage to a tenth."""
    if value is None:
        return UNKNOWN
    rounded = value.quantize(Decimal("0.1"), context=_CONTEXT)
    return f"{'−' if rounded < 0 else ''}{rounded.copy_abs():,f} %"


def clock(at: datetime | None) -> str:
    """Return a time of day in UTC, with its day."""
    return "never" if at is None else f"{at:%-d %b %H:%M:%S} UTC"


def ago(at: datetime, now: datetime) -> str:
    """Return how long ago a time was."""
    return lasted(now - at)


def lasted(time: timedelta) -> str:
    """Return a length of time in its largest unit: "41 s", "12 min", "5 h", "3 d"."""
    seconds = max(0, int(time.total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"


def own_places(value: Decimal) -> int:
    """Return how many digits after the point an amount needs."""
    exponent = value.normalize(_CONTEXT).as_tuple().exponent
    return max(0, -int(exponent))
