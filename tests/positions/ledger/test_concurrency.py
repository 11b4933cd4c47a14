"""Writers that meet: they wait, retry, and nothing is lost or doubled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from core.storage.leases import database_conninfo
from positions import ingest
from positions.ledger import booking, sql
from positions.models import Account, AccountHead, Entry, Position
from tests.positions.conftest import VENUE, assert_rebuild_changes_nothing, make_instruments
from tests.positions.facts import fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared(now):
    make_instruments(now)
    return Account.objects.create(label="main", venue=VENUE, created_at=now)


def record(account, now, *entries):
    return ingest.record(account=account, entries=entries, source="test", trace_id="t", now=now)


class TestFourWritersOnOnePosition:
    def test_lose_and_double_nothing(self, shared, now):
        facts = [fill(f"{'buy' if n % 3 else 'sell'} 1 @ 60000 fee 1 USDC", at=n) for n in range(80)]

        def write(own):
            try:
                for entry in own:
                    record(shared, now, entry)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as pool:
            # Each fact comes from two of them.
            list(pool.map(write, [facts[0::2], facts[1::2], facts[::-1][0::2], facts[::-1][1::2]]))
        assert Entry.objects.count() == 80
        assert sorted(Entry.objects.values_list("sequence", flat=True)) == list(range(1, 81))
        assert_rebuild_changes_nothing(shared, now)


class TestALockedHead:
    @pytest.fixture
    def held(self, shared, now):
        """Somebody else's transaction holds the account's head."""
        record(shared, now, fill("buy 1 @ 60000 fee 1 USDC", at=1))
        with psycopg.connect(database_conninfo()) as other:
            other.execute("SELECT 1 FROM positions_accounthead FOR UPDATE")
            yield other

    def test_is_waited_for_and_tried_again(self, shared, now, held, monkeypatch):
        monkeypatch.setattr(sql, "_HEAD", sql._HEAD.replace("'5s'", "'50ms'"))
        monkeypatch.setattr(booking, "RETRY_SECONDS", (0.01, 0.01, 0.01))
        tries, run = [], booking.Booking.run

        def released_before_the_third(self):
            tries.append(1)
            if len(tries) == 3:
                held.rollback()
            return run(self)

        monkeypatch.setattr(booking.Booking, "run", released_before_the_third)
        done = record(shared, now, fill("buy 1 @ 60000 fee 1 USDC", at=2))
        assert (done.results[0].outcome, len(tries)) == ("booked", 3)

    def test_is_given_up_after_three_retries(self, shared, now, held, monkeypatch):
        monkeypatch.setattr(sql, "_HEAD", sql._HEAD.replace("'5s'", "'10ms'"))
        monkeypatch.setattr(booking, "RETRY_SECONDS", (0.01, 0.01, 0.01))
        tries = []
        run = booking.Booking.run
        monkeypatch.setattr(booking.Booking, "run", lambda self: tries.append(1) or run(self))
        with pytest.raises(OperationalError, match="lock timeout"):
            record(shared, now, fill("buy 1 @ 60000 fee 1 USDC", at=2))
        assert len(tries) == 4
        held.rollback()
        assert Entry.objects.count() == 1


class TestALostConnection:
    def test_before_the_commit_is_booked_by_the_retry(self, shared, now, monkeypatch):
        self.cut(monkeypatch, before=True)
        assert record(shared, now, fill("buy 1 @ 60000 fee 1 USDC", at=1)).results[0].outcome == "booked"
        assert Position.objects.get().quantity == 1

    def test_after_the_commit_finds_its_own_facts(self, shared, now, monkeypatch):
        self.cut(monkeypatch, before=False)
        done = record(shared, now, fill("buy 1 @ 60000 fee 1 USDC", at=1))
        assert done.results[0].outcome == "duplicate"
        assert Position.objects.get().quantity == 1
        assert AccountHead.objects.get().entry_count == 1

    def cut(self, monkeypatch, *, before: bool) -> None:
        """The server ends our session, once: in the transaction, or when it has just committed."""
        run, book = booking.Booking.run, booking.Booking.book
        cuts = [1]

        def end_session() -> None:
            with psycopg.connect(database_conninfo()) as other:
                pid = connection.connection.info.backend_pid
                other.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])

        def in_transaction(self):
            result = book(self)
            if cuts and before:
                cuts.pop()
                end_session()
            return result

        def committed(self):
            result = run(self)
            if cuts and not before:
                cuts.pop()
                end_session()
                raise OperationalError("the connection was lost")
            return result

        monkeypatch.setattr(booking.Booking, "book", in_transaction)
        monkeypatch.setattr(booking.Booking, "run", committed)
