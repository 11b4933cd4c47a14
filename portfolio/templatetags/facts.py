"""Cells of a position's facts: painted here first, then kept up to date by static/js/patch.js."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.template.context import Context
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from core.templatetags import numbers

register = template.Library()

OPTIONS = {"step", "title", "signed"}


class FactNode(template.Node):
    """One fact of a row in a `span`. All that does not depend on the row is written once, when compiled."""

    def __init__(
        self, row: FilterExpression, name: str, rules: str, *, step: str = "", title: str = "", signed: bool
    ) -> None:
        self._row, self._name, self._step, self._title, self._signed = row, name, step, title, signed
        self._rules = [getattr(numbers, rule) for rule in rules.split()]
        attributes = {"data-f": name, "data-as": rules, "data-step": step, "data-title": title}
        written = [f'{key}="{escape(text)}"' for key, text in attributes.items() if text]
        self._head = f"<span {' '.join(written)}"

    def render(self, context: Context) -> SafeString:
        """Return the cell."""
        row: Mapping[str, Any] = self._row.resolve(context)
        fact = row.get(self._name)
        first, *others = self._rules
        text = first(fact, row.get(self._step)) if self._step else first(fact)
        for rule in others:
            text = rule(text)
        head = self._head
        if self._title:
            head += f' title="{escape(row.get(self._title) or "")}"'
        if self._signed:
            head += f' data-sign="{numbers.sign(fact)}"'
        return mark_safe(f"{head}>{escape(text)}</span>")


@register.tag
def fact(parser: Parser, token: Token) -> FactNode:
    """Show a fact: `{% fact row "quantity" "quantity" step="quantity_step" title="quantity" signed=True %}`.

    After the row come the fact's name and the filters of `numbers` that write it, in order; `step` names a
    fact that the first filter is given. The cell names what it shows and how, so the browser writes it alike
    when the fact changes, and a column is named in its template only. `title` names the fact that is the
    cell's title; `signed` colours gains and losses. Raises TemplateSyntaxError.
    """
    _, row, *bits = token.split_contents()
    texts = [bit.strip("\"'") for bit in bits[:2]]
    options = {key: value.token.strip("\"'") for key, value in token_kwargs(bits[2:], parser).items()}
    known = all(hasattr(numbers, rule) for rule in texts[-1].split())
    if len(texts) != 2 or not known or not options.keys() <= OPTIONS or len(bits) != 2 + len(options):
        raise template.TemplateSyntaxError(f"write {{% fact row name rules %}} with options, not: {token}")
    signed = options.pop("signed", "") == "True"
    return FactNode(parser.compile_filter(row), *texts, signed=signed, **options)
