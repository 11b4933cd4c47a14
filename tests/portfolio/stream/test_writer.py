"""The writer: at once when idle, in micro-batches when busy, again and again when Postgres is away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection

from portfolio.stream import writer as module
from portfolio.stream.writer import BacklogFull, Writer
from positions import ingest
from positions.ingest import BookingResult
from positions.models import Account, Entry, Position, QuarantinedEntry
from tests.positions.conftest import VENUE, make_instruments
from tests.positions.facts import fill

SECONDS = 60  # a loaded machine may take long; nobody waits longer than it must


def fills(count):
    return [fill("buy 1 @ 100 fee 0 USDC", at=second) for second in range(count)]


def writer_of(account, pool, *, failed=lambda reason: None):
    return Writer(
        account=account,
        pool=pool,
        later=lambda seconds, call: threading.Timer(0.01, call).start(),
        failed=failed,
    )


class Gate:
    """Holds up every booking while it is shut."""

    def __init__(self):
        self.open, self.began = threading.Event(), threading.Event()
        self.open.set()

    def pass_through(self):
        self.began.set()
        assert self.open.wait(SECONDS), "nobody opened the gate"

    def shut(self):
        self.open.clear()

    def wait_for_a_booking(self):
        assert self.began.wait(SECONDS), "no booking began"


class Book:
    """Stands in for `ingest.record`: keeps each batch; `gate` holds it up, `failures` makes it fail."""

    def __init__(self):
        self.batches, self.failures, self.gate = [], 0, Gate()

    def record(self, *, entries, **facts):
        self.gate.pass_through()
        if self.failures:
            self.failures -= 1
            raise OperationalError("Postgres is away")
        self.batches.append([entry.venue_ref for entry in entries])
        return BookingResult([], None, [], [])


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
        yield writer_of(Account(label="trader"), pool, failed=failures.append)
        book.gate.open.set()


class TestAWriter:
    def test_books_at_once_when_idle_and_what_arrives_meanwhile_as_the_next_batch(self, writer, book):
        first, *rest = fills(61)
        book.gate.shut()
        writer.put([first])
        book.gate.wait_for_a_booking()
        for later in rest:
            writer.put([later])
        book.gate.open.set()
        assert writer.drained(seconds=SECONDS)
        assert [len(batch) for batch in book.batches] == [1, 50, 10]
        assert [ref for batch in book.batches for ref in batch] == [one.venue_ref for one in (first, *rest)]

    def test_tries_again_in_order_until_the_book_takes_it(self, writer, book, failures):
        book.failures = 2
        facts = fills(3)
        writer.put(facts[:2])
        writer.put(facts[2:])
        assert writer.drained(seconds=SECONDS)
        assert [ref for batch in book.batches for ref in batch] == [one.venue_ref for one in facts]
        assert failures == ["the book cannot be written: OperationalError"] * 2 + [""]

    def test_books_nothing_more_once_stopped(self, writer, book):
        book.gate.shut()
        one, two = fills(2)
        writer.put([one])
        book.gate.wait_for_a_booking()
        writer.put([two])
        writer.stop()
        book.gate.open.set()
        assert writer.drained(seconds=SECONDS)
        writer.put([two])
        assert book.batches == [[one.venue_ref]]

    def test_drops_what_waits_rather_than_grow_without_bound(self, writer, book, monkeypatch):
        monkeypatch.setattr(module, "WAITING", 5)
        book.gate.shut()
        writer.put(fills(1))
        book.gate.wait_for_a_booking()
        with pytest.raises(BacklogFull):
            writer.put(fills(6))
        book.gate.open.set()
        assert writer.drained(seconds=SECONDS)
        assert [len(batch) for batch in book.batches] == [1]


@pytest.mark.django_db(transaction=True)
class TestInTheLedger:
    @pytest.fixture
    def account(self, now):
        make_instruments(now)
        return Account.objects.create(label="main", venue=VENUE, created_at=now)

    @pytest.fixture
    def gate(self, monkeypatch):
        gate, record = Gate(), ingest.record

        def held_up(**given):
            gate.pass_through()
            return record(**given)

        monkeypatch.setattr(module.ingest, "record", held_up)
        yield gate
        gate.open.set()

    @pytest.fixture
    def writer(self, account, gate):
        with ThreadPoolExecutor(1) as pool:
            yield writer_of(account, pool)
            gate.open.set()
            # The pool's connection is its thread's own: nobody else can close it.
            pool.submit(lambda: connection.close()).result(SECONDS)

    def test_every_fact_is_booked_once_with_the_trace_of_its_message(self, writer, gate):
        facts = fills(61)
        gate.shut()
        writer.put(facts[:1])
        gate.wait_for_a_booking()
        for start in range(1, 61, 2):
            writer.put(facts[start : start + 2])
        writer.put(facts[:5])
        gate.open.set()
        assert writer.drained(seconds=SECONDS)
        rows = list(Entry.objects.order_by("sequence").values_list("venue_ref", "trace_id"))
        assert [ref for ref, _ in rows] == [fact.venue_ref for fact in facts]
        assert Position.objects.get().quantity == 61
        traces = [trace for _, trace in rows]
        assert len(set(traces)) == 31
        assert all(traces[start] == traces[start + 1] for start in range(1, 61, 2))

    def test_a_fact_that_the_book_refuses_does_not_hold_up_the_others(self, writer):
        writer.put([*fills(1), fill("buy 1 @ 1 fee 0 USDC", at=2, instrument="DOGE"), *fills(1)])
        assert writer.drained(seconds=SECONDS)
        assert Entry.objects.count() == 2
        assert QuarantinedEntry.objects.get().reason == "unknown_instrument"
