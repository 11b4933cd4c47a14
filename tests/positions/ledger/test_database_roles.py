"""The application's database role (deploy/database_roles.sql) works, and cannot undo what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from core.models import find_key, revoke_key
from core.security.scopes import Scope
from core.security.security_events import Act, record
from positions import ingest
from positions.models import Entry
from tests.api_keys import issue_key
from tests.positions.facts import fill, transfer
from tests.positions.ledger.test_audit import booked

__all__ = ["booked"]
pytestmark = pytest.mark.django_db
ROLES = Path(__file__).resolve().parents[3] / "deploy" / "database_roles.sql"


@pytest.fixture
def as_application(booked):
    """Everything from here on is done by the application's role; all is rolled back afterwards."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
        if not cursor.fetchone()[0]:
            pytest.skip("only a superuser may make the role")
        cursor.execute("CREATE ROLE plumbline_app LOGIN")
        cursor.execute(ROLES.read_text())
        cursor.execute("SET LOCAL ROLE plumbline_app")
    yield booked
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")


class TestTheApplicationsRole:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE positions_entry SET price = 1",
            "DELETE FROM positions_entry",
            "TRUNCATE positions_entry CASCADE",
            "UPDATE positions_positionevent SET who = 'nobody'",
            "DELETE FROM core_securityevent",
            "DELETE FROM positions_ledgeranchor",
            "ALTER TABLE positions_entry DISABLE TRIGGER ALL",
            "DROP TABLE positions_entry CASCADE",
            "SET LOCAL session_replication_role = replica",
            "ALTER TABLE core_securityevent ADD COLUMN x int",
            "DROP FUNCTION plumbline_people_stay() CASCADE",
            "CREATE TABLE public.mine (x int)",
            "DELETE FROM auth_user",
            "DELETE FROM core_apikey",
            "DELETE FROM django_migrations",
        ],
    )
    def test_cannot_undo_what_was_written(self, as_application, statement):
        with (
            pytest.raises(DatabaseError, match=r"permission denied|must be owner"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def test_books_signs_in_and_makes_keys(self, as_application, now):
        before = Entry.objects.count()
        entries = [transfer("5 USDC", at=8, ref="more"), fill("buy 1 @ 60000 fee 1 USDC", at=9, ref="f9")]
        ingest.record(account=as_application, entries=entries, source="test", trace_id="t", now=now)
        assert Entry.objects.count() == before + 2
        person = User.objects.create_user("nora", is_superuser=True)
        key, text = issue_key(scopes=[Scope.READ], owner_id=person.pk)
        assert find_key(text, now=timezone.now()) == key
        revoke_key(key=key, who="test", now=timezone.now())
        record(Act.SIGNED_OUT, who="test", subject="nora")
        Session.objects.create(session_key="x" * 32, session_data="", expire_date=now)
        Session.objects.all().delete()
