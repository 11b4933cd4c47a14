"""Rows of `portfolio`: what an account was worth, in the documented shape; no answer was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from positions.venues.base import AccountValue
from positions.venues.fields import moment, required

WHOLE = frozenset({"day", "week", "month", "allTime"})
"""Series of everything an account has; those beginning with `perp` leave spot out."""


def series(row: Sequence[Any]) -> tuple[AccountValue, ...]:
    """Return the values of one series; none of a series that we do not read. Raises ROW_ERRORS."""
    name, content = row[0], row[1]
    if name not in WHOLE:
        return ()
    return tuple(
        AccountValue(time=moment(time), value=required({"value": value}, "value"), covers="all")
        for time, value in content["accountValueHistory"]
    )
