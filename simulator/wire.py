"""Hyperliquid's way of writing things down: numbers, addresses, answers to a body it cannot read.

Source: the recorded answers in tests/data/venues/hyperliquid/.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from aiohttp import web

# Wide enough that a product of any two sizes, prices or amounts of an account is exact.
EXACT = Context(prec=60)
USD = Decimal("0.000001")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
ZERO_HASH = "0x" + "0" * 64


class Malformed(ValueError):
    """A request body that the venue's parser refuses: answered with 422 and plain text."""


def wall_clock() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def number(value: Decimal, places: int | None = None) -> str:
    """A number as the venue writes it: plain notation, no trailing zeros, always one decimal.

    `places` rounds half to even first. Zero is "0.0", never "-0.0".
    """
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=EXACT)
    whole, _, fraction = format(value, "f").partition(".")
    fraction = fraction.rstrip("0") or "0"
    text = f"{whole}.{fraction}"
    return "0.0" if text == "-0.0" else text


def usd(value: Decimal) -> str:
    """A dollar amount, at most six decimals."""
    return number(value, 6)


def cut(value: Decimal, places: int) -> Decimal:
    """`value` without the decimals after `places` (towards zero), as the venue shows entry prices."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN, context=EXACT)


def to_micro(value: Decimal) -> Decimal:
    """A dollar amount on the venue's own grid of one millionth, half to even."""
    return value.quantize(USD, rounding=ROUND_HALF_EVEN, context=EXACT)


def address(body: Mapping[str, Any], name: str = "user") -> str:
    """The address in `body[name]`, in lower case. Raises Malformed when absent or not an address."""
    value = body.get(name)
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise Malformed(f"invalid address in {name}")
    return value.lower()


def integer(body: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """The integer in `body[name]`; absent or null gives `default`, which None makes required (Malformed)."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"invalid integer in {name}")
    return value


def text(body: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """The string in `body[name]`; absent or null gives `default`, which None makes required (Malformed)."""
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Malformed(f"invalid string in {name}")
    return value


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object that a request carries. Raises Malformed."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(body, dict):
        raise Malformed("not an object")
    return body


def refusal() -> web.Response:
    """The venue's answer to a body it cannot read."""
    return web.Response(
        status=422, text="Failed to deserialize the JSON body into the target type", content_type="text/plain"
    )


def answer(data: Any, status: int = 200) -> web.Response:
    """A JSON answer, compact as the venue's own."""
    return web.Response(
        body=json.dumps(data, separators=(",", ":")).encode(),
        status=status,
        content_type="application/json",
    )
