"""How many requests of one caller are answered at once, so that a burst of one leaves connections to others.

Note [Callers]: slow work has slots (core.http.slow_work), yet any request holds a connection of the pool
while it finds out who asks. So one caller has at most three quarters of the pool's connections; what more it
sends waits a moment without one, then is told to come again. Who it is is not known yet: a caller is an API
key's prefix, else a session's cookie, else a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template

from core.http import problems
from core.http.problems import Problem
from core.http.slow_work import RETRY_SECONDS, Slots
from core.tracing.addresses import client_network

WAIT_SECONDS = 0.8

_slots = Slots()


class BoundedCallers:
    """Answers 503 with Retry-After to what is too much of one caller."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with ExitStack() as held:
            try:
                held.enter_context(_slots.taken(limits={_caller(request): most()}, wait_seconds=WAIT_SECONDS))
            except Problem:
                return _refused(request)
            return self.get_response(request)


def most() -> int:
    """Return how many requests of one caller are answered at once."""
    return max(1, 3 * (settings.DATABASE_POOL_MAX or 8) // 4)


def _caller(request: HttpRequest) -> str:
    key = request.headers.get("X-API-Key", "").partition(".")[0]
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    told = f"key {key}" if key else f"session {cookie}" if cookie else f"network {client_network(request)}"
    return f"caller:{hashlib.sha256(told.encode(errors='replace')).hexdigest()[:32]}"


def _refused(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        detail = f"You have {most()} requests under way here already: come again when they are answered."
        answer = problems.answer(503, "busy", detail, retry_after_seconds=RETRY_SECONDS)
    else:
        answer = HttpResponse(get_template("503.html").render(), status=503)
    answer["Retry-After"] = str(RETRY_SECONDS)
    return answer
