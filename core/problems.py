"""Errors of the API as RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.responses import Response

from core.trace import current_trace_id

log = structlog.get_logger("problem")


class Problem(Exception):
    """An error that the client is told about.

    `code` is stable and machine-readable, `detail` says what to do; further members go into the answer.
    """

    def __init__(self, status: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.members = status, code, detail, members


def answer(status: int, code: str, detail: str, **members: Any) -> HttpResponse:
    """Return the problem as `application/problem+json`, with the trace id that the logs carry."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "trace_id": current_trace_id(),
        **members,
    }
    return Response(body, status=status, content_type="application/problem+json")


_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    429: "too_many_requests",
}


def _http_error(_: HttpRequest, error: HttpError) -> HttpResponse:
    return answer(error.status_code, _CODES.get(error.status_code, "error"), error.message)


def _validation_error(_: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [
        {
            "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "problem": item["msg"],
        }
        for item in error.errors
    ]
    named = ", ".join(sorted({item["field"] for item in errors}))
    return answer(422, "invalid_input", f"Check: {named}.", errors=errors)


def _unexpected(_: HttpRequest, error: Exception) -> HttpResponse:
    log.error("unexpected error in the API", exc_info=error)
    return answer(500, "internal_error", "This is our fault. The trace id finds it in the logs.")


def register(api: NinjaAPI) -> None:
    """Make `api` answer every error as a problem."""
    api.add_exception_handler(Problem, lambda _, e: answer(e.status, e.code, e.detail, **e.members))
    api.add_exception_handler(
        AuthenticationError,
        lambda _, __: answer(401, "not_authenticated", "Send an API key in X-API-Key, or log in."),
    )
    api.add_exception_handler(
        PermissionDenied, lambda _, e: answer(403, "forbidden", str(e) or "Not allowed.")
    )
    api.add_exception_handler(Http404, lambda _, e: answer(404, "not_found", str(e) or "Not found."))
    api.add_exception_handler(Throttled, lambda _, __: answer(429, "too_many_requests", "Slow down."))
    api.add_exception_handler(HttpError, _http_error)
    api.add_exception_handler(ValidationError, _validation_error)
    api.add_exception_handler(Exception, _unexpected)
