"""How a venue's state and lists are asked: declared data, one line per call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of a report.

    scopes  the parts of the venue it answers completely (linear:USDT, inverse:*); None: those whose rows it
    brings wallet  set for a balance call page    rows it brings at most: as many mean that the answer was
    cut
    """

    method: str
    args: tuple[Any, ...] = ()
    scopes: tuple[str, ...] | None = None
    wallet: str = ""
    page: int | None = None


class Paging(StrEnum):
    """Which rows a page holds: of an unknown order, the oldest since a time, the newest until one, or those
    after the cursor that the last page named.
    """

    UNKNOWN = "unknown"
    FORWARD = "forward"
    BACKWARD = "backward"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of facts: `page` rows at most per request, `window` at most, kept for `history`."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    page: int = 50
    paging: Paging = Paging.UNKNOWN
    window: timedelta | None = None
    history: timedelta | None = None
    per_symbol: bool = False
