"""Shares as people read them. A share is a fraction of 1; None is unknown and reads "—"."""

from __future__ import annotations

from decimal import Decimal

from django import template

from core.templatetags.numbers import distance, percent
from reconciliation.labels import KINDS

register = template.Library()


@register.filter
def kind(name: str) -> str:
    """Return the label of a kind of difference."""
    return KINDS.get(name, name)


@register.filter
def share(value: Decimal | None) -> str:
    """Write a fraction as a share: 0.8 → "80.0 %"."""
    return distance(None if value is None else value * 100)


@register.filter
def points(value: Decimal | None) -> str:
    """Write a difference of shares with its sign: 0.1 → "+10.00 %"."""
    return percent(None if value is None else value * 100)
