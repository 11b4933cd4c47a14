"""Turns rows into entries one at a time: a bad row is reported and does not affect the rows around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from positions.book.clock import time_amends
from positions.book.entries import Entry
from positions.book.money import InvalidEntry
from positions.venues.base import Corrupt, EntryBatch, Method, UnreadableRow, VenueError, VenueInstrument
from positions.venues.fields import InvalidField, milliseconds, moment
from positions.venues.redaction import scrub_value
from positions.venues.transport.conversation import Conversation


class InstrumentLookup(Protocol):
    """Finds instruments by venue symbol."""

    def get(self, venue_symbol: str, /) -> VenueInstrument | None:
        """The instrument, or None when it is not listed."""
        ...


Made = TypeVar("Made")
Decoder = Callable[[Mapping[str, Any], InstrumentLookup], list[Entry]]
# What a parser of ours, or one of ccxt's, raises on a row it did not expect.
ROW_ERRORS = (
    InvalidField,
    InvalidEntry,
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    IndexError,
    ArithmeticError,
)


class UnknownSymbol(LookupError):
    """A row names an instrument that is not in the catalog."""

    def __init__(self, venue_symbol: str) -> None:
        super().__init__(f"unknown instrument {venue_symbol!r}")
        self.venue_symbol = venue_symbol


def listed_instrument(symbol: Any, catalog: InstrumentLookup) -> VenueInstrument:
    """Return the instrument of a venue symbol. Raises UnknownSymbol, or InvalidField if it is not a name."""
    if not isinstance(symbol, str) or not symbol:
        raise InvalidField(f"instrument is {symbol!r}, not a name")
    instrument = catalog.get(symbol)
    if instrument is None:
        raise UnknownSymbol(symbol)
    return instrument


class BatchBuilder:
    """Turns the pages of one list into one EntryBatch: repeats dropped, bad rows and unknown symbols kept
    aside.
    """

    def __init__(
        self,
        method: Method,
        catalog: InstrumentLookup,
        decode: Decoder,
        *,
        refresh: Callable[[Collection[str]], Awaitable[InstrumentLookup | None]] | None = None,
        time_of: Callable[[Mapping[str, Any]], Any] = lambda row: row.get("time"),
    ) -> None:
        self.method = method
        self._catalog = catalog
        self._decode = decode
        self._refresh = refresh
        self._time_of = time_of
        self._entries: dict[str, Entry] = {}
        self._unreadable: list[UnreadableRow] = []
        self._unknown: set[str] = set()
        self._unknown_times: list[datetime] = []
        self._received = 0
        self._notices = 0
        self._duplicates = 0
        self.oldest: datetime | None = None
        self._rows_seen: set[str] = set()

    @property
    def distinct(self) -> int:
        """The number of different rows in the pages, readable or not."""
        return self._received - self._duplicates - self._notices

    async def take(self, page: Sequence[Any]) -> int | None:
        """Decode one page. Return the newest time in it (milliseconds), None when no row has one."""
        self._received += len(page)
        again: list[tuple[Mapping[str, Any], str]] = []
        for row in page:
            self._row(row, again)
        if again and self._refresh is not None:
            fresh = await self._refresh({symbol for _, symbol in again})
            self._catalog = fresh or self._catalog
        for row, _ in again:
            self._row(row, None)
        times = [time for row in page if (time := self._time(row)) is not None]
        if times:
            first = moment(min(times))
            self.oldest = first if self.oldest is None else min(self.oldest, first)
        return max(times) if times else None

    def _row(self, row: Any, again: list[tuple[Mapping[str, Any], str]] | None) -> None:
        try:
            if not isinstance(row, Mapping):
                raise InvalidField(f"row is {type(row).__name__}, not an object")
            entries = self._decode(row, self._catalog)
        except UnknownSymbol as error:
            if again is not None:
                again.append((row, error.venue_symbol))
                return
            self._unknown.add(error.venue_symbol)
            time = self._time(row)
            if time is not None:
                self._unknown_times.append(moment(time))
            self._cannot_read(row, error, error.venue_symbol)
        except ROW_ERRORS as error:
            self._cannot_read(row, error, None)
        else:
            self._notices += not entries
            self._duplicates += bool(entries) and entries[0].venue_ref in self._entries
            for entry in entries:
                self._entries[entry.venue_ref] = entry

    def _cannot_read(self, row: Any, error: Exception, symbol: str | None) -> None:
        """Pages overlap, so the same bad row may come twice: it is one."""
        fingerprint = repr(row)
        if fingerprint in self._rows_seen:
            self._duplicates += 1
            return
        self._rows_seen.add(fingerprint)
        self._unreadable.append(
            UnreadableRow(
                what=self.method,
                reason=f"{type(error).__name__}: {error}",
                payload=scrub_value(row),
                venue_symbol=symbol,
            )
        )

    def _time(self, row: Any) -> int | None:
        try:
            return milliseconds(moment(self._time_of(row)))
        except ROW_ERRORS:
            return None

    def batch(
        self,
        *,
        asked: tuple[datetime, datetime],
        covered: tuple[datetime, datetime] | None,
        problem: str | None = None,
        kept_since: datetime | None = None,
        goes_on: bool = False,
    ) -> EntryBatch:
        """Return the batch. It is complete if the whole window was covered and every row understood."""
        unseen = covered is None or covered[0] > asked[0]
        understood = not (problem or self._unreadable)
        kept = asked[0] if kept_since is None else max(asked[0], kept_since)
        gone = f"{self.method}: the venue keeps nothing from before {kept:%F %T}" if kept > asked[0] else None
        entries = tuple(self._entries.values())
        return EntryBatch(
            entries=(*entries, *time_amends(entries)),
            asked=asked,
            covered=covered,
            complete=understood and not unseen,
            counts={
                f"{self.method}.received": self._received,
                f"{self.method}.duplicate": self._duplicates,
                f"{self.method}.notices": self._notices,
                f"{self.method}.unreadable": len(self._unreadable),
            },
            unreadable=tuple(self._unreadable),
            unknown_symbols=tuple(sorted(self._unknown)),
            unknown_since=min(self._unknown_times, default=None),
            problems=tuple(one for one in (gone, problem) if one),
            kept_since=kept_since,
            exhausted=understood and covered is not None and covered[0] <= kept,
            goes_on=goes_on,
        )


def unexpected(what: str, wanted: str, answer: Any, talk: Conversation) -> VenueError:
    """Return a Corrupt error for an answer of an unexpected shape, with its text."""
    body = talk.last.body if talk.last else repr(answer)
    status = talk.last.status if talk.last else None
    found = type(answer).__name__
    return Corrupt(f"{what}: expected {wanted}, got {found}", payload=body, http_status=status)


def corrupt(what: str, error: Exception, talk: Conversation) -> VenueError:
    """Return a Corrupt error for an answer that a parser failed on, with its text."""
    body = talk.last.body if talk.last else None
    return Corrupt(f"{what}: {type(error).__name__}: {error}", payload=body)


def readable(
    what: str, rows: Sequence[Any], read: Callable[[Any], Made], talk: Conversation
) -> tuple[Made, ...]:
    """Read the rows that can be read; the others are left out, as if the venue had none there.

    For lists that nothing is concluded from. Raises Corrupt when no row can be read.
    """
    made: list[Made] = []
    unread: Exception | None = None
    for row in rows:
        try:
            made.append(read(row))
        except ROW_ERRORS as error:
            unread = error
    if unread is not None and not made:
        raise corrupt(what, unread, talk) from unread
    return tuple(made)
