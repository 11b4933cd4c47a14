"""Health for probes and people, without secrets; and the page of what went wrong."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import get_template
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.defaults import server_error

from core.process import health
from core.security.scopes import Scope, scopes_of_user
from core.storage import database


@login_not_required
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 when work can be done, else 503 with the failing parts named."""
    report = health.report(health.recent(now=timezone.now()))
    return JsonResponse(
        {"status": report["status"], "failing": report["failing"]}, status=503 if report["failing"] else 200
    )


@login_not_required
@require_safe
def details(request: HttpRequest) -> HttpResponse:
    """Return the state of the service; people with a role see each part's state and response time."""
    report = health.report(health.recent(now=timezone.now()))
    if Scope.READ not in _scopes(request):
        del report["parts"], report["warnings"]
    return JsonResponse(report, status=503 if report["failing"] else 200)


def _scopes(request: HttpRequest) -> frozenset[Scope]:
    """Return what the caller may; nothing where the database cannot tell who that is."""
    try:
        return scopes_of_user(request.user)
    except DatabaseError:
        return frozenset()


def failed(request: HttpRequest) -> HttpResponse:
    """Answer for what raised an error: 503 where the database cannot serve now, else 500 (handler500)."""
    if not database.is_busy(sys.exc_info()[1]):
        return server_error(request)
    answer = HttpResponse(get_template("503.html").render(), status=503)
    answer["Retry-After"] = "1"
    return answer
