"""How figures of a stretch of time read on the portfolio's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django import template

from core.templatetags import numbers
from portfolio.snapshots import quality

register = template.Library()

_STEPS = ((Decimal(1_000_000), "M"), (Decimal(1000), "k"))


@register.filter
def fraction(value: Decimal | None) -> str:
    """A fraction as a signed percentage: 0.0123 → "+1.23 %"."""
    return numbers.percent(None if value is None else value * 100)


@register.filter
def portion(value: Decimal | None) -> str:
    """A share without a sign: 0.8 → "80.0 %"."""
    return numbers.distance(None if value is None else value * 100)


@register.filter
def times(value: Decimal | None) -> str:
    """A leverage: "1.54×"."""
    return numbers.UNKNOWN if value is None else f"{numbers.money(value)}×"


@register.filter
def short(value: Decimal | None) -> str:
    """A P&L for a small cell: "+1.2k", "−340"; the cell's title has the cents."""
    if value is None:
        return numbers.UNKNOWN
    sign = "+" if value > 0 else numbers.MINUS if value < 0 else ""
    for size, unit in _STEPS:
        if abs(value) >= size:
            scaled = abs(value) / size
            places = Decimal(1) if scaled >= 100 else Decimal("0.1")
            return f"{sign}{scaled.quantize(places, ROUND_HALF_EVEN)}{unit}"
    return f"{sign}{abs(value).quantize(Decimal(1), ROUND_HALF_EVEN)}"


@register.filter
def day_title(result: Any) -> str:
    """All of a day's cell: "Tue 3 Nov 2026: −9,301.12 USD, flows +500.00, 3 not known"."""
    parts = [f"{result.day:%a} {result.day.day} {result.day:%b %Y}: {numbers.signed(result.pnl)} USD"]
    if result.flows:
        parts.append(f"flows {numbers.signed(result.flows)}")
    if result.unknown:
        parts.append(f"{result.unknown} not known")
    return ", ".join(parts)


@register.filter
def period_note(period: Any) -> str:
    """What stands below a week's, month's or year's P&L: "30 days · flows +8,000 · 1 unknown"."""
    parts = ["1 day" if period.days == 1 else f"{period.days} days"]
    if period.flows:
        parts.append(f"flows {numbers.netted(period.flows)}")
    if period.unknown:
        parts.append(f"{period.unknown} unknown")
    return " · ".join(parts)


@register.filter
def of(labels: Mapping[str, str], key: str) -> str:
    """The label of a key; the key where there is none."""
    return labels.get(key, key)


@register.filter
def at(items: Sequence[Any], place: int) -> Any:
    """The item at a place: for the columns of a row."""
    return items[place]


@register.filter
def units(value: Decimal | None) -> int:
    """A share as user units of a bar that is 200 wide."""
    return 0 if value is None else int(min(max(value, Decimal(0)), Decimal(1)) * 200)


@register.filter
def said(bits: int) -> str:
    """What was stale or unknown, in words."""
    return quality.text(bits)
