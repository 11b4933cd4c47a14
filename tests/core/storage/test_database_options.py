"""Every option of DATABASE_URL reaches psycopg: for Django's pool, for the leases, for the start-up check."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env

ROOT = Path(__file__).resolve().parents[3]
URL = "postgres://ada:topsecret@db.example:6432/plumbline"

# Opens the three kinds of connection, and prints what each answered or how it failed.
OPEN = """
import json, django; django.setup()
import psycopg
from django.db import Error, connection
from core.process import startup
from core.storage.leases import Leases

QUERY = "SELECT current_setting('statement_timeout'), current_setting('application_name')"

def pool():
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        return cursor.fetchone()

def leases():
    with Leases(on_lost=lambda: None) as held:
        idle = held._connection.execute("SHOW idle_session_timeout").fetchone()[0]
        return [*held._connection.execute(QUERY).fetchone(), idle]

def start_up():
    opened, connect = [], psycopg.connect

    def noted(*args, **kwargs):
        connection = connect(*args, **kwargs)
        opened.append(connection.info.get_parameters())
        return connection

    psycopg.connect = noted
    try:
        startup._ask_postgres()
    finally:
        psycopg.connect = connect
    return opened[0]

found = {}
for name, ask in (("pool", pool), ("leases", leases), ("start-up", start_up)):
    try:
        found[name] = ask()
    except (psycopg.Error, Error) as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def connections(options, *, pool_max="8"):
    process = subprocess.run(
        [sys.executable, "-c", OPEN],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"{os.environ['DATABASE_URL']}?{options}",
            "DATABASE_POOL_MAX": pool_max,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(process.stdout)


class TestAnOptionOfTheUrl:
    @pytest.mark.parametrize("pool_max", ["8", "0"])
    def test_that_demands_a_verified_server_is_demanded_on_every_connection(self, pool_max):
        """The embedded server has no TLS: a connection that drops the option would succeed."""
        answers = connections("sslmode=verify-full&sslrootcert=/nowhere/root.crt", pool_max=pool_max)
        for name, answer in answers.items():
            assert isinstance(answer, str), f"{name} connected without TLS"
            # A pool reports only that it got no connection in time.
            assert "root certificate" in answer or "SSL" in answer or "couldn't get a connection" in answer

    def test_that_sets_up_the_session_is_kept_beside_what_we_set(self):
        answers = connections("options=-c%20statement_timeout%3D54321&application_name=ours")
        assert answers["pool"] == ["54321ms", "ours"]
        assert answers["leases"][0] == "54321ms"
        assert answers["leases"][2] == "4s"
        assert "statement_timeout=54321" in answers["start-up"]["options"]
        assert answers["start-up"]["application_name"] == "ours"


class TestTheSettingsOfAUrl:
    def test_keep_every_option(self):
        found = env.database(f"{URL}?sslmode=verify-full&sslrootcert=/ca.pem&target_session_attrs=read-write")
        assert found["OPTIONS"] == {
            "sslmode": "verify-full",
            "sslrootcert": "/ca.pem",
            "target_session_attrs": "read-write",
        }
        assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "6432", "plumbline")
        assert (found["USER"], found["PASSWORD"]) == ("ada", "topsecret")

    def test_decode_what_is_escaped(self):
        found = env.database("postgres://a%40b:p%2Fw%3F@h/n%20m?options=-c%20search_path%3Dx")
        assert (found["USER"], found["PASSWORD"], found["NAME"]) == ("a@b", "p/w?", "n m")
        assert found["OPTIONS"] == {"options": "-c search_path=x"}

    def test_know_several_hosts(self):
        found = env.database("postgres://u@one:1,two:2/n?target_session_attrs=primary")
        assert (found["HOST"], found["PORT"]) == ("one,two", "1,2")

    def test_know_a_socket_in_a_folder(self):
        assert env.database("postgres:///n?host=/run/postgresql")["HOST"] == "/run/postgresql"

    def test_refuse_an_option_that_postgres_does_not_have(self):
        with pytest.raises(ImproperlyConfigured) as caught:
            env.database(f"{URL}?sslmod=verify-full&password=alsosecret")
        assert "PostgreSQL has no option sslmod" in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_let_an_option_win_over_our_default(self):
        code = "from config import settings as s; print(s.DATABASES['default']['OPTIONS']['connect_timeout'])"
        variables = os.environ | {"DATABASE_URL": f"{URL}?connect_timeout=9"}
        process = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
        )
        assert process.stdout.strip() == "9"
