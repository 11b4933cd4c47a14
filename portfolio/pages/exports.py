"""Entries and closed positions as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from django.core.exceptions import BadRequest
from django.db.models import Model, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from core.http.downloads import FORMATS, Facts, download
from core.storage import database
from positions.labels import entry_kind
from positions.models import Entry, Position

PAGE = 2000
ENTRY = {
    "id": "pk", "account": "account.label", "venue": "account.venue", "at": "at", "kind": "kind", "label": "",
    "cause": "cause", "instrument": "", "leg": "leg", "quantity": "quantity", "price": "price", "fee": "fee",
    "fee_currency": "fee_currency", "amount": "amount", "currency": "currency", "wallet": "wallet",
    "source": "source", "venue_ref": "venue_ref", "trace_id": "trace_id",
}  # fmt: skip
"""{column: attribute of an entry}; "" is computed."""
CLOSED = {
    "id": "pk", "account": "account.label", "venue": "account.venue", "instrument": "instrument.symbol",
    "leg": "leg", "status": "status", "opened_at": "opened_at", "closed_at": "closed_at",
    "peak_quantity": "peak_quantity", "entry_price": "entry_price", "exit_price": "exit_price",
    "realized_pnl": "realized_pnl", "net_pnl": "net_pnl", "pnl_currency": "pnl_currency", "fees": "fees",
    "funding": "funding", "unknown_count": "unknown_count", "strategy": "strategy", "tags": "tags",
}  # fmt: skip
"""{column: attribute of a position}. Fees and funding are {currency: amount}."""


def entries(request: HttpRequest, wanted: QuerySet[Entry]) -> StreamingHttpResponse:
    """Answer with entries as a file, the first booked first."""
    return _file(request, wanted, _entry, columns=ENTRY, name="entries")


def closed(request: HttpRequest, wanted: QuerySet[Position]) -> StreamingHttpResponse:
    """Answer with closed positions as a file, the first opened first."""
    return _file(request, wanted, lambda one: _facts(one, CLOSED), columns=CLOSED, name="closed-positions")


def _entry(entry: Entry) -> Facts:
    return _facts(entry, ENTRY) | {
        "label": entry_kind(kind=entry.kind, quantity=entry.quantity),
        "instrument": entry.instrument.symbol if entry.instrument else None,
    }


def _facts(row: Model, columns: dict[str, str]) -> dict[str, Any]:
    return {name: attrgetter(path)(row) if path else None for name, path in columns.items()}


def _file(
    request: HttpRequest, wanted: QuerySet[Any], facts: Callable[[Any], Facts], *, columns: Any, name: str
) -> StreamingHttpResponse:
    kind = request.GET.get("format", "")
    if kind not in FORMATS:
        raise BadRequest(f"format must be one of: {', '.join(FORMATS)}")
    pages = ([facts(row) for row in page] for page in _pages(wanted))
    return download(request, pages, columns=columns, name=name, kind=kind)


def _pages(wanted: QuerySet[Any]) -> Iterator[list[Any]]:
    """Yield rows in pages by primary key, the oldest first; each is a query of its own."""
    after = 0
    while True:
        found = list(wanted.filter(pk__gt=after).order_by("pk")[:PAGE])
        database.give_back()
        if found:
            yield found
        if len(found) < PAGE:
            return
        after = found[-1].pk
