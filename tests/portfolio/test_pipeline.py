"""How accounts stand, and the totals that are told of them."""

from datetime import timedelta

import orjson
import pytest
import redis
from django.utils import timezone

from portfolio import pipeline
from portfolio.totals import account_summaries, totals_store
from positions import live
from positions.models import Account
from positions.sync import feeds
from positions.sync.feeds import Feed, State
from tests.portfolio.market import BTC, SPOT
from tests.positions.api.test_balances import opening

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    """Redis counts by its own clock."""
    return timezone.now()


@pytest.fixture
def held(market, now):
    """10,000 USDC, half a coin worth 30,000, and a long of 2 BTC that is 2,000 up."""
    opening(market, "10000", "USDC", now=now - timedelta(hours=1))
    opening(market, "0.5", "BTC", now=now - timedelta(hours=1))
    market.fill("buy", "2", "60000", now=now)
    market.mark(BTC, "61000", now=now)
    market.mark(SPOT, "60000", now=now)
    return market


def of(market, now):
    (found,) = [one for one in account_summaries.of_accounts(now=now) if one["id"] == market.account.pk]
    return found


class TestAnAccount:
    def test_is_worth_its_cash_and_coins(self, held, now):
        assert of(held, now)["cash"] == "39998.5"

    def test_of_which_nothing_is_counted_is_not_worth_zero(self, market, now):
        assert of(market, now)["cash"] is None

    def test_says_how_many_amounts_nobody_can_value(self, market, now):
        opening(market, "10000", "USDC", now=now)
        opening(market, "0.5", "BTC", now=now)  # and nobody has told its price yet
        assert (of(market, now)["cash"], of(market, now)["cash_unknown"]) == ("10000", 1)

    def test_that_is_switched_off_does_not_count(self, held, now):
        Account.objects.update(enabled=False)
        assert account_summaries.of_accounts(now=now) == []


class TestAFeed:
    def test_is_as_its_watcher_says(self, market, now):
        feeds.keep(feeds=[Feed(account=market.account.pk, state=State.STALE, since=now, at=now)])
        assert of(market, now)["feed"] == "stale"

    def test_that_nobody_watches_is_polled_or_down(self, market, now):
        assert of(market, now)["feed"] == "down"
        feeds.note_poll(account=market.account.pk, read_at=now)
        assert of(market, now)["feed"] == "polled"
        assert of(market, now + timedelta(minutes=1))["feed"] == "down"

    def test_whose_watcher_has_gone_is_not_believed(self, market, now):
        long_ago = now - timedelta(minutes=5)
        feeds.keep(feeds=[Feed(account=market.account.pk, state=State.LIVE, since=long_ago, at=long_ago)])
        assert of(market, now)["feed"] == "down"


def told():
    entries = live.client().xrange(live.LIVE)
    return [orjson.loads(fields[b"frame"]) for _, fields in entries if fields[b"kind"] == b"portfolio"]


class TestRefresh:
    def test_tells_totals_by_environment_and_how_accounts_stand(self, held, now):
        totals = pipeline.refresh(now)
        assert totals["simulated"]["equity"] == "41998.5"
        assert totals["simulated"]["oldest_mark_at"] == now.isoformat()
        (frame,) = told()
        assert frame["totals"] == totals
        assert [one["id"] for one in frame["accounts"]] == [held.account.pk]

    def test_happens_once_a_second_whoever_asks(self, held, now):
        assert pipeline.refresh(now) is not None
        assert [pipeline.refresh(now) for _ in range(5)] == [None] * 5
        assert len(told()) == 1

    def test_asks_no_venue(self, held, now, monkeypatch):
        def dial(*_, **__):
            raise AssertionError("a venue was asked")

        monkeypatch.setattr("positions.sync.connections.venue_of", dial, raising=False)
        monkeypatch.setattr("socket.getaddrinfo", dial)
        assert pipeline.refresh(now) is not None

    def test_leaves_its_totals_for_every_reader_and_not_for_ever(self, held, now, redis_server):
        assert totals_store.load() is None
        shown = pipeline.refresh(now)
        totals = totals_store.load()
        assert totals == pipeline.compute(now=now)
        assert totals.by_environment() == shown
        assert totals.accounts == account_summaries.of_accounts(now=now)
        assert 0 < redis_server.pttl(totals_store.KEY) <= 10_000

    def test_says_so_when_redis_is_away(self, held, now, monkeypatch):
        class Away:
            def set(self, *_, **__):
                raise redis.ConnectionError("gone")

        monkeypatch.setattr(pipeline, "client", Away)
        with pytest.raises(redis.RedisError):
            pipeline.refresh(now)
