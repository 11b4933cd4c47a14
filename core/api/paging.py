"""Cursor pages: stable under inserts, no OFFSET, an opaque cursor that only this code reads."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet

from core.http.inputs import MAX_CURSOR, MAX_LIMIT
from core.http.problems import Problem

Row = TypeVar("Row", bound=Model)


def page(
    rows: QuerySet[Row], *, order: tuple[str, ...], cursor: str | None, limit: int
) -> tuple[list[Row], str | None]:
    """Return up to `limit` rows after `cursor`, and the cursor of the next page (None at the end).

    `order` names non-null model fields, "-" for descending; the last one must be unique.
    Raises Problem (400) for a cursor that this list did not give, or a limit outside 1..500.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Problem(400, "bad_limit", f"limit must be from 1 to {MAX_LIMIT}.")
    if cursor:
        rows = rows.filter(_after(rows.model, order, _decode(cursor, order)))
    found = list(rows.order_by(*order)[: limit + 1])
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], _encode([getattr(last, name.lstrip("-")) for name in order], order)


def _after(model: type[Model], order: tuple[str, ...], values: list[Any]) -> Q:
    """Rows that come later: the first field decides, then the next among equals, and so on."""
    later = Q()
    equal: dict[str, Any] = {}
    for name, raw in zip(order, values, strict=True):
        field = name.lstrip("-")
        try:
            value = _value(cast("Field[Any, Any]", model._meta.get_field(field)), raw)
        except (ValidationError, ArithmeticError, ValueError, TypeError) as error:
            raise _bad_cursor() from error
        later |= Q(**equal, **{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        equal[field] = value
    return later


def _value(field: Field[Any, Any], raw: Any) -> Any:
    """A field's value as it was written. Raises ValueError and others for what no row can have."""
    if not isinstance(raw, str) or "\x00" in raw:
        raise TypeError(raw)
    raw.encode()
    value = field.to_python(raw)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _encode(values: list[Any], order: tuple[str, ...]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps([",".join(order), plain]).encode()).decode().rstrip("=")


def _decode(cursor: str, order: tuple[str, ...]) -> list[Any]:
    if len(cursor) > MAX_CURSOR:  # JSON that is nested as deep as it is long ends in a RecursionError
        raise _bad_cursor()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        named, values = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError, RecursionError) as error:
        raise _bad_cursor() from error
    if named != ",".join(order) or not isinstance(values, list) or len(values) != len(order):
        raise _bad_cursor()
    return values


def _bad_cursor() -> Problem:
    return Problem(400, "bad_cursor", "This cursor is not one of this list: start again without a cursor.")
