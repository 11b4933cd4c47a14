"""Health for probes and people; no login, no secrets."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from core import health


@login_not_required
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when work can be done, else 503 with the failing parts named."""
    report = health.report(health.check(now=timezone.now()))
    return JsonResponse(
        {"status": report["status"], "failing": report["failing"]}, status=503 if report["failing"] else 200
    )


@login_not_required
@require_safe
def details(request: HttpRequest) -> HttpResponse:
    """Return the state of the service with each part's state and response time."""
    report = health.report(health.check(now=timezone.now()))
    return JsonResponse(report, status=503 if report["failing"] else 200)
