"""A made-up year: its entries, snapshots and days agree, and it never stands beside real accounts."""

from decimal import Decimal as D

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from portfolio.models import AccountDay, PortfolioHour, PortfolioSnapshot, PositionSnapshot
from positions.models import Account, Position
from tests.portfolio.market import Market

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded():
    call_command("seed_history", days=4, raw_days=1)


class TestAMadeUpStretch:
    def test_has_accounts_positions_and_a_past(self, seeded):
        assert Account.objects.filter(environment="simulated").count() == 3
        assert Position.objects.exclude(status="CLOSED").count() > 0
        assert PortfolioHour.objects.count() >= 4 * 24 - 2
        assert PortfolioSnapshot.objects.count() > 20 * 60
        assert PositionSnapshot.objects.count() > PortfolioSnapshot.objects.count()

    def test_closes_every_day_to_the_cent(self, seeded):
        days = AccountDay.objects.all()
        assert days.count() >= 3 * 4
        assert {row.unexplained for row in days} == {D(0)}

    def test_ends_where_the_book_of_its_entries_stands(self, seeded):
        made, taken = PortfolioSnapshot.objects.order_by("-at")[1], PortfolioSnapshot.objects.latest("at")
        assert (made.open_positions, made.realized_pnl) == (taken.open_positions, taken.realized_pnl)
        assert made.net_pnl == taken.net_pnl

    def test_is_what_the_portfolios_page_shows(self, seeded, as_viewer):
        page = as_viewer.get("/portfolio/?range=7d&environment=simulated").content.decode()
        assert 'data-part="calendar"' in page
        assert "every day closes to the cent" in page


class TestTheCommand:
    def test_refuses_to_stand_beside_a_live_account(self, now):
        Market(now=now, environment="live")
        with pytest.raises(CommandError, match="live accounts"):
            call_command("seed_history")

    def test_refuses_a_second_time(self, seeded):
        with pytest.raises(CommandError, match="already"):
            call_command("seed_history")

    @pytest.mark.parametrize("wrong", [{"days": 1}, {"days": 9999}, {"days": 5, "raw_days": 6}])
    def test_refuses_what_does_not_fit(self, db, wrong):
        with pytest.raises(CommandError, match="--days"):
            call_command("seed_history", **wrong)
