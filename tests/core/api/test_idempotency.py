"""An Idempotency-Key: one request, one effect, one answer."""

from types import SimpleNamespace

import pytest
import redis
from django.test import RequestFactory

from core.api import idempotency
from core.api.idempotency import KeyedRequest, once
from core.http.problems import Problem


@pytest.fixture(autouse=True)
def empty_redis(redis_server):
    redis_server.flushdb()


@pytest.fixture
def without_redis(monkeypatch):
    def refuse():
        raise redis.ConnectionError("no Redis")

    monkeypatch.setattr(idempotency, "client", refuse)


def keyed(key="k-1", request="open 2 BTC", who="user:ada", area="positions"):
    return KeyedRequest(area=area, who=who, key=key, request=request)


def post(act, key="k-1", who="user:ada", path="/sync"):
    request = RequestFactory().post(path)
    request.auth = SimpleNamespace(name=who)
    return once(request, area="reconciliation", key=key, body=None, act=act)


class Runs:
    """An operation that counts how often it was done."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return {"run": self.count}


class TestAKeyedRequest:
    def test_has_the_same_reference_each_time(self):
        assert keyed().reference == keyed().reference

    @pytest.mark.parametrize("other", [{"key": "k-2"}, {"request": "open 3 BTC"}, {"who": "user:bob"}])
    def test_has_a_reference_of_its_own_key_content_and_caller(self, other):
        assert keyed().reference != keyed(**other).reference

    def test_keeps_the_reference_that_the_ledger_knows_from_earlier_releases(self):
        assert keyed().reference == "9f2e878043759a8b301303eb24fe7a7c"

    def test_without_a_key_has_no_reference_and_no_claim(self):
        assert (keyed(key=None).reference, keyed(key=None).claim()) == (None, None)

    def test_finds_the_result_that_its_first_time_remembered(self):
        assert keyed().claim().first
        keyed().remember(7)
        assert keyed().claim() == idempotency.Claim(first=False, result=7)

    def test_is_first_again_once_it_was_forgotten(self):
        keyed().claim()
        keyed().forget()
        assert keyed().claim().first

    def test_under_the_key_of_another_request_is_refused(self):
        keyed().claim()
        with pytest.raises(Problem) as caught:
            keyed(request="open 3 BTC").claim()
        assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize("other", [{"who": "user:bob"}, {"area": "reconciliation"}])
    def test_of_another_caller_or_area_is_first(self, other):
        keyed().claim()
        assert keyed(request="anything", **other).claim().first

    @pytest.mark.parametrize("key", ["", "with space", "x" * 201, "é"])
    def test_with_a_malformed_key_is_refused(self, key):
        with pytest.raises(Problem) as caught:
            keyed(key=key)
        assert (caught.value.status, caught.value.code) == (400, "bad_idempotency_key")

    def test_never_leaves_a_claim_without_an_end(self, redis_server):
        keyed().claim()
        [name] = redis_server.keys("plumbline:idempotency:*")
        assert 0 < redis_server.ttl(name) <= idempotency.KEEP_SECONDS

    def test_goes_on_without_redis(self, without_redis):
        assert keyed().claim() is None
        keyed().remember(7)
        keyed().forget()


class TestOnce:
    def test_replays_the_answer_of_the_first_request(self):
        act = Runs()
        assert post(act) == post(act) == {"run": 1}
        assert act.count == 1

    def test_does_a_request_without_a_key_each_time(self):
        act = Runs()
        assert [post(act, key=None), post(act, key=None)] == [{"run": 1}, {"run": 2}]

    def test_refuses_a_second_request_while_the_first_one_runs(self):
        def act():
            with pytest.raises(Problem) as caught:
                post(Runs())
            return {"second": caught.value.status}

        assert post(act) == {"second": 409}

    def test_does_a_request_again_that_failed(self):
        def fail():
            raise RuntimeError("no venue")

        with pytest.raises(RuntimeError):
            post(fail)
        assert post(Runs()) == {"run": 1}

    def test_refuses_the_key_for_another_path(self):
        post(Runs())
        with pytest.raises(Problem) as caught:
            post(Runs(), path="/cases/1")
        assert caught.value.code == "idempotency_key_reused"

    def test_goes_on_without_redis(self, without_redis):
        assert post(Runs()) == {"run": 1}
