"""What a position's P&L is made of, as bars that begin where the one before ended. Pure; only drawn.

static/js/waterfall.js moves the same bars when figures change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

WIDTH = 100
"""User units from the lowest to the highest sum."""
NARROWEST = Decimal("0.6")


class Bar(NamedTuple):
    """One amount, from the sum before it to the sum after it; `sign` is gain, loss or "" for nothing."""

    x: str
    width: str
    sign: str


PARTS = ("realized", "fees", "funding", "interest", "adjustments", "unrealized")


def bars(row: Mapping[str, Any]) -> dict[str, Bar]:
    """Return the bars of a row's P&L by part, `net` among them; a part that the page leaves out has none."""
    amounts = {
        "realized": row["realized_pnl"],
        "fees": None if row["fees"] is None else -Decimal(row["fees"]),
        "funding": row["funding"],
        "interest": row["interest"],
        "adjustments": row["adjustments"],
        "unrealized": row["unrealized_pnl"] if row["open"] else None,
    }
    known = [None if amounts[name] is None else Decimal(amounts[name]) for name in PARTS]
    return dict(zip((*PARTS, "net"), waterfall(known), strict=True))


def waterfall(amounts: Sequence[Decimal | None]) -> list[Bar]:
    """Return a bar for each amount, and a last one for their sum from zero; unknown ones have no width."""
    sums = [Decimal(0)]
    for amount in amounts:
        sums.append(sums[-1] + (amount or 0))
    low, high = min(sums), max(sums)
    scale = WIDTH / (high - low) if high > low else Decimal(0)

    def bar(begin: Decimal, end: Decimal) -> Bar:
        if begin == end:
            return Bar(f"{(begin - low) * scale:.2f}", "0", "")
        width = max(abs(end - begin) * scale, NARROWEST)
        x = min((min(begin, end) - low) * scale, WIDTH - width)
        return Bar(f"{x:.2f}", f"{width:.2f}", "gain" if end > begin else "loss")

    steps = [bar(begin, end) for begin, end in pairwise(sums)]
    return [*steps, bar(Decimal(0), sums[-1])]
