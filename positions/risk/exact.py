"""What every measure of risk shares: one decimal context, and inputs checked by name."""

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

CONTEXT = Context(prec=76, rounding=ROUND_HALF_EVEN)
QUANTUM = Decimal("1e-18")
ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)

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


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` in the project's decimal context, whatever the calling thread has set."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(CONTEXT):
            return function(*args, **kwargs)

    return run


def rounded(value: Decimal) -> Decimal:
    """`value` to 18 places, half-even: the precision the book and the database keep."""
    return value.quantize(QUANTUM, context=CONTEXT)


def check_finite(**fields: Decimal | None) -> None:
    """Raise BadRiskInput for the first field that is neither None nor a finite Decimal."""
    for field, value in fields.items():
        if value is None:
            continue
        if not isinstance(value, Decimal):
            raise BadRiskInput(field=field, value=value, reason="must be a Decimal or None")
        if not value.is_finite():
            raise BadRiskInput(field=field, value=value, reason="must be finite")


def check_positive(**fields: Decimal | None) -> None:
    """Raise BadRiskInput unless each field is None or finite and above zero."""
    check_finite(**fields)
    for field, value in fields.items():
        if value is not None and value <= 0:
            raise BadRiskInput(field=field, value=value, reason="must be above zero")


def check_not_negative(**fields: Decimal | None) -> None:
    """Raise BadRiskInput unless each field is None or finite and at least zero."""
    check_finite(**fields)
    for field, value in fields.items():
        if value is not None and value < 0:
            raise BadRiskInput(field=field, value=value, reason="must not be negative")
