"""Exact numbers: one decimal context, one quantum, and the parsing that refuses what cannot be booked."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

CONTEXT = Context(
    prec=76,
    rounding=ROUND_HALF_EVEN,
    Emin=-999999,
    Emax=999999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""Wide enough that a product of two numeric(38,18) is exact. Never the thread's default: a web worker, a
Celery task and a test may each have set another."""

QUANTUM = Decimal("1e-18")
ZERO = Decimal("0e-18")
MAX_DIGITS = 38
MAX_DECIMALS = 18

# Bound once: the arithmetic of the book is these calls and nothing else, so no operator
# can slip in that would read the thread's context.
add = CONTEXT.add
subtract = CONTEXT.subtract
multiply = CONTEXT.multiply
divide = CONTEXT.divide
negate = CONTEXT.minus
quantize = CONTEXT.quantize
copy_sign = CONTEXT.copy_sign

_CURRENCY = re.compile(r"[A-Za-z0-9@+#][A-Za-z0-9@+#._:/\-]{0,39}\Z")
_NOT_CURRENCIES = frozenset({"NONE", "NULL", "NAN", "UNKNOWN", "N/A"})


class InvalidEntry(ValueError):
    """A value that cannot be booked. Names the field and the entry it came with.

    Attributes: `field` (as in Entry), `entry` (its venue_ref, or "" before one is known), `problem`.
    """

    def __init__(self, *, field: str, entry: str, problem: str) -> None:
        super().__init__(f"{field} of entry {entry or '(new)'}: {problem}")
        self.field = field
        self.entry = entry
        self.problem = problem


def exact(value: object, *, field: str, entry: str = "") -> Decimal:
    """Return the exact number that a string, an int or a Decimal states.

    Raises InvalidEntry for a float (it has already lost the digits), for NaN, infinity, more than 18 decimals
    or more than 20 digits before the point: what numeric(38,18) cannot hold.
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int)):
        raise InvalidEntry(field=field, entry=entry, problem=f"{type(value).__name__} is not an exact number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise InvalidEntry(field=field, entry=entry, problem=f"{value!r} is not a number") from None
    if not number.is_finite():
        raise InvalidEntry(field=field, entry=entry, problem=f"{value} is not finite")
    digits = number.as_tuple()
    exponent = int(digits.exponent)
    if exponent < -MAX_DECIMALS:
        number = number.normalize(CONTEXT) if len(digits.digits) <= CONTEXT.prec else number
        if int(number.as_tuple().exponent) < -MAX_DECIMALS:
            raise InvalidEntry(
                field=field, entry=entry, problem=f"{value} has more than {MAX_DECIMALS} decimals"
            )
    if number and number.adjusted() >= MAX_DIGITS - MAX_DECIMALS:
        raise InvalidEntry(
            field=field, entry=entry, problem=f"{value} has more than 20 digits before the point"
        )
    return number


def positive(value: object, *, field: str, entry: str = "") -> Decimal:
    """Return an exact number greater than zero: a quantity or a price. Raises what `exact` raises."""
    number = exact(value, field=field, entry=entry)
    if number <= 0:
        raise InvalidEntry(field=field, entry=entry, problem=f"{value} is not greater than zero")
    return number


def currency(value: object, *, field: str, entry: str = "") -> str:
    """Return the asset symbol as the venue writes it (USDC, kPEPE, @107).

    Raises InvalidEntry for what is not a symbol: empty, blank, or a placeholder such as UNKNOWN or None.
    """
    if not isinstance(value, str) or not _CURRENCY.match(value) or value.upper() in _NOT_CURRENCIES:
        raise InvalidEntry(field=field, entry=entry, problem=f"{value!r} is not a known currency")
    return value


def rounded(number: Decimal) -> Decimal:
    """Round half-even to 18 places, as every notional and every state is kept."""
    return quantize(number, QUANTUM)


def share(total: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return `total · part / whole`, rounded once; the other side takes `total - share`: nothing is lost."""
    return quantize(divide(multiply(total, part), whole), QUANTUM)


def plain(number: Decimal) -> str:
    """Return fixed notation without trailing zeros: equal numbers give equal strings ('1.5' for 1.50)."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
