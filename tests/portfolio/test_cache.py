"""The refresh's totals as a cache: how long they count, who is served, and a database that is away."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from portfolio import pipeline
from portfolio.api import overview
from portfolio.totals import totals_store
from tests.portfolio.market import BTC

pytestmark = pytest.mark.django_db


@pytest.fixture
def refreshed(market, now):
    market.fill("buy", "1", "60000", now=now)
    market.mark(BTC, "61000", now=now)
    pipeline.refresh(now)
    return market


class TestTheTotalsOfTheRefresh:
    def test_count_for_a_few_seconds_and_are_added_up_anew_after(self, refreshed, now, settings):
        later = now + timedelta(seconds=settings.METRICS_CACHE_TTL)
        assert pipeline.stored(now=later, accounts=None).at == now
        assert pipeline.stored(now=later + timedelta(seconds=1), accounts=None) is None

    def test_count_hits_and_misses(self, refreshed, now):
        overview.summary(accounts=None, now=now)
        overview.summary(accounts=None, now=now + timedelta(minutes=1))
        assert totals_store.uses() == {"hits": 1, "misses": 1}
        assert overview.health(accounts=None, now=now)["totals_cache"] == {"hits": 1, "misses": 1}

    def test_are_not_shown_after_a_position_changed(self, refreshed, now):
        refreshed.fill("buy", "1", "60000", now=now)
        [total] = overview.summary(accounts=None, now=now)["environments"]
        assert total["unrealized_pnl"]["value"] == "2000"


class TestWhileTheDatabaseIsAway:
    @pytest.fixture
    def away(self, monkeypatch):
        def fail(*args, **options):
            raise OperationalError("connection refused")

        monkeypatch.setattr("positions.queries.change_sequences", fail)
        monkeypatch.setattr("portfolio.pipeline.held_book", fail)

    def test_the_last_totals_are_shown_as_stale(self, refreshed, now, away):
        shown = overview.summary(accounts=None, now=now + timedelta(minutes=5))
        assert (shown["stale"], shown["as_of"]) == (True, now)
        assert shown["environments"][0]["unrealized_pnl"]["value"] == "1000"

    def test_without_any_the_answer_is_503_and_when_to_come_again(self, market, now, away, client, api_key):
        answer = client.get("/api/v1/positions/summary", headers=api_key())
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) >= 1
