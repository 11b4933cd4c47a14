"""What every measure of risk shares: the book's decimal context, and inputs checked by name."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation, Overflow, getcontext, setcontext
from functools import wraps
from typing import ParamSpec, TypeVar

from positions.book.money import CONTEXT
from positions.book.money import rounded as rounded

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
# numeric(38,18) holds 20 digits before the point; nothing measured is larger.
TOO_LARGE = Decimal("1e20")

P = ParamSpec("P")
R = TypeVar("R")


class BadRiskInput(ValueError):
    """An input no market can produce (NaN, infinite, of the wrong sign or type).

    `field` names the argument, `value` is what was given, `reason` says what is wrong with it.
    """

    def __init__(self, *, field: str, value: object, reason: str) -> None:
        super().__init__(f"{field}: {reason} (given {value!r})")
        self.field = field
        self.value = value
        self.reason = reason


def exactly(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` in the book's decimal context, whatever the calling thread has set.

    Inputs that are each possible and together exceed any number raise BadRiskInput too.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # The context itself and no copy of it, as `localcontext` makes one: each figure of each position
        # comes through here.
        before = getcontext()
        setcontext(CONTEXT)
        try:
            return function(*args, **kwargs)
        except (InvalidOperation, Overflow) as error:
            raise BadRiskInput(field="result", value=kwargs, reason="is out of range") from error
        finally:
            setcontext(before)

    return run


def price_or_none(price: Decimal | None) -> Decimal | None:
    """`price` rounded; None when there is none that a market could reach (above zero, under 1e20)."""
    if price is None or price >= TOO_LARGE:
        return None
    price = rounded(price)
    return price if price > 0 else None


def check_finite(**fields: Decimal | None) -> None:
    """Raise BadRiskInput for the first field that is neither None nor a finite Decimal."""
    for field, value in fields.items():
        if value is not None:
            _check(field, value)


def check_positive(**fields: Decimal | None) -> None:
    """Raise BadRiskInput unless each field is None or finite and above zero."""
    for field, value in fields.items():
        if value is not None:
            _check(field, value)
            if value <= ZERO:
                raise BadRiskInput(field=field, value=value, reason="must be above zero")


def _check(field: str, value: Decimal) -> None:
    # One comparison for what is in order: each price of each position comes through here.
    if isinstance(value, Decimal) and value.is_finite() and -TOO_LARGE < value < TOO_LARGE:
        return
    if not isinstance(value, Decimal):
        raise BadRiskInput(field=field, value=value, reason="must be a Decimal or None")
    if not value.is_finite():
        raise BadRiskInput(field=field, value=value, reason="must be finite")
    raise BadRiskInput(field=field, value=value, reason="has more than 20 digits before the point")


def check_not_negative(**fields: Decimal | None) -> None:
    """Raise BadRiskInput unless each field is None or finite and at least zero."""
    check_finite(**fields)
    for field, value in fields.items():
        if value is not None and value < 0:
            raise BadRiskInput(field=field, value=value, reason="must not be negative")
