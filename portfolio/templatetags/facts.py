"""Cells of a position's facts: painted here first, then kept up to date by static/js/patch.js."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from core.templatetags import numbers

register = template.Library()


@register.simple_tag
def fact(
    row: Mapping[str, Any], name: str, rules: str, step: str = "", title: str = "", signed: bool = False
) -> SafeString:
    """Return one fact of a row, written by filters of `numbers` in order, `step` being given to the first.

    The cell names what it shows and how, so the browser writes it alike when the fact changes, and a column
    is named in its template only. `title` names the fact that is the cell's title; `signed` colours gains
    and losses.
    """
    value: Any = row.get(name)
    for position, rule in enumerate(rules.split()):
        write = getattr(numbers, rule)
        value = write(value, row.get(step)) if step and position == 0 else write(value)
    parts = [format_html('data-f="{}" data-as="{}"', name, rules)]
    if step:
        parts.append(format_html('data-step="{}"', step))
    if title:
        shown = row.get(title)
        parts.append(format_html('data-title="{}" title="{}"', title, "" if shown is None else shown))
    if signed:
        parts.append(format_html('data-sign="{}"', numbers.sign(row.get(name))))
    return format_html("<span {}>{}</span>", mark_safe(" ".join(parts)), value)
