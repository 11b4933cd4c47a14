"""The portfolio's page: one range drives all, gaps stay gaps, and its numbers are those of other doors."""

import csv
import io
import json
import re
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.test import Client
from django.utils import timezone

from portfolio import pipeline
from portfolio.models import AccountSnapshot, PortfolioSnapshot
from portfolio.snapshots import taking
from positions.book import Cause, Entry, Kind
from tests.portfolio.market import BTC, ETH, Market

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def begin(now):
    return now - 20 * MINUTE


@pytest.fixture
def market(begin):
    """Ten thousand in cash and half a bitcoin, bought at 60,000."""
    found = Market(now=begin - timedelta(hours=1))
    transfer(found, "open", "10000", Cause.OPENING, begin - timedelta(hours=1))
    found.fill("buy", "0.5", "60000", now=begin - MINUTE, wallet="perps")
    return found


def transfer(market, ref, amount, cause, at):
    entry = Entry(kind=Kind.TRANSFER, cause=cause, venue_ref=ref, time=at, leg=None, amount=D(amount),
                  currency="USDC", wallet="perps")  # fmt: skip
    market.book(entry, now=at)


@pytest.fixture
def history(market, begin):
    """Twenty minutes in which the price rises by 10 each; the eighth is missed, the tenth brings 500."""
    for minute in range(20):
        at = begin + minute * MINUTE
        if minute == 10:
            transfer(market, "deposit", "500", Cause.DEPOSIT, at - timedelta(seconds=20))
        market.mark(BTC, str(61000 + 10 * minute), now=at)
        if minute != 8:
            taking.take(now=at)
    return market


def shown(page):
    return json.loads(
        re.search(r'id="portfolio-chart" type="application/json">(.*?)</script>', page, re.S)[1]
    )


class TestTheRange:
    def test_comes_from_the_address_and_drives_the_chart_the_figures_and_the_table(self, as_viewer, history):
        page = as_viewer.get("/portfolio/?range=1h&environment=simulated").content.decode()
        assert re.search(r'range=1h[^>]*aria-current="true"', page)
        data = shown(page)
        assert len(data["points"]) == 19
        # 0.5 × 190, without the deposit.
        assert 'data-figure="pnl" data-sign="gain">+95.00<' in page
        assert "+500.00" in page

    def test_that_nobody_knows_is_a_month(self, as_viewer, history):
        page = as_viewer.get("/portfolio/?range=3%20weeks&by=decade&environment=mars").content.decode()
        assert re.search(r'range=30d[^>]*aria-current="true"', page)

    def test_without_snapshots_says_what_to_do(self, as_viewer, market):
        page = as_viewer.get("/portfolio/").content.decode()
        assert "No snapshot in this range" in page

    @pytest.mark.parametrize("by", ["day", "week", "month", "year"])
    def test_has_a_calendar_by(self, as_viewer, history, by):
        page = as_viewer.get(f"/portfolio/?by={by}").content.decode()
        assert ('class="months"' in page) == (by == "day")


class TestWhatIsMissing:
    def test_is_a_gap_in_the_chart_and_in_words(self, as_viewer, history, begin):
        answer = as_viewer.get("/portfolio/?range=1h")
        data = shown(answer.content.decode())
        assert [int((begin + 7 * MINUTE).timestamp()), int((begin + 9 * MINUTE).timestamp())] in data["gaps"]
        assert "1 snapshot missing" in answer.content.decode()

    def test_of_a_price_makes_equity_unknown_and_says_what_is_known(self, as_viewer, history, now):
        history.fill("buy", "1", "3000", now=now - MINUTE, instrument=ETH, wallet="perps")
        taking.take(now=now)
        page = as_viewer.get("/portfolio/?range=1h").content.decode()
        assert "1 of 1 accounts incomplete" in page
        assert "≥ " in page
        assert shown(page)["points"][-1][1] is None

    def test_of_the_worth_of_a_flow_leaves_the_pnl_unknown(self, as_viewer, history, now):
        coin = Entry(
            kind=Kind.TRANSFER, cause=Cause.DEPOSIT, venue_ref="coin", time=now - 5 * MINUTE, leg=None,
            amount=D("1"), currency="BTC", wallet="spot",
        )  # fmt: skip
        history.book(coin, now=now - 5 * MINUTE)
        page = as_viewer.get("/portfolio/?range=1h").content.decode()
        assert 'data-figure="pnl" data-sign="unknown">—<' in page


class TestOneNumberEverywhere:
    def test_equity_and_pnl_are_the_same_cents_on_page_api_stream_and_in_the_file(
        self, as_viewer, api_key, history, now
    ):
        history.mark(BTC, "61234.5", now=now)
        published = pipeline.refresh(now)["simulated"]
        taking.take(now=now)
        page = as_viewer.get("/portfolio/?range=1h&environment=simulated").content.decode()
        asked = {"environment": "simulated", "since": (now - timedelta(hours=1)).isoformat(),
                 "until": (now + MINUTE).isoformat()}  # fmt: skip
        caller = Client(headers=api_key())
        answered = caller.get("/api/v1/portfolio/snapshots", asked).json()["items"]
        file = b"".join(caller.get("/api/v1/portfolio/snapshots/export", asked).streaming_content)
        rows = list(csv.DictReader(io.StringIO(file.decode())))
        points = shown(page)["points"]
        equity = {
            "stream": D(published["equity"]),
            "page": D(points[-1][1]),
            "API": D(answered[-1]["equity"]),
            "file": D(rows[-1]["equity"]),
        }
        assert set(equity.values()) == {D("11115.75")}
        pnl = {
            "page": D(re.search(r'data-figure="pnl"[^>]*>\+([\d.,]+)<', page)[1].replace(",", "")),
            "chart": D(points[-1][1]) - D(points[0][1]) - 500,
            "API": D(answered[-1]["equity"]) - D(answered[0]["equity"]) - 500,
            "file": D(rows[-1]["equity"]) - D(rows[0]["equity"]) - 500,
        }
        assert set(pnl.values()) == {D("117.25")}
        unrealized = D(published["unrealized"])
        assert unrealized == D(answered[-1]["unrealized_pnl"]) == D(rows[-1]["unrealized_pnl"])

    def test_the_portfolio_is_the_sum_of_its_accounts(self, history, now):
        second = Market(now=now - timedelta(hours=1), label="second")
        transfer(second, "open", "777.77", Cause.OPENING, now - timedelta(hours=1))
        taking.take(now=now)
        whole = PortfolioSnapshot.objects.get(at=now)
        parts = AccountSnapshot.objects.filter(at=now)
        assert whole.equity == sum(one.equity for one in parts)
