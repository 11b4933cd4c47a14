"""The board in memory of one web process: open positions as rows, revalued as prices come.

Rows are read from Postgres (all of them now and then, single ones when the live log says that they changed)
and revalued in between from the marks of the live log, without asking anybody. Lives in one event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from channels.db import DatabaseSyncToAsync

from portfolio import rows
from portfolio.rows import Row
from positions import queries
from positions.models import Position

Price = tuple[Decimal | None, datetime]

PRICED = frozenset({"mark", "at", "notional", "unrealized", "unrealized_pct", "net", "distance_pct"})
"""What a price alone changes in a row; the band of risk is not among them, as somebody should see it move."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it is now. `only_price`: nothing else of it moved. A row that left has `open` False."""

    row: Row
    only_price: bool


@dataclass(slots=True)
class _Held:
    row: Row
    position: Position


class LiveBoard:
    """Open positions by id, and the newest price of each instrument."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._prices: dict[int, Price] = {}
        self._by_instrument: dict[int, set[int]] = {}
        self.environments: tuple[str, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """The rows as they are now."""
        return [held.row for held in self._held.values()]

    def row(self, position: int) -> Row | None:
        """One row, if the position is open."""
        held = self._held.get(position)
        return held.row if held else None

    async def refresh(self, *, now: datetime) -> list[Change]:
        """Read everything. Raises DatabaseError; then nothing has changed here."""
        found, self.environments = await _everything(now)
        return self._take(found, gone=self._held.keys() - {position.pk for position, _ in found})

    async def refresh_some(
        self, *, positions: Collection[int], accounts: Collection[int], now: datetime
    ) -> list[Change]:
        """Read these positions, and all of these accounts. Raises DatabaseError."""
        found = await _some(positions, accounts, now)
        asked = set(positions) | {
            key for key, held in self._held.items() if held.position.account_id in accounts
        }
        return self._take(found, gone=(asked & self._held.keys()) - {position.pk for position, _ in found})

    def take_marks(self, marks: Iterable[dict[str, Any]]) -> list[Change]:
        """Revalue the rows of instruments whose price is newer than the one known."""
        changes = []
        for mark in marks:
            price, at = mark["price"], mark["at"]
            if at is None:
                continue
            told: Price = (None if price is None else Decimal(price), datetime.fromisoformat(at))
            if not self._is_news(mark["instrument"], told):
                continue
            self._prices[mark["instrument"]] = told
            for key in self._by_instrument.get(mark["instrument"], ()):
                held = self._held[key]
                changes += self._put(held.position, self._valued(held.position, held.row))
        return changes

    def _is_news(self, instrument: int, told: Price) -> bool:
        known = self._prices.get(instrument)
        return known is None or told[1] > known[1] or (told[1] == known[1] and told[0] != known[0])

    def _take(self, found: Iterable[tuple[Position, Row]], *, gone: Iterable[int]) -> list[Change]:
        changes = []
        for position, row in found:
            changes += self._put(position, self._valued(position, row))
        for key in list(gone):
            held = self._held.pop(key)
            self._by_instrument[held.position.instrument_id].discard(key)
            changes.append(Change(held.row | {"open": False}, only_price=False))
        return changes

    def _valued(self, position: Position, row: Row) -> Row:
        """The row at the price in memory, where that is newer than the row's own."""
        price = self._prices.get(position.instrument_id)
        if price is None or (row["at"] is not None and datetime.fromisoformat(row["at"]) > price[1]):
            return row
        mark = None if price[0] is None else (price[0], price[1])
        return rows.row(position, price=mark, proof=row["proof"])

    def _put(self, position: Position, row: Row) -> list[Change]:
        known = self._held.get(position.pk)
        self._held[position.pk] = _Held(row, position)
        if known is None:
            self._by_instrument.setdefault(position.instrument_id, set()).add(position.pk)
            return [Change(row, only_price=False)]
        if known.row == row:
            return []
        moved = {name for name, value in row.items() if known.row[name] != value}
        return [Change(row, only_price=moved <= PRICED)]


Found = list[tuple[Position, Row]]


def _apart(read: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Run a read in a thread of its own: the one that requests share may be busy with any of them."""
    found: Callable[..., Awaitable[Any]] = DatabaseSyncToAsync(read, thread_sensitive=False, executor=_reader)
    return found


_reader = ThreadPoolExecutor(1, "board")


@_apart
def _everything(now: datetime) -> tuple[Found, tuple[str, ...]]:
    found = list(queries.open_positions())
    return list(zip(found, rows.rows(found, now=now), strict=True)), rows.environments()


@_apart
def _some(positions: Collection[int], accounts: Collection[int], now: datetime) -> Found:
    open_now = queries.open_positions()
    wanted = open_now.filter(pk__in=positions)
    if accounts:
        wanted = wanted | open_now.filter(account__in=accounts)
    found = list(wanted)
    return list(zip(found, rows.rows(found, now=now), strict=True))
