"""The status strip, for pages of apps to the left that know no totals."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext
from django.utils import timezone

from portfolio.live import rows
from portfolio.pages import views

register = template.Library()


@register.inclusion_tag("parts/strip.html", takes_context=True)
def live_strip(context: RequestContext) -> dict[str, Any]:
    """Paint the strip as the portfolio's own pages do; the page's socket keeps it going."""
    now = timezone.now()
    totals = views.strip(context["request"], now=now)
    return {"totals": totals, "now": now, "stale_after": rows.stale_after()}
