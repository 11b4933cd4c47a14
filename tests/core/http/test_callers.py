"""One caller's burst leaves connections to others."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.http import HttpResponse

from core.http import callers
from core.http.slow_work import Slots


@pytest.fixture
def asked(rf, monkeypatch, settings):
    """Ask by a header; what is answered stays under way until the test ends."""
    settings.DATABASE_POOL_MAX = 4
    monkeypatch.setattr(callers, "_slots", Slots())
    monkeypatch.setattr(callers, "WAIT_SECONDS", 0.05)
    done, under_way = threading.Event(), threading.Semaphore(0)

    def answer(request):
        under_way.release()
        done.wait(10)
        return HttpResponse("answered")

    bounded = callers.BoundedCallers(answer)
    with ThreadPoolExecutor(16) as threads:

        def ask(path="/api/v1/positions", **headers):
            return threads.submit(bounded, rf.get(path, headers=headers))

        ask.until = lambda count: all(under_way.acquire(timeout=5) for _ in range(count))
        ask.done = done
        yield ask
        done.set()


class TestACaller:
    @pytest.mark.parametrize(
        "headers",
        [{"X-API-Key": "pl1.secret"}, {"Cookie": "sessionid=one"}, {}],
        ids=["key", "session", "nobody"],
    )
    def test_has_three_quarters_of_the_connections(self, asked, headers):
        first = [asked(**headers) for _ in range(3)]
        assert asked.until(3)
        refused = asked(**headers).result(5)
        assert (refused.status_code, refused["Retry-After"]) == (503, "2")
        other = asked(**{"X-API-Key": "pl2.secret"})
        assert asked.until(1)
        asked.done.set()
        assert {one.result(5).status_code for one in (*first, other)} == {200}

    def test_is_one_key_under_every_secret(self, asked):
        for number in range(3):
            asked(**{"X-API-Key": f"pl1.{number}"})
        assert asked.until(3)
        assert asked(**{"X-API-Key": "pl1.another"}).result(5).status_code == 503

    def test_sees_a_page_where_it_asked_for_one(self, asked):
        for _ in range(3):
            asked("/", Cookie="sessionid=one")
        assert asked.until(3)
        refused = asked("/", Cookie="sessionid=one").result(5)
        assert refused.status_code == 503
        assert b"<html" in refused.content

    def test_has_them_again_once_they_are_answered(self, asked):
        first = [asked() for _ in range(3)]
        assert asked.until(3)
        asked.done.set()
        assert {one.result(5).status_code for one in first} == {200}
        assert asked().result(5).status_code == 200
