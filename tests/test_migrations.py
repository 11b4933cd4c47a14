"""Migrations run forward, back to nothing, and forward again, on a scratch database; and none is missing."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command

from core.leases import database_conninfo

ROOT = Path(__file__).resolve().parents[1]
OURS = ("portfolio", "reconciliation", "positions", "core")


@pytest.fixture
def empty_database(db):
    name = f"migrations_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database_conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        yield url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def tables(url):
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows}


def manage(url, *arguments):
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    answer = subprocess.run(
        [sys.executable, "manage.py", *arguments, "-v0"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr


class TestMigrations:
    def test_run_forward_back_and_forward_again(self, empty_database):
        manage(empty_database, "migrate")
        there = tables(empty_database)
        assert "core_apikey" in there
        for app in OURS:
            manage(empty_database, "migrate", app, "zero")
        left = [table for table in tables(empty_database) if table.split("_")[0] in OURS]
        assert left == []
        manage(empty_database, "migrate")
        assert tables(empty_database) == there

    def test_are_complete(self, db):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
