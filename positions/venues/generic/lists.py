"""Reads unified lists (trades, funding, transfers) page by page, and tells which window was covered."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from positions.book.entries import Entry
from positions.venues.base import EntryBatch, Method, VenueInstrument
from positions.venues.decoding import (
    ROW_ERRORS,
    BatchBuilder,
    Decoder,
    InstrumentLookup,
    listed_instrument,
    unexpected,
)
from positions.venues.fields import InvalidField, milliseconds, moment
from positions.venues.generic import unified_facts
from positions.venues.generic.calls import ListCall, Paging
from positions.venues.generic.rules import VenueRules
from positions.venues.generic.unified_rows import Row
from positions.venues.transport.conversation import Conversation
from positions.venues.transport.instrumentation import UNREADABLE

SETTLING = timedelta(seconds=1)
MOST_PAGES = 40
# Of a history of years in windows of a week: what one question reads; the next goes on from there.
MOST_WINDOWS = 26
SHORTEST_WINDOW = timedelta(hours=1)
ONE_MOMENT = "a full page of rows at one time, what lies beyond cannot be asked"
TOO_LONG = f"more than {MOST_PAGES} pages"


class ListReader:
    """Reads the lists of one account since a time."""

    def __init__(
        self, venue: VenueRules, markets: InstrumentLookup, *, since: datetime, until: datetime | None
    ) -> None:
        self._venue = venue
        self._markets = markets
        self._since = since
        self._until = until
        self._pending: datetime | None = None

    async def read(self, method: Method) -> list[EntryBatch]:
        """One batch per list of the method; [] when the venue has none."""
        venue = self._venue
        if method is Method.FILLS:
            plans = [(listing, self._fills()) for listing in venue.fills]
        elif method is Method.FUNDING:
            plans = [(listing, self._funding()) for listing in venue.funding]
        else:
            plans = [(listing, self._ledger()) for listing in venue.ledgers]
            for transfers, incoming in ((venue.deposits, True), (venue.withdrawals, False)):
                if transfers is not None:
                    plans.append((transfers, self._transfers(incoming=incoming)))
        batches = []
        for listing, decode in plans:
            if not venue.has(listing.method):
                continue
            batches.extend([batch async for batch in self._symbols(method, listing, decode)])
        return batches

    async def answered(self, method: Method, call: str, *args: Any, incoming: bool = True) -> EntryBatch:
        """What one call of a unified list method says; no window is claimed."""
        decoders = {Method.FILLS: self._fills, Method.FUNDING: self._funding}
        decode = decoders[method]() if method in decoders else self._transfers(incoming=incoming)
        decoding = self._decoding(method, decode)
        rows, _ = await self._rows(call, *args)
        await decoding.take(rows)
        return decoding.batch(asked=self._asked(), covered=None)

    async def ledger_answered(self, call: str, *args: Any) -> EntryBatch:
        """What one call of a ledger says; no window is claimed."""
        decoding = self._decoding(Method.TRANSFERS, self._ledger())
        rows, _ = await self._rows(call, *args)
        await decoding.take(rows)
        return decoding.batch(asked=self._asked(), covered=None)

    async def _symbols(self, method: Method, listing: ListCall, decode: Decoder) -> AsyncIterator[EntryBatch]:
        if not listing.per_symbol:
            yield await self._one(method, listing, decode, None)
            return
        symbols = await self._venue.symbols_traded(self._since)
        if symbols is None:
            problem = f"{method}: this venue is asked symbol by symbol, and which were traded is not known"
            yield self._decoding(method, decode).batch(asked=self._asked(), covered=None, problem=problem)
            return
        for symbol in symbols:
            yield await self._one(method, listing, decode, symbol)
        if not symbols:
            now = self._venue.ports.clock()
            yield self._decoding(method, decode).batch(
                asked=self._asked(), covered=(self._since, now - SETTLING)
            )

    def _asked(self) -> tuple[datetime, datetime]:
        return self._since, self._until or self._venue.ports.clock()

    def _decoding(self, method: Method, decode: Decoder) -> BatchBuilder:
        return BatchBuilder(
            method,
            self._markets,
            decode,
            refresh=self._venue.relist,
            time_of=lambda row: row.get("timestamp"),
        )

    async def _one(
        self, method: Method, listing: ListCall, decode: Decoder, symbol: str | None
    ) -> EntryBatch:
        """One list of one symbol (None: of the account), window by window."""
        decoding = self._decoding(method, decode)
        asked = self._asked()
        start, kept_since, problem = self._since, None, None
        if listing.history is not None and asked[1] - start > listing.history:
            start = kept_since = asked[1] - listing.history
        first = reached = start
        todo = deque(_windows(start, asked[1], listing.window))
        for _ in range(MOST_WINDOWS):
            if not todo:
                break
            begin, end = todo.popleft()
            reached, trouble = await self._window(listing, decoding, symbol, begin, end)
            if trouble is TOO_LONG and reached == begin and end - begin > SHORTEST_WINDOW:
                # Newest first, and more pages than we ask: nothing is proven of it yet, so take it in halves.
                middle = begin + (end - begin) / 2
                todo.extendleft([(middle, end), (begin, middle)])
            elif trouble:
                problem = f"{method}: {trouble}"
                break
        goes_on = bool(todo) and not problem
        if goes_on:
            problem = f"{method}: read up to {reached:%F %T}, the rest with the next question"
        pending = self._pending
        self._pending = None
        covered_to = min(reached, asked[1] - SETTLING)
        if pending is not None:
            covered_to = min(covered_to, pending - timedelta(milliseconds=1))
        covered = (first, covered_to) if first < covered_to else None
        return decoding.batch(
            asked=asked, covered=covered, problem=problem, kept_since=kept_since, goes_on=goes_on
        )

    async def _window(
        self, listing: ListCall, decoding: BatchBuilder, symbol: str | None, begin: datetime, end: datetime
    ) -> tuple[datetime, str | None]:
        """Pages of one window; (covered up to, why not further)."""
        low, high, cursor = milliseconds(begin), milliseconds(end), None
        for _ in range(MOST_PAGES):
            rows, parsed, cursor = await self._page(listing, symbol, low, high, cursor)
            newest = await decoding.take(rows)
            if listing.paging is Paging.CURSOR:
                if not cursor or not rows:
                    return end, None
                continue
            full = max(len(rows), parsed) >= listing.page
            if listing.paging is Paging.UNKNOWN:
                return (begin, "a full page of a list whose paging is unproven") if full else (end, None)
            # A page may be cut short: only one that brings nothing further ends the list.
            if listing.paging is Paging.FORWARD:
                if newest is None or newest <= low:
                    return (moment(low), ONE_MOMENT) if full else (end, None)
                low = newest
            else:
                oldest = _oldest(rows)
                if oldest is None or oldest + 1 >= high:
                    return (begin, ONE_MOMENT) if full else (end, None)
                # One more than the oldest: whether the venue includes the bound is not relied on.
                high = oldest + 1
        return moment(low) if listing.paging is Paging.FORWARD else begin, TOO_LONG

    async def _page(
        self, listing: ListCall, symbol: str | None, low: int, high: int, cursor: str | None
    ) -> tuple[list[Any], int, str | None]:
        """(rows, how many the venue sent, where the next page starts)."""
        params = dict(listing.params)
        pages_back = listing.paging in (Paging.BACKWARD, Paging.CURSOR)
        bounded = listing.window is not None or pages_back or self._until is not None
        if bounded and listing.paging is not Paging.UNKNOWN:
            params["until"] = high
        if cursor:
            params["cursor"] = cursor
        limit = listing.page if listing.paging is not Paging.UNKNOWN else None
        rows, talk = await self._rows(listing.method, symbol, low, limit, params)
        return rows, talk.parsed, talk.field("cursor") if listing.paging is Paging.CURSOR else None

    async def _rows(self, call: str, *args: Any) -> tuple[list[Any], Conversation]:
        """A unified list; rows that ccxt could not parse, and then lost in a filter, are put back."""
        answer, talk = await self._venue.client.call(call, *args)
        if not isinstance(answer, list) or (not answer and not talk.believes_none()):
            raise unexpected(call, "a list", answer, talk)
        if call == "fetch_my_trades":
            await self._venue.before_fills(answer)
        shown = {id(row.get("info")) for row in answer if isinstance(row, Mapping)}
        lost = [{"info": raw, UNREADABLE: reason} for raw, reason in talk.unparsed if id(raw) not in shown]
        return [*answer, *lost], talk

    def _fills(self) -> Decoder:
        return lambda row, markets: self._venue.fills_of(row, _known(row, markets))

    def _funding(self) -> Decoder:
        def decode(row: Row, markets: InstrumentLookup) -> list[Entry]:
            _readable(row)
            instrument = listed_instrument(self._venue.funding_symbol(row), markets)
            return [self._venue.funding_of(row, instrument)]

        return decode

    def _ledger(self) -> Decoder:
        def decode(row: Row, _: InstrumentLookup) -> list[Entry]:
            _readable(row)
            return self._venue.ledger_of(row)

        return decode

    def _transfers(self, *, incoming: bool) -> Decoder:
        def decode(row: Row, _: InstrumentLookup) -> list[Entry]:
            _readable(row)
            wallet = self._venue.wallet_of_transfers()
            try:
                return unified_facts.transfer(
                    row, venue=self._venue.config.venue, wallet=wallet, incoming=incoming
                )
            except unified_facts.UnsettledTransfer:
                # It will be done at its old time stamp: the window must not be called covered beyond it.
                time = moment(row.get("timestamp"), "timestamp")
                self._pending = time if self._pending is None else min(time, self._pending)
                return []

        return decode


def _known(row: Row, markets: InstrumentLookup) -> VenueInstrument:
    _readable(row)
    return listed_instrument(row.get("symbol"), markets)


def _readable(row: Row) -> None:
    if row.get(UNREADABLE):
        raise InvalidField(str(row[UNREADABLE]))


def _oldest(rows: list[Any]) -> int | None:
    times = []
    for row in rows:
        try:
            times.append(milliseconds(moment(row.get("timestamp"))))
        except ROW_ERRORS:
            continue
    return min(times) if times else None


def _windows(
    start: datetime, end: datetime, longest: timedelta | None
) -> Iterator[tuple[datetime, datetime]]:
    """Consecutive windows of at most `longest`; one when there is no limit."""
    if longest is None:
        yield start, end
        return
    while start < end:
        stop = min(start + longest, end)
        yield start, stop
        start = stop
