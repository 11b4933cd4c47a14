"""Declared data: which calls read a venue's state and its lists, one line per call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class ReportCall:
    """One call of a report.

    scopes  the parts of the venue it answers completely (linear:USDT, inverse:*); None: those with rows in it
    wallet  our name of the wallet, for a balance call only
    page    the most rows it returns: that many mean that the answer was cut
    """

    method: str
    args: tuple[Any, ...] = ()
    scopes: tuple[str, ...] | None = None
    wallet: str = ""
    page: int | None = None


class Paging(StrEnum):
    """Which rows a page holds: in unknown order, the oldest since a time (forward), the newest until a time
    (backward), or those after the cursor that the last page named.
    """

    UNKNOWN = "unknown"
    FORWARD = "forward"
    BACKWARD = "backward"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class ListCall:
    """One call that reads a list: at most `page` rows and `window` of time a request, kept for `history`."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    page: int = 50
    paging: Paging = Paging.UNKNOWN
    window: timedelta | None = None
    history: timedelta | None = None
    per_symbol: bool = False
