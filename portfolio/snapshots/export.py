"""Snapshots of any range as CSV or JSON lines, streamed: a page is read at a time, and nothing held open."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import Model, QuerySet

from core.storage import database
from core.values import spreadsheets
from core.values.money import fixed
from portfolio.snapshots import quality

PAGE = 2000
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def columns(model: type[Model]) -> list[str]:
    """Return the columns of a table of snapshots, as an export names them."""
    return [field.attname for field in model._meta.concrete_fields if field.attname != "pk"]


def pages(rows: QuerySet[Any]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of one subject in pages by time, the oldest first. Each is a query of its own."""
    names, after = columns(rows.model), None
    while True:
        wanted = rows if after is None else rows.filter(at__gt=after)
        found = list(wanted.order_by("at").values(*names)[:PAGE])
        database.give_back()
        if found:
            yield found
        if len(found) < PAGE:
            return
        after = found[-1]["at"]


def written(rows: QuerySet[Any], *, kind: str) -> Iterator[bytes]:
    """Yield a file of these rows: with a head even if there are none."""
    names = columns(rows.model)
    if kind == "csv":
        yield _csv([names])
    for page in pages(rows):
        if kind == "csv":
            yield _csv([[_text(name, row[name]) for name in names] for row in page])
        else:
            yield b"".join(orjson.dumps(_facts(row)) + b"\n" for row in page)


async def written_meanwhile(rows: QuerySet[Any], *, kind: str) -> AsyncIterator[bytes]:
    """Yield the same for an event loop, which goes on while a page is read."""
    parts = written(rows, kind=kind)
    while (part := await asyncio.to_thread(_next, parts)) is not None:
        yield part


def _next(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _fact(name, value) for name, value in row.items()}


def _fact(name: str, value: Any) -> Any:
    """Return a value in JSON types: money as text, times in UTC, quality by names, unknown as null."""
    if name == "quality":
        return quality.names(value)
    if isinstance(value, Decimal):
        return fixed(value)
    return iso(value) if isinstance(value, datetime) else value


def _text(name: str, value: Any) -> str:
    """Return a value as CSV has it; unknown is an empty cell."""
    fact = _fact(name, value)
    if isinstance(fact, list):
        return " ".join(fact)
    return "" if fact is None else spreadsheets.cell(str(fact))


def iso(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
