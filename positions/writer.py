"""Books an account's facts as they come: an idle writer at once, what arrives meanwhile as the next batch.

No timer stands between a fill and its booking: batches form only while a booking is under way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import connection

from positions import ingest
from positions.book import Entry
from positions.models import Account

LIMIT = 50

log = structlog.get_logger("writer")


class Closed(RuntimeError):
    """The writer was closed and takes nothing more."""


@dataclass(frozen=True, slots=True)
class _Order:
    entries: Sequence[Entry]
    trace_id: str
    cursor: ingest.Cursor | None
    done: Future[list[ingest.Result]]


class Writer:
    """One thread that books for one account. Close it, or use it as a context manager."""

    def __init__(
        self, *, account: Account, source: str, clock: Callable[[], datetime], limit: int = LIMIT
    ) -> None:
        self._account, self._source, self._clock, self._limit = account, source, clock, limit
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._next: _Order | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"writer {account.label}", daemon=True)
        self._thread.start()

    def submit(
        self, *, entries: Sequence[Entry], trace_id: str, cursor: ingest.Cursor | None = None
    ) -> Future[list[ingest.Result]]:
        """Hand facts over; the future has one result per entry once they are committed, or what went wrong.

        Orders of one writer are booked in the order given; a cursor moves with its facts. Raises Closed.
        """
        order = _Order(entries, trace_id, cursor, Future())
        with self._lock:
            if self._closed:
                raise Closed("the writer is closed")
            self._orders.put(order)
        return order.done

    def close(self) -> None:
        """Book what is waiting, then stop."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._orders.put(None)
        self._thread.join()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                self._book(batch)
        finally:
            connection.close()

    def _take(self) -> list[_Order] | None:
        """Wait for an order; take what else is there, up to the limit. None: closed and all is booked."""
        first = self._next or self._orders.get()
        self._next = None
        if first is None:
            return None
        batch, size = [first], len(first.entries)
        while size < self._limit:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                break
            if order is None or size + len(order.entries) > self._limit:
                self._hold(order)
                break
            batch.append(order)
            size += len(order.entries)
        return batch

    def _hold(self, order: _Order | None) -> None:
        """Keep what does not fit for the next round; the sign to stop goes back to the end."""
        if order is None:
            self._orders.put(None)
        else:
            self._next = order

    def _book(self, batch: list[_Order]) -> None:
        # One per feed, the last one given: it covers what came before it.
        cursors = {order.cursor.feed: order.cursor for order in batch if order.cursor is not None}
        try:
            recorded = ingest.record(
                account=self._account,
                entries=[entry for order in batch for entry in order.entries],
                source=self._source,
                trace_id=batch[0].trace_id,
                traces={entry.venue_ref: order.trace_id for order in batch for entry in order.entries},
                now=self._clock(),
                cursor=list(cursors.values()),
            )
        except Exception as error:  # noqa: BLE001 - whoever waits for the facts is told, whatever it was
            log.warning("a batch was not booked", account=self._account.pk, error=repr(error))
            for order in batch:
                order.done.set_exception(error)
            return
        results = iter(recorded.results)
        for order in batch:
            order.done.set_result([next(results) for _ in order.entries])
