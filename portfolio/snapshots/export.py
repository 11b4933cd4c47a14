"""Snapshots of any range as files: a page is read at a time, and nothing is held open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from core.http.downloads import download
from core.storage import database
from portfolio.snapshots import quality

PAGE = 2000


def columns(model: type[Model]) -> list[str]:
    """Return the columns of a table of snapshots, as an export names them."""
    return [field.attname for field in model._meta.concrete_fields if field.attname != "pk"]


def export(request: HttpRequest, rows: QuerySet[Any], *, name: str, kind: str) -> StreamingHttpResponse:
    """Answer with the rows of one subject as a file `name.kind`, the oldest first; quality is by names."""
    return download(request, _pages(rows), columns=columns(rows.model), name=name, kind=kind)


def _pages(rows: QuerySet[Any]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in pages by time. Each page is a query of its own."""
    names, after = columns(rows.model), None
    while True:
        wanted = rows if after is None else rows.filter(at__gt=after)
        found = list(wanted.order_by("at").values(*names)[:PAGE])
        database.give_back()
        if found:
            yield [row | {"quality": quality.names(row["quality"])} for row in found]
        if len(found) < PAGE:
            return
        after = found[-1]["at"]
