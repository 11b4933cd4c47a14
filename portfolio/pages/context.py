"""What every page's status strip shows, for pages of all apps (a context processor, see settings)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from portfolio.alerts import queries
from portfolio.live import rows
from portfolio.models import Alert
from portfolio.pages import totals


def strip(request: HttpRequest) -> dict[str, Any]:
    """Return the strip's totals and the banner's alerts, each read only where a template shows them."""
    lazy = SimpleLazyObject(lambda: totals.of_request(request, now=timezone.now()))
    return {
        "totals": lazy,
        "stale_after": rows.stale_after(),
        "alarms": SimpleLazyObject(_alarms),
        "has_fault_panel": bool(settings.SIM_CONTROL_TOKEN),
    }


def _alarms() -> list[Alert]:
    """The critical alerts that nobody has acknowledged; a person sees all accounts."""
    return queries.banner(accounts=None)
