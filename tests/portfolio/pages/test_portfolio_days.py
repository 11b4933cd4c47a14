"""Days on the portfolio's page are the desk's, and a period has the same cents at every door."""

import csv
import io
import re
from datetime import datetime, time, timedelta
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from portfolio import pipeline
from portfolio.models import Recipient
from portfolio.notify import digest
from portfolio.pnl import closing_marks, keeping
from portfolio.snapshots import taking
from portfolio.totals import desk
from positions import live
from positions.book import Cause, Kind
from tests.portfolio.market import BTC, Market
from tests.portfolio.pnl import story

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
EARNED, WORTH = D("457.90"), D("11004.56")
CELL = re.compile(r'title="(?P<day>[^"]+): (?P<pnl>[^" ]+) USD')


def cells(page: str) -> dict[str, str]:
    """The calendar's days with their P&L, as a reader sees them."""
    return {found["day"]: found["pnl"] for found in CELL.finditer(page)}


def number(text: str) -> D:
    return D(text.replace("−", "-").replace(",", "").replace("+", "").replace("\xa0", " ").split()[0])


@pytest.fixture(params=["UTC 00:00", "America/New_York 17:00", "Asia/Kolkata 09:15"])
def a_desk(request, settings):
    zone, _, starts = request.param.partition(" ")
    settings.DESK_ZONE, settings.DESK_DAY_START = ZoneInfo(zone), time.fromisoformat(starts)


class TestTheCalendar:
    def test_has_the_days_of_the_desk(self, a_desk, as_viewer):
        now = timezone.now()
        market = Market(now=now - timedelta(days=5))
        story.live(market, now=now)
        story.keep(market, now=now)
        page = as_viewer.get("/portfolio/?range=7d&environment=simulated").content.decode()
        day = desk.day_of(now) - 3 * desk.DAY
        wanted = {}
        for price, funding, fees, _, _ in story.DAYS:
            wanted[f"{day:%a} {day.day} {day:%b %Y}"] = price + funding + fees
            day += desk.DAY
        assert {name: number(pnl) for name, pnl in cells(page).items()} == wanted

    def test_shows_no_number_for_a_day_whose_end_nobody_knows(self, as_viewer):
        now = timezone.now()
        market = Market(now=now - timedelta(days=5))
        story.live(market, now=now)
        yesterday = desk.day_start(desk.day_of(now) - desk.DAY)
        closing_marks.ClosingMark.objects.filter(at=yesterday).delete()
        story.keep(market, now=now)
        page = as_viewer.get("/portfolio/?range=7d&environment=simulated").content.decode()
        assert list(cells(page).values()).count("—") == 2
        assert "2 unknown" in page


class TestOnePeriodAtEveryDoor:
    @pytest.fixture
    def day(self):
        """Yesterday."""
        return desk.day_of(timezone.now()) - desk.DAY

    @pytest.fixture
    def told(self, day):
        """Yesterday, lived through: what the stream said at its last moment."""
        begin, end = desk.day_start(day), desk.day_end(day)
        market = Market(now=begin - timedelta(days=1))
        joined = begin - timedelta(hours=2)
        market.book(story.cash(Kind.TRANSFER, "opening", joined, "10000.37", cause=Cause.OPENING), now=joined)
        market.fill("buy", "0.4321", "60000.7", now=joined + SECOND)
        self.pass_midnight(market, "60111.3", begin)
        market.fill("sell", "0.1111", "60999.9", now=begin + timedelta(hours=3))
        deposit = begin + timedelta(hours=5)
        market.book(story.cash(Kind.TRANSFER, "deposit", deposit, "500", cause=Cause.DEPOSIT), now=deposit)
        last = end - SECOND
        market.mark(BTC, "61234.9", now=last)
        keeping.keep_days(now=last)
        pipeline.refresh(last)
        said = [fields[b"frame"] for _, fields in live.client().xrange(live.LIVE)]
        (frame,) = [one for one in map(orjson.loads, said) if "totals" in one]
        self.pass_midnight(market, "61234.9", end)
        market.mark(BTC, "59000", now=timezone.now())
        keeping.keep_days(now=timezone.now())
        return frame["totals"]["simulated"]

    @staticmethod
    def pass_midnight(market: Market, price: str, at: datetime) -> None:
        market.mark(BTC, price, now=at)
        closing_marks.keep(at=at, accounts=[market.account], now=at)
        taking.take(now=at)
        keeping.keep_days(now=at)

    @pytest.fixture
    def mail(self, told, day, viewer):
        reader = Recipient(user=viewer, zone="UTC")
        sheet = digest.sheet_of(recipient=reader, day=day, now=timezone.now())
        (section,) = [one for one in sheet.sections if one.heading.startswith("Worth")]
        equity, pnl = (number(line.value) for line in section.lines)
        return equity, pnl

    def test_has_the_same_cents_on_page_api_stream_mail_and_in_the_file(
        self, told, mail, day, as_viewer, api_key
    ):
        caller = Client(headers=api_key())
        asked = {"environment": "simulated", "since": day.isoformat(), "until": day.isoformat()}
        answer = caller.get("/api/v1/portfolio/attribution", asked | {"by": "day"}).json()
        listed = caller.get("/api/v1/portfolio/pnl", {"period": "7d", "by": "day"}).json()["rows"]
        page = as_viewer.get("/portfolio/?range=7d&environment=simulated").content.decode()
        stretch = {
            "environment": "simulated", "since": desk.day_start(day).isoformat(),
            "until": (desk.day_end(day) + SECOND).isoformat(),
        }  # fmt: skip
        sent = caller.get("/api/v1/portfolio/snapshots/export", stretch)
        first, last = csv.DictReader(io.StringIO(b"".join(sent.streaming_content).decode()))
        pnl = {
            "page": number(cells(page)[f"{day:%a} {day.day} {day:%b %Y}"]),
            "API": D(answer["total"]["pnl"]),
            "API, of the week": next(D(one["pnl"]) for one in listed if one["key"] == day.isoformat()),
            "stream": D(told["today"]),
            "mail": mail[1],
            "file": D(last["equity"]) - D(first["equity"]) - 500,
        }
        equity = {
            "API": D(answer["end_equity"]),
            "stream": D(told["equity"]),
            "mail": mail[0],
            "file": D(last["equity"]),
        }
        cent = D("0.01")
        assert {door: amount.quantize(cent) for door, amount in pnl.items()} == dict.fromkeys(pnl, EARNED)
        assert {door: amount.quantize(cent) for door, amount in equity.items()} == dict.fromkeys(
            equity, WORTH
        )
        assert f"{equity['API']:,.2f}" in page
