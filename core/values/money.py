"""Money in JSON: Decimals as strings in fixed notation, never a float and never 1E-8.

Answers carry `Money`, requests `MoneyIn`: what a client sends is bounded before it becomes a number, because
"1e9999" is six characters and ten thousand digits.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

# Decimal() also reads 1_000, spaces around and digits of other scripts: nobody means those.
MAX_CHARACTERS = 40
MAX_EXPONENT = 38
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)$", re.ASCII)
_WRITTEN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


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
        if str(value).lstrip("+-").lower() in ("nan", "inf", "infinity"):
            raise ValueError("must be a finite number")
        if not _WRITTEN.fullmatch(str(value)):
            raise ValueError(f"{value!r} is not a decimal number")
        value = Decimal(str(value))
    if not value.is_finite():
        raise ValueError("must be a finite number")
    return Decimal(value)


Money = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(fixed, return_type=str),  # always: ninja dumps to Python first, then to JSON
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["60000.5", "-0.00000001"]}),
]


def _bounded(value: Any) -> Any:
    """Refuse a number that is longer than any amount, without repeating it. Raises ValueError."""
    if isinstance(value, int) and abs(value) >= 10**MAX_CHARACTERS:  # str() of a longer one may raise
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
    if not isinstance(value, str | int | float | Decimal):
        raise ValueError("send numbers as strings")
    text = str(value)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
    exponent = _EXPONENT.search(text)
    if exponent and abs(int(exponent[1])) > MAX_EXPONENT:
        raise ValueError(f"its exponent must be from -{MAX_EXPONENT} to {MAX_EXPONENT}")
    return value


MoneyIn = Annotated[
    Money,
    BeforeValidator(_bounded),
    WithJsonSchema(
        {
            "type": "string",
            "format": "decimal",
            "maxLength": MAX_CHARACTERS,
            "examples": ["60000.5", "-0.00000001"],
        }
    ),
]
