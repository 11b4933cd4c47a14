"""What an operation takes: bounded text, ids and lists, so that no request can ask for more than it says."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

MAX_TEXT = 300
MAX_CURSOR = 1000
MAX_ID = 2**63 - 1  # a bigint; 19 digits
MAX_LIMIT = 500


def printable(text: str) -> str:
    """Return text that Postgres takes and people can read. Raises ValueError for control characters."""
    if any((ord(character) < 32 and character not in "\n\t") or ord(character) == 127 for character in text):
        raise ValueError("must not contain control characters")
    return text


def shortened(text: str, *, to: int = MAX_TEXT) -> str:
    """Return text of at most so many characters; one that was longer ends in an ellipsis."""
    return text if len(text) <= to else f"{text[: to - 1]}…"


def id_of(text: str) -> int | None:
    """Return the id that text writes; None where it writes none, or one that no row can have."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    return found if (found := int(text)) <= MAX_ID else None


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(printable)]
"""Text of at most 300 characters, unless a field says otherwise; pydantic refuses lone surrogates."""

LongText = Annotated[str, Field(max_length=4000), AfterValidator(printable)]
"""Text that a person writes: a comment, a note."""

Id = Annotated[int, Field(ge=0, le=MAX_ID)]
"""An id of a row; one that no row can have is refused before the database sees it."""

Limit = Annotated[
    int, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100})
]
"""How many rows a page has: `core.api.paging` refuses what is outside."""

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


def _written_day(value: object) -> object:
    """Return what may be a day: pydantic would take a number of seconds for one, too."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("write a day as 2026-01-31")
    return value


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Day = Annotated[
    date,
    Field(ge=FIRST_DAY, le=LAST_DAY),
    BeforeValidator(_written_day),
    WithJsonSchema({"type": "string", "format": "date", "maxLength": 10}),
]
"""A day of this or the next century, written as 2026-01-31."""

Cursor = Annotated[str, WithJsonSchema({"type": "string", "maxLength": MAX_CURSOR})]
"""Where a page begins: `core.api.paging` refuses what it did not give."""
