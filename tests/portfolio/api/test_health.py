"""GET /positions/health."""

from datetime import timedelta

import pytest
import redis

from positions import accounts, ingest
from positions.models import Account, Mark
from positions.sync import feeds
from positions.sync.feeds import State
from reconciliation.models import Run
from tests.portfolio.api.test_positions import one_more
from tests.portfolio.market import ETH
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


def read(market, *, feed="fills", at):
    """A round of polling that brought nothing."""
    cursor = ingest.Cursor(feed=feed, through=at, position={})
    ingest.record(account=market.account, entries=[], source="poll", trace_id="t", now=at, cursor=cursor)


def proven(market, *, at):
    Run.objects.create(account=market.account, started_at=at, finished_at=at, as_of=at, complete=True)


def told(market, at, **facts):
    """A stream process said so."""
    said = {"account": market.account.pk, "state": State.LIVE, "since": at, "at": at} | facts
    feeds.keep(feeds=[feeds.Feed(**said)])


class TestHealth(EndpointQuestions):
    path = "/positions/health"

    def test_is_ok_when_everything_is_fresh(self, ask, reader, market, position, now):
        read(market, at=now)
        proven(market, at=now)
        body = ask(reader).json()
        (main,) = body["accounts"]
        assert (body["state"], body["open_positions"], main["state"], main["problems"]) == ("ok", 1, "ok", [])
        assert (main["feeds"][0]["feed"], main["marks_unknown"], main["quarantined"]) == ("fills", 0, 0)
        assert 0 <= main["feeds"][0]["age_seconds"] < 30
        assert 0 <= main["oldest_mark_age_seconds"] < 30

    def test_names_what_was_never_read_or_compared(self, ask, reader, position):
        (main,) = ask(reader).json()["accounts"]
        assert main["state"] == "stale"
        assert main["problems"] == ["nothing was read from the venue yet", "never reconciled"]
        assert (main["feeds"], main["last_reconciliation_at"]) == ([], None)

    def test_names_what_is_old(self, ask, reader, market, position, now):
        read(market, at=now - timedelta(seconds=100))
        read(market, feed="funding", at=now - timedelta(seconds=100))
        proven(market, at=now - timedelta(seconds=1000))
        Mark.objects.update(at=now - timedelta(seconds=400))
        body = ask(reader).json()
        text = " · ".join(body["accounts"][0]["problems"])
        assert body["state"] == "stale"
        for words in ("fills was not read for 10", "last reconciled 100", "the oldest price is 40"):
            assert words in text
        assert "funding" not in text

    def test_believes_a_stream_whose_lists_are_read_seldom(self, ask, reader, market, position, now):
        read(market, at=now - timedelta(seconds=500))
        proven(market, at=now)
        told(market, now, last_event=now)
        (main,) = ask(reader).json()["accounts"]
        assert (main["state"], main["problems"]) == ("ok", [])
        assert (main["stream"]["state"], main["stream"]["streams"]) == ("live", True)

    def test_shows_the_state_of_the_stream(self, ask, reader, market, position, now):
        read(market, at=now)
        proven(market, at=now)
        progress = {"feed": "fills", "booked": 500, "of": 9000}
        told(market, now, state=State.BACKFILLING, reason="connected", progress=progress)
        (main,) = ask(reader).json()["accounts"]
        assert main["stream"]["progress"] == progress
        (problem,) = main["problems"]
        assert problem.startswith("its stream is backfilling since ")
        assert problem.endswith("connected")

    def test_judges_by_what_was_read_where_no_stream_watches(self, ask, reader, market, position, now):
        read(market, at=now - timedelta(seconds=100))
        proven(market, at=now)
        told(market, now - timedelta(seconds=60))
        (main,) = ask(reader).json()["accounts"]
        assert (main["stream"]["state"], main["stream"]["reason"]) == ("down", feeds.NOBODY)
        assert main["problems"][0].startswith("fills was not read for 10")

    def test_calls_the_stream_unknown_while_redis_is_away(self, ask, reader, position, monkeypatch):
        def away(*, now):
            raise redis.ConnectionError

        monkeypatch.setattr(feeds, "known", away)
        (main,) = ask(reader).json()["accounts"]
        assert main["stream"] is None
        assert "Redis does not answer" in main["problems"][0]

    def test_counts_positions_without_a_price(self, ask, reader, market, position, now):
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        (main,) = ask(reader).json()["accounts"]
        assert (main["open_positions"], main["marks_unknown"]) == (2, 1)
        assert "1 of 2 open positions have no price" in main["problems"]

    def test_counts_facts_that_wait_for_somebody(self, ask, reader, market, position, now):
        bad = {"kind": "fill", "venue_ref": "x"}
        ingest.record(account=market.account, entries=[bad], source="t", trace_id="t", now=now)
        assert ask(reader).json()["accounts"][0]["quarantined"] == 1

    @pytest.mark.parametrize(
        ("change", "state"),
        [({"enabled": False}, "disabled"), ({"paused_until": "2100-01-01T00:00Z"}, "paused")],
    )
    def test_does_not_complain_of_an_account_out_of_use(self, ask, reader, position, change, state):
        Account.objects.update(**change)
        body = ask(reader).json()
        assert (body["accounts"][0]["state"], body["state"]) == (state, "ok")

    def test_expects_no_venue_of_the_manual_account(self, ask, reader, market, position, now):
        one_more(market, now)
        manual_one = next(one for one in ask(reader).json()["accounts"] if one["account"] == accounts.MANUAL)
        assert (manual_one["state"], manual_one["feeds"]) == ("manual", [])

    def test_is_of_the_accounts_that_a_key_may_see(self, ask, api_key, position, other):
        accounts = ask(api_key(accounts=[other.account.pk])).json()["accounts"]
        assert [one["account"] for one in accounts] == ["other"]

    def test_takes_no_more_queries_for_more_rows(
        self, ask, reader, market, position, now, django_assert_num_queries
    ):
        ask(reader)  # notes that the key is used
        with django_assert_num_queries(7):
            ask(reader)
        Account.objects.create(label="third", venue="hyperliquid", created_at=now)
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        read(market, at=now)
        with django_assert_num_queries(7):
            ask(reader)
