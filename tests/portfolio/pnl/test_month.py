"""A simulated month with faults: the days add up to the total, and the total to the venue's own truth."""

from decimal import Decimal

import pytest

from portfolio.attribution import GATE
from portfolio.models import AccountDay, PnlDay
from positions.models import Entry
from tests.portfolio.pnl.month import SPOT, Month
from tests.reconciliation.stage import USER, staged

pytestmark = pytest.mark.django_db
DAYS = 30
CENT = Decimal("0.01")


@pytest.fixture
def month(db):
    with staged(seed=5) as stage:
        lived = Month(stage, seed=9)
        for _ in range(DAYS):
            lived.day()
        lived.end = lived.finish()
        yield lived


class TestAMonthWithFaults:
    def test_closes_every_day_and_in_all_to_the_truth_of_the_venue(self, month):
        days = list(AccountDay.objects.filter(account=month.account).order_by("day"))
        assert len(days) >= DAYS
        assert month.failures > 3
        assert month.late > 3
        loose = {day.day: day.unexplained for day in days}
        assert {day: left for day, left in loose.items() if left is None or abs(left) > GATE} == {}
        told = {day.as_of: day.end_equity for day in days}
        wrong = {at: (told.get(at), true) for at, true in month.truth.items() if at != month.opened}
        assert {
            at: both for at, both in wrong.items() if both[0] is None or abs(both[0] - both[1]) > CENT
        } == {}

        flows = sum(day.flows for day in days)
        total = sum(day.pnl for day in days)
        later = Entry.objects.filter(account=month.account, cause="opening", at__gt=month.opened)
        worth = {"USDC": 1, "HYPE": month.mark(SPOT)}
        brought = days[0].joined + sum(one.amount * worth[one.currency] for one in later)
        assert abs(brought - month.truth[month.opened]) <= CENT
        assert abs(total + flows - month.truth[month.end]) <= CENT

        lines = PnlDay.objects.filter(account=month.account)
        assert sum(line.pnl for line in lines) == total
        truth = month.stage.venue.exchange.known(USER).totals
        assert abs(sum(day.funding for day in days) - truth.funding) <= CENT
        assert truth.funding != 0
        names = ("price", "funding", "interest", "fees", "flows", "conversion", "corrections")
        for name in names:
            whole = sum(getattr(line, name) for line in lines)
            assert whole == sum(getattr(day, name) for day in days), name
