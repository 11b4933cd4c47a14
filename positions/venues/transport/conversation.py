"""The HTTP exchanges behind one call of ours, and what ccxt's parsers made of their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from positions.venues.errors import HttpRoundTrip
from positions.venues.fields import InvalidField, number


@dataclass(slots=True)
class Conversation:
    """The HTTP exchanges of one call of ours, oldest first (tasks the call starts share it).

    `given` are the raw rows that ccxt's parsers were given; `unparsed` are those that they could not read, or
    that ccxt would drop for having no time.
    """

    exchanges: list[HttpRoundTrip] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)
    unparsed: list[tuple[Any, str]] = field(default_factory=list)
    inside_row: bool = False

    @property
    def parsed(self) -> int:
        """How many rows ccxt's parsers were given."""
        return len(self.given)

    @property
    def last(self) -> HttpRoundTrip | None:
        return self.exchanges[-1] if self.exchanges else None

    def believes_none(self) -> bool:
        """Return whether the venue really has no rows: its last answer has an empty list, and none with rows.

        An answer of another shape (an object, a bare status) is not an empty list; and rows that no parser
        was given were lost on the way.
        """
        found = list(self._lists(self._json()))
        if not self.parsed and any(isinstance(row, dict) for rows in found for row in rows):
            return False
        return bool(found)

    def held_back(self) -> list[Mapping[str, Any]]:
        """Return the rows beside parsed ones that no parser was given and that do not say that they are zero.

        ccxt leaves rows out by rules of its own (a position without an entry price), and says nothing.
        """
        seen = {id(row) for row in self.given}
        answer = self.exchanges[-1].answer if self.exchanges else None
        lists = [rows for rows in self._lists(answer) if any(id(row) in seen for row in rows)]
        apart = [row for rows in lists for row in rows if isinstance(row, dict) and id(row) not in seen]
        return [row for row in apart if not _states_zero(row) and not any(map(_extends(row), self.given))]

    def believes_no_assets(self) -> bool:
        """Return whether the venue really has no assets; they may be names in an object."""
        answer = self._json()
        return any(True for _ in self._lists(answer)) or (
            isinstance(answer, dict) and any(value == {} for value in answer.values())
        )

    def _json(self) -> Any:
        try:
            return json.loads((self.last.body if self.last else None) or "null")
        except ValueError:
            return None

    def _lists(self, item: Any, depth: int = 0) -> Iterator[list[Any]]:
        if isinstance(item, list):
            yield item
        elif isinstance(item, dict) and depth < 4:
            for value in item.values():
                yield from self._lists(value, depth + 1)

    def field(self, name: str) -> str | None:
        """A text field of the last answer's top level; None when there is none."""
        answer = self._json()
        value = answer.get(name) if isinstance(answer, dict) else None
        return value if isinstance(value, str) and value else None

    @property
    def first_sent_at(self) -> datetime | None:
        return self.exchanges[0].sent_at if self.exchanges else None


# How venues call the size of a position.
_SIZES = (
    "positionAmt",
    "size",
    "contracts",
    "quantity",
    "qty",
    "pos",
    "positions",
    "position",
    "total",
    "amount",
)


def _states_zero(row: Mapping[str, Any]) -> bool:
    """Whether a raw row names its size, and it is nothing."""
    sizes = [row[name] for name in _SIZES if name in row]
    try:
        return bool(sizes) and not any(number(size) for size in sizes)
    except InvalidField:
        return False


def _extends(row: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Whether another row has all that this one has: some exchanges copy a row and add to it."""
    return lambda other: isinstance(other, dict) and row.items() <= other.items()


conversation: ContextVar[Conversation | None] = ContextVar("conversation", default=None)
