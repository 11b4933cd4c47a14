import threading
import time

import psycopg
import pytest

from core.storage.leases import LeaseLost, Leases, database_conninfo

pytestmark = pytest.mark.django_db


def until(true, seconds=8.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def make(lost=lambda: None):
    return Leases(on_lost=lost)


class TestALease:
    def test_is_held_by_one_process_at_a_time(self):
        with make() as one, make() as two:
            assert one.acquire("account:1")
            assert not two.acquire("account:1")
            assert two.acquire("account:2")
            assert one.held() == {"account:1"}

    def test_may_be_asked_for_again_by_its_holder(self):
        with make() as one, make() as two:
            assert one.acquire("a")
            assert one.acquire("a")
            one.release("a")
            assert two.acquire("a")

    def test_is_free_once_its_holder_closes(self):
        with make() as two:
            one = make()
            assert one.acquire("a")
            one.close()
            until(lambda: two.acquire("a"))

    def test_is_lost_when_the_server_ends_the_session(self):
        lost = threading.Event()
        with make(lost.set) as one, make() as two:
            assert one.acquire("a")
            with psycopg.connect(database_conninfo(), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [one._connection.info.backend_pid])
            until(lost.is_set)
            assert one.held() == frozenset()
            with pytest.raises(LeaseLost):
                one.acquire("b")
            assert two.acquire("a")

    def test_is_freed_by_the_server_when_its_holder_falls_silent(self):
        """A frozen process asks nothing for 4 s: idle_session_timeout ends its session."""
        with make() as one, make() as two:
            assert one.acquire("a")
            one._closed.set()  # the watcher stops asking, the connection stays open
            started = time.monotonic()
            until(lambda: two.acquire("a"))
            assert time.monotonic() - started > 2

    def test_is_not_believed_in_while_the_server_is_silent(self):
        with make() as one:
            assert one.acquire("a")
            one._closed.set()
            one._answered_at = time.monotonic() - 3.1
            assert one.held() == frozenset()

    def test_is_believed_in_again_once_the_server_has_answered_a_late_holder(self):
        """The session lives, so nobody else can have had it meanwhile."""
        with make() as one:
            assert one.acquire("a")
            one._closed.set()
            one._answered_at = time.monotonic() - 3.1
            one._closed.clear()
            one.confirm()
            assert one.held() == {"a"}

    def test_survives_idleness(self):
        with make() as one:
            assert one.acquire("a")
            began = one._answered_at
            # A second more than after which the server ends a session that is idle.
            until(lambda: one._answered_at >= began + 5, seconds=20)
            assert one.held() == {"a"}
