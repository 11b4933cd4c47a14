"""GET /portfolio/returns."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.utils import timezone

from portfolio.models import AccountSnapshot
from portfolio.snapshots import partitions
from positions.book import Cause, Kind
from positions.models import Entry
from tests.portfolio.api.days import of_others
from tests.portfolio.pnl.story import HOUR, begin, cash, keep
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


def snapshot(market, at, equity):
    partitions.ensure([partitions.month_of(at)])
    AccountSnapshot.objects.create(
        account=market.account, at=at, open_positions=1, equity=equity, realized_pnl=0, net_pnl=0
    )


class TestTheReturns(EndpointQuestions):
    path = "/portfolio/returns"

    def test_are_money_first_and_say_which_flow_has_no_mark(self, ask, reader, days):
        found = ask(reader).json()
        assert (found["flows"], found["gain"]) == ("101000", "3642.5")
        assert found["time_weighted"]["value"] is None
        assert found["time_weighted"]["why"].startswith("n/a because a mark is missing at the flow of")
        assert found["money_weighted"]["value"] is not None
        assert found["is_annualised"] is False
        assert found["money_weighted"]["annualised"] is None

    def test_chain_at_the_flow_with_the_equity_just_before_it(self, ask, reader, days):
        deposit = Entry.objects.get(venue_ref="deposit")
        snapshot(days, deposit.at - timedelta(seconds=60), D(101_000))
        found = ask(reader).json()
        before = [one["equity_before"] for one in found["flow_list"]]
        assert before == ["0", "101000"]
        expected = D(101_000) / 100_000 * D("104642.5") / 102_000 - 1
        assert abs(D(found["time_weighted"]["value"]) - expected) < D("1e-10")

    def test_count_a_wallet_that_is_opened_a_moment_later_as_joining(self, ask, reader, days, now):
        at = begin(now) + HOUR + timedelta(seconds=1)
        opening = cash(Kind.TRANSFER, "opening-2", at, "500", cause=Cause.OPENING, wallet="spot")
        days.book(opening, now=now)
        keep(days, now=timezone.now())
        found = ask(reader).json()
        assert (found["flows"], found["gain"]) == ("101500", "3642.5")
        assert [one["amount"] for one in found["flow_list"]] == ["100500", "1000"]
        assert found["flow_list"][0]["equity_before"] == "0"

    def test_take_no_older_snapshot_for_a_mark(self, ask, reader, days):
        snapshot(days, Entry.objects.get(venue_ref="deposit").at - timedelta(minutes=5), D(101_000))
        assert ask(reader).json()["time_weighted"]["value"] is None

    def test_of_nothing_are_unknown_and_no_zero(self, ask, reader, position):
        found = ask(reader, query={"since": str((timezone.now() - timedelta(days=3)).date())}).json()
        assert found["time_weighted"]["why"] == "n/a because the average capital is too small"
        assert found["drawdowns"] == []

    def test_are_of_the_accounts_that_a_key_may_see(self, ask, api_key, days, other):
        assert of_others(ask, api_key, other).json()["flows"] == "0"
