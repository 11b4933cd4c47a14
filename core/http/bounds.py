"""Bounds of every request, before anything reads it: its length, its fields, the characters in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.loader import get_template

from core.http.problems import Problem

MAX_PATH = 2000
MAX_QUERY = 8000
MAX_FIELDS = 100
MAX_HEADER = 8000


class BoundedRequests:
    """Refuses with 400 or 404 what no client of ours sends; the bodies of pages' forms too.

    JSON is bounded by the API's schemas, and the length of any body by `config.bodies`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if len(request.path_info) > MAX_PATH or _unreadable(request.path_info):
            raise Http404("no path of ours is like this")
        query = str(request.META.get("QUERY_STRING", ""))
        if len(query) > MAX_QUERY:
            raise BadRequest(f"a query has at most {MAX_QUERY} characters")
        if query.count("&") >= MAX_FIELDS:
            raise BadRequest(f"a query has at most {MAX_FIELDS} fields")
        for name, value in request.META.items():
            if name.startswith("HTTP_") and (len(str(value)) > MAX_HEADER or _unreadable(str(value))):
                raise BadRequest("a header is too long or holds control characters")
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any) -> None:
        """Look at what a page is given: Postgres takes no zero byte, wherever it comes from."""
        if request.path_info.startswith("/api/"):
            return
        if any(_unreadable(text) for text in _texts(request.GET)):
            raise BadRequest("a field holds control characters")
        if request.method == "POST" and any("\x00" in text for text in _texts(request.POST)):
            raise BadRequest("a field holds a zero byte")

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Show a page where slow work of a page was refused."""
        if request.path_info.startswith("/api/") or not isinstance(exception, Problem):
            return None
        answer = HttpResponse(get_template("503.html").render(), status=exception.status)
        if "retry_after_seconds" in exception.members:
            answer["Retry-After"] = str(exception.members["retry_after_seconds"])
        return answer


def _texts(fields: QueryDict) -> Iterable[str]:
    for name, values in fields.lists():
        yield str(name)
        yield from (str(value) for value in values)


def _unreadable(text: str) -> bool:
    """Return whether text holds control characters or halves of characters; a tab may stand in a header."""
    return any((code < 32 and code != 9) or code == 127 or 0xD800 <= code < 0xE000 for code in map(ord, text))
