"""Totals that the refresh added up, where they are shown: the strip of pages, the API, the stream."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis
from django.test import Client, RequestFactory
from django.utils import timezone

from portfolio import pipeline
from portfolio.live import board_reads
from portfolio.live.board import LiveBoard
from portfolio.live.changes import ChangeNumbers
from portfolio.live.totals import Totals
from portfolio.pages import totals as page_totals
from portfolio.totals import totals_store
from tests.portfolio.market import BTC, ETH, SPOT, Market
from tests.positions.api.test_balances import opening

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    """Redis counts by its own clock."""
    return timezone.now()


@pytest.fixture
def held(market, now):
    """A long, a short, a coin and cash, in amounts with many digits."""
    opening(market, "10000.000000000000000001", "USDC", now=now - timedelta(hours=1))
    opening(market, "0.333333333333333333", "BTC", now=now - timedelta(hours=1))
    market.fill("buy", "1.23456", "60000.1", now=now)
    market.fill("sell", "7.7777", "3000.3", instrument=ETH, now=now)
    for symbol, price in ((BTC, "61234.567"), (ETH, "3123.456789"), (SPOT, "60999.99")):
        market.mark(symbol, price, now=now)
    market.state(BTC, now=now, leverage="3", liquidation_price="45000")
    return market


@pytest.fixture
def other(held, now):
    """Somebody else's account on the same venue, with a position."""
    found = Market(now=now, label="other")
    found.fill("buy", "100", "50000", now=now)
    return found


def summary(key: dict[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = Client().get("/api/v1/positions/summary", headers=key).json()
    return answer


def strip() -> dict[str, Any]:
    return page_totals.of_request(RequestFactory().get("/"), now=timezone.now())


def board(now) -> LiveBoard:
    """The board of a web process that has just read everything."""
    found = LiveBoard()
    read = board_reads.everything.func()
    found.environments = read.environments
    found._take(read, gone=(), now=now)
    load(found)
    return found


def load(found: LiveBoard) -> None:
    found.refreshed = totals_store.load()
    found.account_summaries = None if found.refreshed is None else found.refreshed.accounts


def streamed(found: LiveBoard, accounts: frozenset[int] | None = None) -> dict[str, Any]:
    return Totals(found, ChangeNumbers()).of(accounts)["simulated"]


class TestOfOneMoment:
    def test_strip_api_and_stream_agree_to_the_last_digit(self, held, other, now, api_key):
        pipeline.refresh(now)
        shown, stream = strip(), streamed(board(now))
        (called,) = summary(api_key())["environments"]
        assert {name: shown[name] for name in stream} == stream
        assert called["unrealized_pnl"]["value"] == stream["unrealized"] != "0"
        assert called["realized_pnl"]["value"] == stream["realized"]
        assert called["gross_exposure"]["value"] == stream["gross"]
        assert called["net_exposure"]["value"] == stream["net"]
        assert called["nearest"]["liquidation_distance_pct"] == stream["nearest"]

    def test_are_what_each_reader_adds_up_without_the_refresh(self, held, other, now, api_key, redis_server):
        pipeline.refresh(now)
        read = [strip(), summary(api_key())["environments"], streamed(board(now))]
        accounts = totals_store.load().accounts
        redis_server.delete(totals_store.KEY)
        alone = board(now)
        alone.account_summaries = accounts
        added_up = [strip(), summary(api_key())["environments"], streamed(alone)]
        assert (read[0].pop("refreshed"), added_up[0].pop("refreshed")) == (True, False)
        assert read[0].pop("as_of") < added_up[0].pop("as_of")
        assert added_up == read


class TestWhoMaySeeSomeAccounts:
    def test_is_told_no_number_of_another_by_the_api(self, held, other, now, api_key):
        pipeline.refresh(now)
        (total,) = summary(api_key(accounts=[other.account.pk]))["environments"]
        assert (total["positions"], total["gross_exposure"]["value"]) == (1, "6123456.7")
        assert total["nearest"] is None

    def test_is_told_no_number_of_another_by_the_stream(self, held, other, now):
        pipeline.refresh(now)
        total = streamed(board(now), frozenset({other.account.pk}))
        assert (total["positions"], total["gross"], total["feeds"]) == (1, "6123456.7", "1 down")

    def test_gets_totals_that_name_no_other_account(self, held, other, now):
        pipeline.refresh(now)
        seen = totals_store.load().seen_by({other.account.pk})
        assert {one["id"] for one in seen.accounts} == {other.account.pk}
        assert set(seen.sums) == set(seen.sequences) == {other.account.pk}

    def test_and_sees_none_is_shown_nothing(self, held, now):
        pipeline.refresh(now)
        assert totals_store.load().seen_by(frozenset()).by_environment() == {}


class TestTheApi:
    def test_says_when_its_totals_were_made(self, held, now, api_key):
        pipeline.refresh(now)
        assert summary(api_key())["as_of"] == now.isoformat().replace("+00:00", "Z")

    def test_counts_a_fill_that_was_booked_after_the_refresh(self, held, now, api_key):
        pipeline.refresh(now)
        held.fill("buy", "1", "60000", now=now + timedelta(seconds=1))
        (total,) = summary(api_key())["environments"]
        assert total["gross_exposure"]["value"] != strip()["gross"]

    def test_adds_up_itself_when_the_refresh_is_late(self, held, now, api_key):
        late = timezone.now() - totals_store.FRESH_FOR
        totals_store.store(replace(pipeline.compute(now=now), at=late))
        assert summary(api_key())["as_of"] > now.isoformat()

    def test_adds_up_itself_when_redis_is_away(self, held, now, api_key, monkeypatch):
        def load():
            raise redis.ConnectionError("gone")

        pipeline.refresh(now)
        monkeypatch.setattr(totals_store, "load", load)
        (total,) = summary(api_key())["environments"]
        assert total["positions"] == 3


class TestTheStrip:
    def test_is_painted_with_its_time_and_says_where_the_page_added_it_up(self, held, now, as_viewer):
        assert b"data-not-refreshed" in as_viewer.get("/alerts/").content
        pipeline.refresh(timezone.now())
        page = as_viewer.get("/alerts/").content
        assert b"data-as-of=" in page
        assert b"data-not-refreshed" not in page


class TestTheStream:
    @pytest.fixture
    def refreshed(self, held, now):
        """A board, and totals of its positions and prices that only the refresh can have said."""
        totals = pipeline.compute(now=now)
        for sums in totals.sums.values():
            sums.realized = sums.realized._replace(value=Decimal(777))
        totals_store.store(totals)
        return board(now)

    def test_shows_the_refreshs_totals_of_the_same_positions_and_prices(self, refreshed):
        assert streamed(refreshed)["realized"] == "777"

    def test_adds_up_itself_once_a_price_is_newer(self, refreshed, held, now):
        later = (now + timedelta(seconds=1)).isoformat()
        mark = {"instrument": held.instruments[BTC], "price": "62000", "at": later}
        refreshed.take_marks([mark], now=now)
        assert streamed(refreshed)["realized"] != "777"

    def test_adds_up_itself_once_something_else_has_changed(self, refreshed, held, now):
        state = {
            "instrument_id": held.instruments[BTC], "leg": "net", "revision": 99, "quantity": None,
            "leverage": "5", "liquidation_price": "50000",
        }  # fmt: skip
        refreshed.take_states([state], account=held.account.pk, now=now + timedelta(seconds=1))
        assert streamed(refreshed)["realized"] != "777"

    def test_adds_up_itself_once_the_book_was_changed(self, refreshed, held):
        refreshed.sequences[held.account.pk] += 1
        assert streamed(refreshed)["realized"] != "777"
