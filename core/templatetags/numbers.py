"""How numbers read on a page. The same rules live in static/js/format.js; one table tests both.

Every filter takes a `Decimal` or its fixed-notation string. None (or "") is unknown and reads "—", never 0.
A number other than zero never reads as zero, and none reads in exponents. Rounding is half-even, for the
eye only: nothing shown is computed with again.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from django import template
from django.conf import settings

register = template.Library()

UNKNOWN = "—"
MINUS = "−"
NBSP = "\N{NO-BREAK SPACE}"
_CONTEXT = Context(prec=76, rounding=ROUND_HALF_EVEN)
_FINEST = 18  # the book's own precision
_SIZE_PLACES = 8  # a size finer than this is dust of arithmetic; its title shows all of it
_PRICE_DIGITS = 6  # significant digits of a price whose tick is unknown
FARTHEST = 1000  # percent to liquidation beyond which only that it is far matters
_BAR_FULL_AT = Decimal(25)  # percent to liquidation at which the bar is full
BAR_WIDTH = 58  # user units of the bar's SVG

Number = Decimal | str | int | None


@register.filter
def quantity(value: Number, step: Number = None) -> str:
    """A signed size: at least the instrument's size step, and all of its own digits up to 8 places."""
    number = _parse(value)
    if number is None:
        return UNKNOWN
    places = max(_places_of(step) or 0, min(_own_places(number), _SIZE_PLACES))
    return _fixed(number, places)


@register.filter
def multiple(value: Number) -> str:
    """A leverage: "5×"; nothing where it is unknown."""
    return "" if _parse(value) is None else f"{quantity(value)}×"


@register.filter
def price(value: Number, step: Number = None) -> str:
    """A price to its tick; six significant digits (at least 2 places) where the tick is unknown."""
    number = _parse(value)
    if number is None:
        return UNKNOWN
    places = _places_of(step)
    if places is None:
        wanted = min(max(2, _PRICE_DIGITS - 1 - number.adjusted()), _FINEST) if number else 2
        places = max(2, _own_places(_round(number, wanted)))
    return _fixed(number, places)


@register.filter
def money(value: Number) -> str:
    """An amount to the cent, "1,234.50"; smaller ones show two significant digits."""
    number = _parse(value)
    return UNKNOWN if number is None else _fixed(number, 2)


@register.filter
def whole(value: Number) -> str:
    """An amount where cents are noise: no places from 1,000 up, else to the cent."""
    number = _parse(value)
    if number is None:
        return UNKNOWN
    return _fixed(number, 0 if number.copy_abs() >= 1000 else 2)


@register.filter
def signed(value: Number) -> str:
    """A gain or loss to the cent with its sign always shown: "+1.22", "−4.70", "0.00"."""
    return _plus(_parse(value)) + money(value)


@register.filter
def moved(value: Number, currency: str | None) -> str:
    """What moved in a wallet, signed: to the cent in a par currency, else every digit of the coin."""
    if currency is None or currency in settings.PAR_CURRENCIES:
        return signed(value)
    return _plus(_parse(value)) + quantity(value)


@register.filter
def held(value: Number, currency: str | None) -> str:
    """What a wallet or a position holds: to the cent in a par currency, else every digit."""
    return money(value) if currency in settings.PAR_CURRENCIES else quantity(value)


@register.filter
def netted(value: Number) -> str:
    """A net amount with its sign always shown, no places from 1,000 up: "+173,076"."""
    return _plus(_parse(value)) + whole(value)


@register.filter
def percent(value: Number) -> str:
    """A signed change given in percent: "+1.22 %"."""
    number = _parse(value)
    if number is None:
        return UNKNOWN
    return f"{_plus(number)}{_minus(number)}{_round(number, 2).copy_abs():,f}{NBSP}%"


@register.filter
def distance(value: Number) -> str:
    """The way left to liquidation, given in percent of the mark: "15.9 %"; beyond 1,000 % nobody counts."""
    number = _parse(value)
    if number is None:
        return UNKNOWN
    if number > FARTHEST:
        return f">{NBSP}{FARTHEST:,}{NBSP}%"
    return f"{_minus(number)}{_round(number, 1).copy_abs():,f}{NBSP}%"


@register.filter
def bar(value: Number) -> int:
    """Width of the distance bar in user units, 0 to 58, full at 25 percent; 0 for unknown."""
    number = _parse(value)
    if number is None or number <= 0:
        return 0
    return int(_round(min(number / _BAR_FULL_AT, Decimal(1)) * BAR_WIDTH, 0))


@register.filter
def sign(value: Number) -> str:
    """Word for the sign, for the style sheet: "gain", "loss", "zero" or "unknown"."""
    number = _parse(value)
    if number is None:
        return "unknown"
    return "gain" if number > 0 else "loss" if number < 0 else "zero"


@register.filter
def negated(value: Number) -> str | None:
    """The opposite amount as a fact, for a cost that the page shows as what it did to the purse."""
    number = _parse(value)
    return None if number is None else f"{number.copy_negate() if number else number:f}"


@register.filter
def age(seconds: float | None) -> str:
    """How long ago in one unit, rounded down: "0 s", "41 s", "12 min", "5 h", "3 d"."""
    if seconds is None:
        return UNKNOWN
    whole_seconds = max(0, int(seconds))
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h")):
        if whole_seconds < limit:
            return f"{whole_seconds // size}{NBSP}{unit}"
    return f"{whole_seconds // 86_400}{NBSP}d"


@register.filter
def ago(at: datetime | str | None, now: datetime) -> str:
    """How long before `now` a time was (a datetime, or ISO 8601), as `age` reads it."""
    if not at:
        return UNKNOWN
    then = datetime.fromisoformat(at) if isinstance(at, str) else at
    return age((now - then).total_seconds())


def _parse(value: Number) -> Decimal | None:
    if value is None or value == "":
        return None
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"not a number that can be shown: {value!r}")
    return number


def _round(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), context=_CONTEXT)


def _own_places(number: Decimal) -> int:
    exponent = number.normalize(_CONTEXT).as_tuple().exponent
    return max(0, -int(exponent))


def _places_of(step: Number) -> int | None:
    size = _parse(step)
    return None if not size else _own_places(size)


def _fixed(number: Decimal, places: int) -> str:
    rounded = _round(number, places)
    if number and not rounded:
        rounded = _round(number, min(1 - number.adjusted(), _FINEST))
    return f"{_minus(number)}{rounded.copy_abs():,f}"


def _minus(number: Decimal) -> str:
    return MINUS if number < 0 else ""


def _plus(number: Decimal | None) -> str:
    return "+" if number is not None and number > 0 else ""
