"""Money in JSON: Decimals as strings in fixed notation, never a float and never 1E-8."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def fixed(value: Decimal) -> str:
    """Return a Decimal in plain notation without trailing zeros: 1E-8 → "0.00000001", 60000.00 → "60000"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _exact(value: Any) -> Decimal:
    if isinstance(value, bool | float):
        raise ValueError("send numbers as strings: a float has lost digits already")
    if not isinstance(value, Decimal):
        try:
            value = Decimal(str(value))
        except ArithmeticError as error:
            raise ValueError(f"{value!r} is not a decimal number") from error
    if not value.is_finite():
        raise ValueError("must be a finite number")
    return Decimal(value)


Money = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(fixed, return_type=str),  # always: ninja dumps to Python first, then to JSON
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["60000.5", "-0.00000001"]}),
]
