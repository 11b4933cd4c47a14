"""When a venue is asked again what it lists, because a row names a symbol that nobody knows.

The first time at once: a coin that was just listed must not wait. A symbol that stays unknown (a venue lists
it late, or sends nonsense) is asked for ever more seldom, and a server is never asked without pause.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from positions.venues.errors import VenueError

AT_MOST_EVERY = timedelta(seconds=5)
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=5)
MOST_SYMBOLS = 1_000


log = structlog.get_logger("venues")
Listed = TypeVar("Listed")


async def relisted(reading: Awaitable[Listed], symbols: Collection[str]) -> Listed | None:
    """Return what a venue lists now; None where it cannot be read: rows of the symbols stay unread then."""
    try:
        return await reading
    except VenueError as error:
        log.warning(
            "unknown symbols, and the list of instruments cannot be read",
            symbols=sorted(symbols)[:10],
            error=str(error),
        )
        return None


class Relisting:
    """The unknown symbols of each server, and when it may be asked for them again."""

    def __init__(self) -> None:
        self._asked: dict[str, datetime] = {}
        self._waits: dict[tuple[str, str], tuple[datetime, timedelta]] = {}

    def is_due(self, server: str, symbols: Collection[str], *, now: datetime) -> bool:
        """Return whether the server may be asked now for any of these; then it counts as asked."""
        asked = self._asked.get(server)
        if asked is not None and now - asked < AT_MOST_EVERY:
            return False
        due = [symbol for symbol in symbols if self._is_symbol_due(server, symbol, now)]
        if not due:
            return False
        self._asked[server] = now
        if len(self._waits) > MOST_SYMBOLS:
            self._waits.clear()
        for symbol in due:
            before = self._waits.get((server, symbol))
            wait = FIRST_WAIT if before is None else min(2 * before[1], LONGEST_WAIT)
            self._waits[server, symbol] = now, wait
        return True

    def _is_symbol_due(self, server: str, symbol: str, now: datetime) -> bool:
        before = self._waits.get((server, symbol))
        return before is None or now - before[0] >= before[1]

    def forget(self, server: str | None = None) -> None:
        """Drop what is known of a server, or of all."""
        if server is None:
            self._asked.clear()
            self._waits.clear()
            return
        self._asked.pop(server, None)
        self._waits = {key: wait for key, wait in self._waits.items() if key[0] != server}
