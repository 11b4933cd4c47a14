"""What the frame around every page needs: the rail's links and the labels of the connection."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django import template
from django.http import HttpRequest

from core.values.labels import CONNECTION_STATES

register = template.Library()


@dataclass(frozen=True, slots=True)
class RailLink:
    """One link of the left rail; `current` is an aria-current value: page, true (a page below it) or ""."""

    route: str
    label: str
    icon: str
    key: str
    current: str


_BELOW_BOARD = ("position", "positions-closed", "entries", "account", "feeds")
_LINKS = (
    ("board", "Board", "board", "b"),
    ("portfolio", "Portfolio", "portfolio", "p"),
    ("reconciliation", "Proof", "proof", "r"),
    ("alerts", "Alerts", "alerts", "a"),
)
"""Route, label, icon, and the key that leads there after a g."""


@register.simple_tag
def rail(request: HttpRequest) -> list[RailLink]:
    """Return the rail's links, with the one marked that the page belongs to."""
    here = (request.resolver_match.url_name if request.resolver_match else None) or ""
    return [RailLink(*link, _current(link[0], here)) for link in _LINKS]


def _current(route: str, here: str) -> str:
    if here == route:
        return "page"
    below = {
        "board": here in _BELOW_BOARD,
        "reconciliation": here.startswith("proof-"),
        "alerts": here == "alert" or here.startswith("alert-"),
    }
    return "true" if below.get(route) else ""


@register.simple_tag
def connection_labels() -> str:
    """Return the labels of the connection's states as JSON, for static/js/page.js."""
    return json.dumps(CONNECTION_STATES, ensure_ascii=False)
