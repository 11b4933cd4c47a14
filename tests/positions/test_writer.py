"""The writer: at once when idle, in batches when busy."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from datetime import datetime

import pytest

from positions import ingest, writer
from positions.models import Account, Entry, FeedCursor, Position
from tests.positions.conftest import VENUE, make_instruments
from tests.positions.facts import fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared(now):
    make_instruments(now)
    return Account.objects.create(label="main", venue=VENUE, created_at=now)


@pytest.fixture
def batches(monkeypatch):
    """Sizes of what `ingest.record` is given; the first call waits until `go` is set."""
    sizes: list[int] = []
    go = threading.Event()
    record = ingest.record

    def watched(**given):
        sizes.append(len(given["entries"]))
        assert go.wait(10)
        return record(**given)

    monkeypatch.setattr(ingest, "record", watched)
    return sizes, go


class TestTheWriter:
    def test_books_what_arrives_meanwhile_as_the_next_batch(self, shared, now, batches):
        sizes, go = batches
        with writer.Writer(account=shared, source="test", clock=lambda: now) as books:
            done = [
                books.submit(entries=[fill("buy 1 @ 60000 fee 0 USDC", at=n)], trace_id=f"trace-{n:04}")
                for n in range(1)
            ]
            while not sizes:
                pass
            done += [
                books.submit(entries=[fill("buy 1 @ 60000 fee 0 USDC", at=n)], trace_id=f"trace-{n:04}")
                for n in range(1, 61)
            ]
            go.set()
            wait(done, timeout=20)
        assert sizes == [1, 50, 10]
        assert [one.result()[0].outcome for one in done] == [ingest.Outcome.BOOKED] * 61
        assert Position.objects.get().quantity == 61
        assert list(Entry.objects.order_by("sequence").values_list("trace_id", flat=True)) == [
            f"trace-{n:04}" for n in range(61)
        ]

    def test_tells_each_order_what_happened_to_its_facts(self, shared, now):
        entry = fill("buy 1 @ 60000 fee 0 USDC", at=1)
        with writer.Writer(account=shared, source="test", clock=lambda: now) as books:
            first = books.submit(entries=[entry], trace_id="trace-0001")
            both = books.submit(
                entries=[entry, fill("buy 1 @ 1 fee 0 USDC", at=2, instrument="DOGE")], trace_id="trace-0002"
            )
            assert [one.outcome for one in first.result(10)] == ["booked"]
            assert [one.outcome for one in both.result(10)] == ["duplicate", "quarantined"]

    def test_moves_the_last_cursor_of_each_feed(self, shared, now):
        def cursor(feed: str, minute: int) -> ingest.Cursor:
            return ingest.Cursor(feed, datetime(2026, 1, 1, 0, minute, tzinfo=now.tzinfo), {})

        with writer.Writer(account=shared, source="test", clock=lambda: now) as books:
            for minute in range(3):
                books.submit(entries=[], trace_id="trace-0001", cursor=cursor("fills", minute))
            books.submit(entries=[], trace_id="trace-0001", cursor=cursor("funding", 5))
        found = {row.feed: row.through.minute for row in FeedCursor.objects.all()}
        assert found == {"fills": 2, "funding": 5}

    def test_passes_on_what_went_wrong_and_goes_on(self, shared, now, monkeypatch):
        record = ingest.record
        failing = [RuntimeError("once")]

        def sometimes(**given):
            if failing:
                raise failing.pop()
            return record(**given)

        monkeypatch.setattr(ingest, "record", sometimes)
        with writer.Writer(account=shared, source="test", clock=lambda: now) as books:
            broken = books.submit(entries=[fill("buy 1 @ 60000 fee 0 USDC", at=1)], trace_id="trace-0001")
            with pytest.raises(RuntimeError, match="once"):
                broken.result(10)
            good = books.submit(entries=[fill("buy 1 @ 60000 fee 0 USDC", at=2)], trace_id="trace-0001")
            assert good.result(10)[0].outcome == "booked"

    def test_books_what_waits_before_it_closes_and_takes_no_more(self, shared, now):
        books = writer.Writer(account=shared, source="test", clock=lambda: now)
        done = [
            books.submit(entries=[fill("buy 1 @ 60000 fee 0 USDC", at=n)], trace_id="trace-0001")
            for n in range(20)
        ]
        books.close()
        assert all(one.done() for one in done)
        assert Entry.objects.count() == 20
        with pytest.raises(writer.Closed):
            books.submit(entries=[], trace_id="trace-0001")
