"""Content-Security-Policy by prefix, pages that need a login, problems of the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from core.http import problems, views
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import Act, by_request, record


class PolicyMiddleware(CSPMiddleware):
    """The strict policy everywhere; what a prefix of CONTENT_SECURITY_POLICY_BY_PREFIX needs, only there."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts: PolicyParts = super().get_policy_parts(request, response, report_only)
        for prefix, replaced in settings.CONTENT_SECURITY_POLICY_BY_PREFIX.items():
            if request.path_info.startswith(prefix):
                parts.replace = replaced
        return parts


class PagesNeedLogin(LoginRequiredMiddleware):
    """Demands a login and a role for every page; a view may opt out, and the API authenticates by itself."""

    # What somebody without a role may still do; the admin has rules of its own.
    _without_role = ("/password/", "/logout/", "/confirm/", "/sessions/", "/admin/")

    def process_view(self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any) -> Any:
        if request.path_info.startswith("/api/"):
            return None
        answer = super().process_view(request, view_func, view_args, view_kwargs)
        if answer is not None or not getattr(view_func, "login_required", True):
            return answer
        allowed = request.path_info.startswith(self._without_role)
        if not allowed:
            _require_role(request)
        return None


def _require_role(request: HttpRequest) -> None:
    if Scope.READ not in scopes_of_user(request.user):
        raise PermissionDenied("Your login has no role yet: ask an admin to add you to a group.")


def needs_role(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a view below /api/ one for people with a role; strangers are sent to the login."""

    @login_required
    @wraps(view)
    def of_somebody(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _require_role(request)
        return view(request, *args, **kwargs)

    return of_somebody


class NothingIsKept:
    """Tells browsers and proxies to keep no answer but static files: positions are private, and change."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path_info.startswith(settings.STATIC_URL):
            response["Cache-Control"] = "private, no-store"
        return response


class SessionAges:
    """Ends a session that was idle for SESSION_COOKIE_AGE, and any one after SESSION_LONGEST_SECONDS.

    Whoever opens a page or sends something renews a session; what scripts of an open page fetch does not,
    as they go on for ever.
    """

    _renewed_every = 300

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session, now = request.session, timezone.now().timestamp()
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in session:
            is_due = now - session.get("renewed_at", 0) > self._renewed_every
            if now - session.get("began_at", now) > settings.SESSION_LONGEST_SECONDS:
                _end(request)
            elif is_due and not _by_a_script(request):
                session["renewed_at"] = now
                session.setdefault("began_at", now)
        return self.get_response(request)


def _end(request: HttpRequest) -> None:
    # One transaction: the session ends with its security event.
    with transaction.atomic():
        if request.user.is_authenticated:
            record(Act.SESSION_EXPIRED, who=by_request(request), subject=request.user.get_username())
        logout(request)


def _by_a_script(request: HttpRequest) -> bool:
    """Return whether a script reads; browsers say so of `fetch` (Sec-Fetch-Dest)."""
    reads = request.method in ("GET", "HEAD")
    fetched = request.headers.get("Sec-Fetch-Dest") == "empty"
    return reads and (fetched or request.path_info.startswith("/api/"))


class ProbesFirst:
    """Answers the probes before the host is checked: inside a cluster they come by address."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = {"/health/live": views.live, "/health/ready": views.ready}.get(request.path_info)
        return probe(request) if probe else self.get_response(request)


class ApiProblems:
    """Turns errors of the API that no operation answered (a wrong path or method) into problems, and adds
    the headers of a key's rate limit.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._problem(request, self.get_response(request))
        rate = getattr(request, "rate", None)
        for name, value in rate.headers().items() if rate else ():
            response[name] = value
        return response

    def _problem(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        plain = not response.headers.get("Content-Type", "").startswith("application/problem+json")
        if response.status_code < 400 or not plain or not request.path_info.startswith("/api/"):
            return response
        made = problems.answer(response.status_code, *problems.outcome_of(response.status_code))
        for name in ("Allow", "Retry-After"):
            if name in response.headers:
                made[name] = response.headers[name]
        return made
