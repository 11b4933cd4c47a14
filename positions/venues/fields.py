"""Fields of a venue's rows as exact numbers and aware times. Pure.

Unknown is None; a field that cannot be read raises InvalidField.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from positions.book.money import MAX_DECIMALS, divide, multiply, rounded, subtract

# Powers of ten: what the book can hold, and far below what anybody counts in.
LARGEST, SMALLEST = 19, -60
_MILLION = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2009, 1, 3, tzinfo=UTC)
_UNKNOWN = ("", "None", "null", "undefined")


class InvalidField(ValueError):
    """A field of a row is not what it must be. Names the field."""


def number(value: Any, field: str = "value", *, step: Decimal | None = None) -> Decimal | None:
    """The exact number, or None for what venues write when they do not know (null, empty string).

    A float (only ccxt's own arithmetic makes one) counts as the digits it prints. What has more than 18
    decimals is rounded, see Note [Decimals]; `step` is what the venue counts this number in. Raises
    InvalidField.
    """
    if value is None or (isinstance(value, str) and value in _UNKNOWN):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise InvalidField(f"{field} is {type(value).__name__} {value!r}, not a number")
    try:
        result = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise InvalidField(f"{field} is {value!r}, not a number") from None
    if not result.is_finite():
        raise InvalidField(f"{field} is {value!r}, not a finite number")
    if result and not SMALLEST <= result.adjusted() <= LARGEST:
        raise InvalidField(f"{field} is {str(value)[:40]!r}: no price and no amount is of that size")
    return booked(result, step=step)


def booked(value: Decimal, *, step: Decimal | None = None) -> Decimal:
    """Return a number as the book can keep it.

    Note [Decimals]: the book keeps 18 decimals. A number with more is what is left of the venue's binary
    arithmetic (0.30000000000000004441) or an amount of a token with more. It becomes the multiple of the
    venue's own step that it is within a millionth of a step from; else it is rounded half-even to 18 places.
    Every number of a venue passes here, so that facts and reports agree on the digits.
    """
    if int(value.as_tuple().exponent) >= -MAX_DECIMALS:
        return value
    if step is not None and step > 0:
        multiple = multiply(divide(value, step).to_integral_value(ROUND_HALF_EVEN), step)
        if abs(subtract(multiple, value)) * _MILLION <= step:
            return rounded(multiple)
    return rounded(value)


def is_zero(value: Any) -> bool:
    """Whether a number says exactly zero, and not only less than the book can hold."""
    return not Decimal(repr(value) if isinstance(value, float) else value)


def required(row: Mapping[str, Any], field: str, *, step: Decimal | None = None) -> Decimal:
    """Return the number in a field that must be known. Raises InvalidField."""
    value = number(row.get(field), field, step=step)
    if value is None:
        raise InvalidField(f"{field} is missing")
    return value


def optional(row: Mapping[str, Any], field: str, *, step: Decimal | None = None) -> Decimal | None:
    """Return the number in a field, or None when the venue gives none. Raises InvalidField for junk."""
    return number(row.get(field), field, step=step)


def positive_or_none(value: Decimal | None) -> Decimal | None:
    """Return a price, or None for the 0 or negative number that venues write for "none"."""
    return value if value is not None and value > 0 else None


def moment(milliseconds: Any, field: str = "time") -> datetime:
    """Milliseconds since the epoch as an aware UTC time, exactly. Raises InvalidField, also for what must be
    seconds or microseconds: nothing here is older than the first coin.
    """
    value = number(milliseconds, field)
    if value is None:
        raise InvalidField(f"{field} is missing")
    try:
        time = EPOCH + timedelta(milliseconds=int(value))
    except (OverflowError, ValueError):
        time = EPOCH
    if time < EARLIEST:
        raise InvalidField(f"{field} is {milliseconds!r}, not a time in milliseconds")
    return time


def milliseconds(time: datetime) -> int:
    """An aware time as whole milliseconds since the epoch."""
    return (time - EPOCH) // timedelta(milliseconds=1)


def text(row: Mapping[str, Any], field: str) -> str:
    """A string that must be there. Raises InvalidField."""
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise InvalidField(f"{field} is {value!r}, not a text")
    return value
