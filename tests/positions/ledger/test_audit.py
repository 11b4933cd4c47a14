"""Tampering and drift are found, named, and put right where that is honest."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from positions import ingest
from positions.ledger import audit
from positions.models import Balance, Entry, Position
from tests.positions.facts import fill, transfer

pytestmark = pytest.mark.django_db


@pytest.fixture
def booked(account, now):
    entries = [
        transfer("1000 USDC", at=0, ref="deposit"),
        fill("buy 2 @ 60000 fee 1 USDC", at=1, ref="f1"),
        fill("sell 1 @ 61000 fee 1 USDC", at=2, ref="f2"),
        fill("sell 1 @ 62000 fee 1 USDC", at=3, ref="f3"),
    ]
    ingest.record(account=account, entries=entries, source="test", trace_id="t", now=now)
    return account


def by_sql(statement: str) -> None:
    """Somebody at a SQL prompt who knows how to get past the trigger."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET LOCAL session_replication_role = origin")


def run(command: str, *args: str) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out, stderr=StringIO())
    return out.getvalue()


class TestVerifyBook:
    def test_finds_nothing_in_an_untouched_ledger(self, booked):
        assert "4 entries verified, 0 findings" in run("verify_book")

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ("UPDATE positions_entry SET price = 59000 WHERE venue_ref = 'f1'", "entry 2 f1: price"),
            (
                "UPDATE positions_entry SET content = replace(content, '60000', '59000')"
                " WHERE venue_ref = 'f1'",
                "entry 2 f1: digest",
            ),
            ("UPDATE positions_entry SET source = 'venue' WHERE venue_ref = 'f2'", "entry 3 f2: digest"),
            ("DELETE FROM positions_entry WHERE venue_ref = 'f2'", "entry 4 f3: sequence"),
            ("DELETE FROM positions_entry WHERE venue_ref = 'f3'", "end of the ledger"),
            ("UPDATE positions_position SET realized_pnl = 5", "realized_pnl is 5"),
            ("UPDATE positions_balance SET amount = amount + 1", "balance of the account USDC"),
        ],
    )
    def test_names_what_was_tampered_with(self, booked, statement, named):
        by_sql(statement)
        with pytest.raises(CommandError):
            run("verify_book")
        found = [*audit.chain(account=booked), *audit.rows(account=booked)]
        rebuilt = ingest.rebuild_account(
            account=booked, trace_id="t", now=booked.created_at, write_back=False
        )
        assert any(named in str(one) for one in [*found, *rebuilt.differences])

    def test_finds_an_entry_slipped_in(self, booked):
        by_sql(
            "INSERT INTO positions_entry (account_id, sequence, venue_ref, kind, cause, at, received_at,"
            " wallet, coins, content, digest, source, trace_id) SELECT account_id, 5, 'forged', kind, cause,"
            " at, received_at, wallet, coins, replace(content, 'deposit', 'forged'), digest, source, trace_id"
            " FROM positions_entry WHERE venue_ref = 'deposit'"
        )
        found = [str(one) for one in audit.chain(account=booked)]
        assert any("entry 5 forged: digest" in one for one in found)
        assert any("end of the ledger" in one for one in found)


class TestRebuildBook:
    def test_changes_nothing_in_a_right_book(self, booked):
        before = list(Position.objects.values())
        assert "4 entries folded again, 0 differences" in run("rebuild_book")
        assert list(Position.objects.values()) == before

    def test_reports_a_discrepancy_and_writes_nothing(self, booked):
        by_sql("UPDATE positions_position SET realized_pnl = 5")
        with pytest.raises(CommandError, match="--write"):
            run("rebuild_book")
        assert Position.objects.get().realized_pnl == 5

    def test_corrects_it_with_the_option_write(self, booked):
        by_sql("UPDATE positions_position SET realized_pnl = 5")
        by_sql("UPDATE positions_balance SET amount = 7")
        assert "2 differences put right" in run("rebuild_book", "--write")
        assert Position.objects.get().realized_pnl == 3000
        assert Balance.objects.get().amount == 1000 + 3000 - 3
        assert Position.objects.get().events.last().kind == "corrected"
        assert "0 findings" in run("verify_book")

    def test_makes_a_lost_row_again(self, booked):
        by_sql("DELETE FROM positions_positionevent")
        by_sql("DELETE FROM positions_position")
        run("rebuild_book", "--write")
        assert Position.objects.get().realized_pnl == 3000

    def test_names_an_unknown_account(self, booked):
        with pytest.raises(CommandError, match="no account is labelled nobody"):
            run("rebuild_book", "--account", "nobody")


class TestEntries:
    @pytest.mark.parametrize(
        "statement", ["UPDATE positions_entry SET price = 1", "DELETE FROM positions_entry"]
    )
    def test_refuse_update_and_delete(self, booked, statement):
        from django.db import DatabaseError, transaction

        with (
            pytest.raises(DatabaseError, match="Cannot"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
        assert Entry.objects.count() == 4

    @pytest.mark.parametrize(
        "statement", ["UPDATE positions_positionevent SET who = 'me'", "DELETE FROM positions_positionevent"]
    )
    def test_of_the_history_refuse_update_and_delete_too(self, booked, statement):
        from django.db import DatabaseError, transaction

        with (
            pytest.raises(DatabaseError, match="Cannot"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
