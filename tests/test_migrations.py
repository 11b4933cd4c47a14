"""Migrations run forward, back to nothing, and forward again, on a scratch database; and none is missing."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command

from core.storage.leases import database_conninfo

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


# One process does all of it: to start Django anew for each step takes longer than the steps.
STEPS = """
import json, sys, django
django.setup()
from django.core.management import call_command
from django.db import connection

def tables():
    return sorted(connection.introspection.table_names())

call_command("migrate", verbosity=0)
forward = tables()
for app in sys.argv[1:]:
    call_command("migrate", app, "zero", verbosity=0)
back = tables()
call_command("migrate", verbosity=0)
print(json.dumps([forward, back, tables()]))
"""


def tables_after_each_step(url):
    """Migrate forward, each app of ours back to nothing, and forward again; return the tables each time."""
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    answer = subprocess.run(
        [sys.executable, "-c", STEPS, *OURS],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


class TestMigrations:
    def test_run_forward_back_and_forward_again(self, empty_database):
        forward, back, again = tables_after_each_step(empty_database)
        assert "core_apikey" in forward
        assert [table for table in back if table.split("_")[0] in OURS] == []
        assert again == forward

    def test_are_complete(self, db):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
