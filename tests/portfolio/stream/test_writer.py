import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from portfolio.streaming import writer as module
from portfolio.streaming.writer import Overflow, Writer
from positions.ingest import Recorded
from positions.models import Account
from tests.positions.facts import fill


def fills(count):
    return [fill("buy 1 @ 100", at=second) for second in range(count)]


class Book:
    """Stands in for `ingest.record`: keeps each batch; `gate` holds it up, `failures` makes it fail."""

    def __init__(self):
        self.batches, self.failures = [], 0
        self.gate, self.began = threading.Event(), threading.Event()
        self.gate.set()

    def record(self, *, entries, **facts):
        self.began.set()
        self.gate.wait(5)
        if self.failures:
            self.failures -= 1
            raise OperationalError("Postgres is away")
        self.batches.append([entry.venue_ref for entry in entries])
        return Recorded([], None, [], [])


@pytest.fixture
def book(monkeypatch):
    book = Book()
    monkeypatch.setattr(module.ingest, "record", book.record)
    return book


@pytest.fixture
def failures():
    return []


@pytest.fixture
def writer(book, failures):
    with ThreadPoolExecutor(1) as pool:
        yield Writer(
            account=Account(label="trader"),
            pool=pool,
            later=lambda seconds, call: threading.Timer(0.01, call).start(),
            failed=failures.append,
        )


class TestAWriter:
    def test_books_at_once_when_idle_and_what_arrives_meanwhile_as_the_next_batch(self, writer, book):
        first, *rest = fills(61)
        book.gate.clear()
        writer.put([first])
        book.began.wait(5)
        for later in rest:
            writer.put([later])
        book.gate.set()
        assert writer.drained(seconds=5)
        assert [len(batch) for batch in book.batches] == [1, 50, 10]
        assert [ref for batch in book.batches for ref in batch] == [one.venue_ref for one in (first, *rest)]

    def test_tries_again_in_order_until_the_book_takes_it(self, writer, book, failures):
        book.failures = 2
        facts = fills(3)
        writer.put(facts[:2])
        writer.put(facts[2:])
        assert writer.drained(seconds=5)
        assert [ref for batch in book.batches for ref in batch] == [one.venue_ref for one in facts]
        assert failures == ["the book cannot be written: OperationalError"] * 2 + [""]

    def test_books_nothing_more_once_stopped(self, writer, book):
        book.gate.clear()
        one, two = fills(2)
        writer.put([one])
        book.began.wait(5)
        writer.put([two])
        writer.stop()
        book.gate.set()
        assert writer.drained(seconds=5)
        writer.put([two])
        assert book.batches == [[one.venue_ref]]

    def test_drops_what_waits_rather_than_grow_without_bound(self, writer, book, monkeypatch):
        monkeypatch.setattr(module, "WAITING", 5)
        book.gate.clear()
        writer.put(fills(1))
        book.began.wait(5)
        with pytest.raises(Overflow):
            writer.put(fills(6))
        book.gate.set()
        assert writer.drained(seconds=5)
        assert [len(batch) for batch in book.batches] == [1]
