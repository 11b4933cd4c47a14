"""One trace id from the edge to the last log line: HTTP request, Celery task, ledger entry, frame.

It is taken from `X-Request-ID` when that is well formed, else made new; it is bound to every log line,
travels in the headers of Celery messages, and goes back in the response's `X-Request-ID`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from django.http import HttpRequest, HttpResponse

from core.tracing import addresses

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
_HEADER = "plumbline_trace_id"
LONGEST_PATH = 300  # characters of a path in the log: lines are searched for secrets, which takes time

log = structlog.get_logger("request")


def new_trace_id() -> str:
    return uuid.uuid4().hex


def current_trace_id() -> str:
    """Return the trace id of what is being done now; a new one, bound from here on, if there is none."""
    known = structlog.contextvars.get_contextvars().get("trace_id")
    if isinstance(known, str):
        return known
    trace_id = new_trace_id()
    structlog.contextvars.bind_contextvars(trace_id=trace_id)
    return trace_id


class TraceMiddleware:
    """Binds the trace id for the length of a request and logs one line for each."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        trace_id = given if _WELL_FORMED.fullmatch(given) else new_trace_id()
        started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        addresses.remember(addresses.client_address(request))
        response = self.get_response(request)
        response["X-Request-ID"] = trace_id
        quiet = request.path.startswith(("/static/", "/health")) and response.status_code < 400
        write = log.debug if quiet else log.info
        write(
            "request",
            method=request.method,
            path=request.path[:LONGEST_PATH],
            status=response.status_code,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )
        return response


@signals.before_task_publish.connect
def _send_trace_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        known = structlog.contextvars.get_contextvars().get("trace_id")
        headers.setdefault(_HEADER, known if isinstance(known, str) else new_trace_id())


@signals.task_prerun.connect
def _bind_trace_id(task: Any = None, task_id: str | None = None, **_: Any) -> None:
    # A task called directly keeps its caller's trace: only a message from the broker starts afresh.
    if task is None or task.request.called_directly or task.request.is_eager:
        return
    structlog.contextvars.clear_contextvars()
    given = (task.request.headers or {}).get(_HEADER) or getattr(task.request, _HEADER, None)
    structlog.contextvars.bind_contextvars(trace_id=given or new_trace_id(), task=task.name)


@signals.task_postrun.connect
def _unbind_trace_id(task: Any = None, **_: Any) -> None:
    if task is not None and not task.request.called_directly and not task.request.is_eager:
        structlog.contextvars.clear_contextvars()
