"""Rows as CSV or JSON lines, streamed: what makes them reads a page at a time, and holds nothing open."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from core.values import spreadsheets
from core.values.money import fixed

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
Facts = Mapping[str, Any]


def download(
    request: HttpRequest, pages: Iterable[Iterable[Facts]], *, columns: Iterable[str], name: str, kind: str
) -> StreamingHttpResponse:
    """Answer with a file `name.kind` of these pages of facts; `kind` is one of FORMATS.

    Money is text, times are ISO 8601 in UTC, unknown is null, or an empty cell.
    """
    parts = _csv(pages, list(columns)) if kind == "csv" else _json_lines(pages)
    streamed = _meanwhile(parts) if isinstance(request, ASGIRequest) else parts
    answer = StreamingHttpResponse(streamed, content_type=FORMATS[kind])
    answer["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return answer


def _json_lines(pages: Iterable[Iterable[Facts]]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(
            orjson.dumps({key: _fact(value) for key, value in one.items()}) + b"\n" for one in page
        )


def _csv(pages: Iterable[Iterable[Facts]], columns: list[str]) -> Iterator[bytes]:
    yield _table([columns])
    for page in pages:
        yield _table([[_cell(one[name]) for name in columns] for one in page])


def _table(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


async def _meanwhile(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same for an event loop, which goes on while a page is read."""
    while (part := await asyncio.to_thread(_next, parts)) is not None:
        yield part


def _next(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)


def _fact(value: Any) -> Any:
    if isinstance(value, Decimal):
        return fixed(value)
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _cell(value: Any) -> str:
    fact = _fact(value)
    if isinstance(fact, dict | list):
        fact = orjson.dumps(fact).decode()
    return "" if fact is None else spreadsheets.cell(str(fact))
