"""What Postgres itself refuses, tried as somebody at a SQL prompt would try it."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from positions import ingest
from positions.models import Entry, Position, PositionEvent
from tests.positions.facts import fill

pytestmark = pytest.mark.django_db


@pytest.fixture
def booked(book):
    book(
        fill("buy 1 @ 60000 fee 1 USDC", at=1, ref="opens"),
        fill("sell 1 @ 61000 fee 1 USDC", at=2, ref="closes"),
        fill("buy 2 @ 60000 fee 1 USDC", at=3, ref="opens again"),
    )


def by_sql(statement: str) -> None:
    # A savepoint: what is refused must not end the test's transaction.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


class TestFactsAndHistory:
    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("UPDATE positions_entry SET price = 1 WHERE venue_ref = 'opens'", "Cannot update or delete"),
            ("UPDATE positions_entry SET venue_ref = venue_ref", "Cannot update or delete"),
            ("DELETE FROM positions_entry WHERE venue_ref = 'closes'", "Cannot update or delete"),
            (
                "UPDATE positions_positionevent SET who = 'nobody' WHERE kind = 'closed'",
                "Cannot update or delete",
            ),
            ("DELETE FROM positions_positionevent", "Cannot update or delete"),
            ("TRUNCATE positions_entry CASCADE", "Cannot truncate"),
            ("TRUNCATE positions_positionevent", "Cannot truncate"),
            ("TRUNCATE positions_account CASCADE", "Cannot truncate"),
        ],
    )
    def test_refuse_to_be_changed(self, booked, statement, said):
        # What is booked waits for its foreign keys to be checked: a TRUNCATE would fail for that alone.
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            cursor.execute("SET LOCAL plumbline.may_empty_the_ledger = off")
        with pytest.raises(DatabaseError, match=said):
            by_sql(statement)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL plumbline.may_empty_the_ledger = on")
        assert Entry.objects.count() == 3
        assert PositionEvent.objects.filter(who="").count() == PositionEvent.objects.count() > 0

    def test_refuse_the_orm_as_well(self, booked):
        row = Entry.objects.get(venue_ref="opens")
        row.source = "somebody"
        for change in (row.save, row.delete, PositionEvent.objects.first().delete):
            with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
                change()


COPY_OF_ENTRY = """
INSERT INTO positions_entry (account_id, sequence, venue_ref, kind, cause, instrument_id, leg, at,
    received_at, quantity, wallet, content, digest, source, trace_id)
SELECT account_id, {sequence}, {venue_ref}, kind, cause, instrument_id, leg, at,
    received_at, quantity, wallet, content, digest, source, trace_id
FROM positions_entry WHERE venue_ref = 'opens'
"""


class TestKeys:
    @pytest.mark.parametrize(
        ("statement", "constraint"),
        [
            (COPY_OF_ENTRY.format(sequence="99", venue_ref="venue_ref"), "positions_entry_once"),
            (COPY_OF_ENTRY.format(sequence="sequence", venue_ref="'another'"), "positions_entry_sequence"),
            (
                "UPDATE positions_position SET status = 'OPEN', quantity = 1, closed_at = NULL"
                " WHERE status = 'CLOSED'",
                "positions_position_one_open_per_key",
            ),
            (
                "UPDATE positions_position SET opening_ref = 'opens'",
                "positions_position_one_per_opening",
            ),
        ],
    )
    def test_are_unique(self, booked, statement, constraint):
        with pytest.raises(IntegrityError, match=constraint):
            by_sql(statement)


class TestAPosition:
    @pytest.mark.parametrize(
        ("change", "of", "constraint"),
        [
            ("quantity = 0", "OPEN", "positions_position_status_iff_size"),
            ("quantity = 1", "CLOSED", "positions_position_status_iff_size"),
            ("status = 'OPENING'", "OPEN", "positions_position_status_iff_size"),
            ("status = 'VOID'", "OPEN", "positions_position_status_iff_size"),
            ("leg = 'short'", "OPEN", "positions_position_leg_sign"),
            ("leg = 'long', quantity = -1", "OPEN", "positions_position_leg_sign"),
            ("closed_at = NULL", "CLOSED", "positions_position_ended_has_time"),
            ("closed_at = now()", "OPEN", "positions_position_ended_has_time"),
            (
                "closed_at = opened_at - interval '1 s'",
                "CLOSED",
                "positions_position_closed_after_opened",
            ),
            ("superseded_by_id = id", "OPEN", "positions_position_superseded_is_void"),
            ("version = 0", "OPEN", "positions_position_version"),
        ],
    )
    def test_cannot_contradict_itself(self, booked, change, of, constraint):
        with pytest.raises(IntegrityError, match=constraint):
            by_sql(f"UPDATE positions_position SET {change} WHERE status = '{of}'")

    @pytest.mark.parametrize("column", ["quantity", "open_cost", "realized_pnl", "net_pnl"])
    def test_holds_20_digits_before_the_point_and_18_behind(self, account, now, column):
        entries = [fill("buy 1 @ 60000 fee 1 USDC", at=1)]
        ingest.record(account=account, entries=entries, source="test", trace_id="t", now=now)
        by_sql(f"UPDATE positions_position SET {column} = 99999999999999999999.123456789012345678")
        kept = Position.objects.values_list(column, flat=True).get()
        assert str(kept) == "99999999999999999999.123456789012345678"
        with pytest.raises(DatabaseError, match="numeric field overflow"):
            by_sql(f"UPDATE positions_position SET {column} = 100000000000000000000")
