"""What every page's status strip shows, for pages of all apps (a context processor, see settings)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from portfolio.live import rows
from portfolio.pages import totals


def strip(request: HttpRequest) -> dict[str, Any]:
    """Return the strip's totals, read only where a template shows them, and how old a price may be."""
    lazy = SimpleLazyObject(lambda: totals.of_request(request, now=timezone.now()))
    return {"totals": lazy, "stale_after": rows.stale_after()}
