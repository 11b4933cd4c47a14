"""Errors of the API as RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.responses import Response

from core.http.inputs import shortened
from core.storage.database import is_busy
from core.tracing.trace import current_trace_id

log = structlog.get_logger("problem")

# What a client sent comes back in an error, but never much of it: a small request gets no large answer.
MAX_ERRORS = 20
MAX_FIELD = 100


class Problem(Exception):
    """An error that is answered to the client.

    `code` is stable and machine-readable, `detail` names the remedy; `members` are added to the body.
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
        "detail": shortened(detail),
        "trace_id": current_trace_id(),
        **members,
    }
    return Response(body, status=status, content_type="application/problem+json")


_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    429: "too_many_requests",
    503: "busy",
}
SENTENCES = {
    404: "There is no such path: see /api/docs.",
    405: "This path has other methods: the header Allow lists them.",
    503: "The server is busy, or its database does not answer: come again in a moment.",
}


def outcome_of(status: int) -> tuple[str, str]:
    """Return the code and the sentence of an error that no operation answered itself."""
    return _CODES.get(status, "error"), SENTENCES.get(status, "The request was refused.")


def _problem(_: HttpRequest, error: Any) -> HttpResponse:
    made = answer(error.status, error.code, error.detail, **error.members)
    if "retry_after_seconds" in error.members:
        made["Retry-After"] = str(error.members["retry_after_seconds"])
    return made


def _busy(_: HttpRequest, error: Any) -> HttpResponse:
    if not is_busy(error):
        return _unexpected(_, error)
    log.error("the database cannot serve a request", error=str(error))
    return _problem(_, Problem(503, "busy", SENTENCES[503], retry_after_seconds=1))


def _not_authenticated(_: HttpRequest, error: Any) -> HttpResponse:
    return answer(401, "not_authenticated", "Send an API key in X-API-Key, or log in.")


def _forbidden(_: HttpRequest, error: Any) -> HttpResponse:
    return answer(403, "forbidden", str(error) or "You may not do this.")


def _not_found(_: HttpRequest, error: Any) -> HttpResponse:
    return answer(404, "not_found", str(error) or "There is nothing here.")


def _http_error(_: HttpRequest, error: Any) -> HttpResponse:
    return answer(error.status_code, _CODES.get(error.status_code, "error"), error.message)


def _validation_error(_: HttpRequest, error: Any) -> HttpResponse:
    errors = [
        {
            "field": shortened(".".join(map(str, item["loc"][1:] or item["loc"])), to=MAX_FIELD),
            "problem": shortened(item["msg"]),
        }
        for item in error.errors[:MAX_ERRORS]
    ]
    named = ", ".join(sorted({item["field"] for item in errors}))
    return answer(422, "invalid_input", f"Check: {named}.", errors=errors)


def _too_large(_: HttpRequest, error: Any) -> HttpResponse:
    return answer(413, "too_large", "The request is too large: send fewer at once.")


def _unexpected(_: HttpRequest, error: Any) -> HttpResponse:
    log.error("unexpected error in the API", exc_info=error)
    return answer(500, "internal_error", "This is our fault. The trace id finds it in the logs.")


_HANDLERS = {
    Problem: _problem,
    AuthenticationError: _not_authenticated,
    PermissionDenied: _forbidden,
    Http404: _not_found,
    HttpError: _http_error,
    ValidationError: _validation_error,
    RequestDataTooBig: _too_large,
    OperationalError: _busy,
    InterfaceError: _busy,
    Exception: _unexpected,
}


def register(api: NinjaAPI) -> None:
    """Make `api` answer every error as a problem."""
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)
