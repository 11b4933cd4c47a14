"""Signing in: one form for everybody, slowed for whoever guesses.

django-axes pauses a name from an address after a few wrong passwords. That does not stop one address from
trying one password on many names, so each address also has so many tries, whatever the names.
"""

from __future__ import annotations

import math
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core import rates
from core.middleware import client_address

audit = structlog.get_logger("audit")


class Login(LoginView):
    """The login page. A try that succeeds does not count against its address."""

    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        taken = self._take(1)
        if taken is not None and not taken.allowed:
            audit.warning("an address tries too many logins", address=client_address(request))
            return too_many_tries(request, seconds=taken.retry_after)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        self._take(-1)
        return super().form_valid(form)

    def _take(self, wanted: int) -> rates.RateDecision | None:
        """At most LOGIN_TRIES_PER_ADDRESS at once, and as many again within LOGIN_LOCK_SECONDS."""
        tries = settings.LOGIN_TRIES_PER_ADDRESS
        refill = settings.AXES_COOLOFF_TIME.total_seconds()
        limit = rates.Limit(per_minute=max(1, math.ceil(60 * tries / refill)), burst=tries)
        return rates.take(name=f"login:{client_address(self.request)}", limit=limit, wanted=wanted)


def too_many_tries(request: HttpRequest, *, seconds: int) -> HttpResponse:
    """The page for an address that has tried too much, whatever names it gave."""
    context = {"address_wide": True, "wait_seconds": seconds}
    answer = render(request, "locked_out.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    return answer


def locked_out(
    request: HttpRequest, original: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """What django-axes answers for a name that is paused (AXES_LOCKOUT_CALLABLE)."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    context = {
        "failure_limit": settings.AXES_FAILURE_LIMIT,
        "username": (credentials or {}).get("username") or request.POST.get("username", ""),
        "wait_seconds": seconds,
    }
    answer = render(request, "locked_out.html", context, status=settings.AXES_HTTP_RESPONSE_CODE)
    answer["Retry-After"] = str(seconds)
    return answer
