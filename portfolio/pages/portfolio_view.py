"""The portfolio's page. It makes one read and hands it to a template, like the other pages."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from portfolio import pipeline
from portfolio.models import RiskLimitKind
from portfolio.pages import history, reads, totals
from portfolio.snapshots.stretch import RANGES


@require_safe
def portfolio(request: HttpRequest) -> HttpResponse:
    """An environment over a range of time (`?range=`), its calendar (`?by=`), and how it stands now."""
    now = timezone.now()
    current, refreshed = pipeline.current(now=now)
    found = history.portfolio_page(
        environment=request.GET.get("environment", ""),
        range_name=request.GET.get("range", ""),
        period=request.GET.get("by", ""),
        totals=current,
        now=now,
    )
    context = {
        "now": now,
        "page": found,
        "figures": found.figures,
        "ranges": RANGES,
        "accounts": reads.newest_snapshots(environment=found.environment, now=now),
        "totals": totals.of_environment(found.environment, current, refreshed=refreshed),
        "limits": [one for one in current.limits if one["environment"] == found.environment],
        "limit_kinds": dict(RiskLimitKind.choices),
        "limit_accounts": {one["id"]: one["label"] for one in current.figures},
        "standing": found.standing,
        "desk_day": f"{settings.DESK_DAY_START:%H:%M} {settings.DESK_ZONE.key}",
    }
    return render(request, "pages/portfolio.html", context)
