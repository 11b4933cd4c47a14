"""Slow work is bounded by account, caller and process, and never holds what quick requests need."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper

from core.http import slow_work
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.storage import database
from positions.api import positions as positions_api
from positions.sync import connections

pytestmark = pytest.mark.django_db


@pytest.fixture
def fresh(monkeypatch):
    """No slots are taken, and nobody waits long."""
    monkeypatch.setattr(slow_work, "_slots", slow_work.Slots())
    monkeypatch.setattr(slow_work, "_WAIT_SECONDS", dict.fromkeys(Kind, 0.05))


@pytest.fixture
def held(fresh):
    """Hold slots in threads of their own until the test ends."""
    done, threads = threading.Event(), []

    def hold(**wanted):
        taken = threading.Event()

        def work():
            with slot(**wanted):
                taken.set()
                done.wait(10)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        assert taken.wait(5)

    yield hold
    done.set()
    for thread in threads:
        thread.join()


def refused(**wanted):
    with pytest.raises(Problem) as caught, slot(**wanted):
        pass
    assert caught.value.members["retry_after_seconds"] > 0
    return caught.value.status, caught.value.code


class TestASlot:
    def test_is_one_of_an_account(self, held):
        held(kind=Kind.VENUE, who="key:a", account=7)
        assert refused(kind=Kind.VENUE, who="key:b", account=7) == (409, "under_way")
        with slot(kind=Kind.VENUE, who="key:b", account=8):
            pass

    def test_is_at_most_half_of_all_for_one_caller(self, held, settings):
        settings.DATABASE_POOL_MAX = 8
        for account in (1, 2):
            held(kind=Kind.VENUE, who="key:a", account=account)
        assert refused(kind=Kind.VENUE, who="key:a", account=3) == (409, "under_way")
        with slot(kind=Kind.VENUE, who="key:b", account=3):
            pass

    def test_is_one_of_a_process(self, held, settings):
        settings.DATABASE_POOL_MAX = 8
        for who in ("a", "b"):
            held(kind=Kind.PAST, who=who)
        assert refused(kind=Kind.PAST, who="c") == (503, "busy")

    def test_of_one_kind_leaves_other_kinds_theirs(self, held, settings):
        settings.DATABASE_POOL_MAX = 8
        for number in range(4):
            held(kind=Kind.VENUE, who=f"key:{number}", account=number)
        with slot(kind=Kind.BOOK, who="key:bot", account=1), slot(kind=Kind.PAST, who="user:tom"):
            pass

    def test_is_waited_for(self, held, monkeypatch):
        monkeypatch.setattr(slow_work, "_WAIT_SECONDS", dict.fromkeys(Kind, 5.0))
        began = time.monotonic()

        def brief():
            with slot(kind=Kind.BOOK, who="key:a", account=1):
                time.sleep(0.05)

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(brief) for _ in range(6)]:
                done.result()
        assert time.monotonic() - began >= 0.3

    def test_is_given_back_by_work_that_fails(self, fresh):
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), slot(kind=Kind.PAST, who="key:a"):
                raise ZeroDivisionError


class TestARefusedRequest:
    def test_is_told_when_to_come_again(self, client, api_key, held, settings):
        settings.DATABASE_POOL_MAX = 8
        for who in ("a", "b"):
            held(kind=Kind.PAST, who=who)
        answer = client.get("/api/v1/positions/summary?as_of=2026-01-15T12:00:00Z", headers=api_key())
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert answer.json()["code"] == "busy"

    def test_gets_a_page_where_it_asked_for_one(self, as_viewer, held, settings):
        settings.DATABASE_POOL_MAX = 8
        for who in ("a", "b"):
            held(kind=Kind.PAST, who=who)
        answer = as_viewer.get("/reconciliation/statistics/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert "Too busy" in answer.content.decode()


class TestTheConnection:
    @pytest.mark.django_db(transaction=True)
    def test_goes_back_before_a_venue_is_waited_for(self):
        connection.ensure_connection()

        async def asked():
            return "answered"

        assert connections.run(asked()) == "answered"
        assert connection.connection is None

    @pytest.mark.django_db(transaction=True)
    def test_goes_back_before_a_pause(self):
        connection.ensure_connection()
        database.rest(0)
        assert connection.connection is None

    @pytest.mark.django_db(transaction=True)
    def test_stays_inside_a_transaction(self):
        with transaction.atomic():
            database.give_back()
            assert connection.connection is not None


def no_connection(*_, **__):
    raise OperationalError("couldn't get a connection after 0.80 sec")


class TestAFullPool:
    def test_answers_503_from_the_api(self, client, api_key, monkeypatch):
        header = api_key()
        monkeypatch.setattr(positions_api.queries, "accounts", no_connection)
        answer = client.get("/api/v1/accounts", headers=header)
        assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "busy", "1")

    def test_answers_503_while_a_key_is_looked_up(self, client, api_key, monkeypatch):
        header = api_key()
        monkeypatch.setattr("core.api.auth.find_key", no_connection)
        assert client.get("/api/v1/accounts", headers=header).status_code == 503

    @pytest.mark.parametrize("where", ["django.contrib.auth.get_user", "portfolio.pages.views.reads.entries"])
    def test_answers_503_from_a_page(self, as_viewer, monkeypatch, where):
        as_viewer.raise_request_exception = False
        monkeypatch.setattr(where, no_connection)
        answer = as_viewer.get("/entries/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert "Too busy" in answer.content.decode()

    def test_is_told_apart_from_a_fault_of_ours(self, as_viewer, monkeypatch):
        as_viewer.raise_request_exception = False
        monkeypatch.setattr("portfolio.pages.views.reads.entries", lambda **_: 1 / 0)
        assert as_viewer.get("/entries/").status_code == 500

    def test_is_told_within_the_time_that_it_is_waited_for(self):
        """A pool of one connection, which is out."""
        told = connection.settings_dict
        options = {**told["OPTIONS"], "pool": {"min_size": 0, "max_size": 1, "timeout": 0.3}}
        first, second = (DatabaseWrapper({**told, "OPTIONS": options}, "tight") for _ in range(2))
        try:
            first.ensure_connection()
            began = time.monotonic()
            with pytest.raises(OperationalError) as caught:
                second.ensure_connection()
            assert database.is_busy(caught.value)
            assert time.monotonic() - began < 1
        finally:
            first.close()
            first.close_pool()
