"""The venue's own history beside ours."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from portfolio.alerts.evaluate import evaluate
from portfolio.models import AccountDay, AccountSnapshot, Alert, VenueDay
from portfolio.pnl import witness
from portfolio.snapshots import partitions
from portfolio.totals import desk
from reconciliation.api import serializers
from reconciliation.cases import cases
from reconciliation.models import Case, Run
from tests.reconciliation.stage import staged

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(db):
    with staged(seed=3) as found:
        yield found


@pytest.fixture
def account(stage):
    made = stage.account()
    today = desk.day_of(stage.now())
    AccountDay.objects.create(
        account=made,
        day=today,
        starts_at=desk.day_start(today),
        ends_at=desk.day_end(today),
        as_of=stage.now(),
    )
    stage.trade("ETH", "buy", 1)
    left = (desk.day_end(today) - stage.now()) / timedelta(seconds=1)
    stage.wait(left - 30)
    stage.venue.info.values.sampled_at = 0
    stage.wait(1)
    stage.wait(60)
    return made


def ours(account, at, equity):
    partitions.ensure([partitions.month_of(at)])
    AccountSnapshot.objects.create(
        account=account, at=at, open_positions=1, equity=equity, realized_pnl=0, net_pnl=0
    )


def run(account, at):
    return Run.objects.create(account=account, started_at=at, finished_at=at, complete=True, as_of=at)


class TestTheVenuesHistory:
    def test_is_kept_beside_ours_with_the_difference(self, stage, account):
        at = desk.day_start(desk.day_of(stage.now())) - timedelta(seconds=20)
        value = next(one for one in reversed(stage.venue.info.values.samples[account.address]) if one[1])[1]
        ours(account, at, value - D("0.5"))
        assert witness.compare(account, now=stage.now()) == 1
        (row,) = VenueDay.objects.all()
        assert (row.difference, row.beyond, row.covers) == (D("0.5"), False, "all")

    def test_that_differs_by_more_is_marked(self, stage, account):
        at = desk.day_start(desk.day_of(stage.now())) - timedelta(seconds=20)
        ours(account, at, D(5000))
        witness.compare(account, now=stage.now())
        assert VenueDay.objects.get().beyond is True

    def test_beyond_tolerance_opens_a_case_that_raises_an_alert(self, stage, account):
        self.differs(stage, account)
        case = Case.objects.get(account=account, family="value")
        assert (case.name, serializers.actions_for(case)) == ("USD in whole account", ["dismiss"])
        assert "history of" in case.diagnosis[0]["text"]
        evaluate(stage.now())
        alert = Alert.objects.get(kind="drift")
        assert (alert.case_id, alert.account_id, alert.state) == (case.pk, account.pk, "raised")
        assert alert.title.startswith(f"DRIFT account value {account.label}: book 5,000.00, venue ")

    def test_that_agrees_again_settles_the_case_and_clears_the_alert(self, stage, account):
        self.differs(stage, account)
        evaluate(stage.now())
        AccountSnapshot.objects.all().delete()
        ours(account, self.last(stage), self.value(stage, account))
        witness.compare(account, now=stage.now())
        case = Case.objects.get(family="value")
        assert (case.state, "agree" in case.outcome) == ("resolved", True)
        stage.wait(60)
        evaluate(stage.now())
        assert Alert.objects.get(kind="drift").cleared_at is not None

    def test_that_somebody_dismissed_opens_no_other_case(self, stage, account):
        self.differs(stage, account)
        case = Case.objects.get(family="value")
        cases.move(case=case, to="dismissed", who="user:ada", now=stage.now(), text="a rebate")
        witness.compare(account, now=stage.now())
        assert Case.objects.filter(family="value").count() == 1

    def differs(self, stage, account):
        run(account, stage.now())
        ours(account, self.last(stage), D(5000))
        witness.compare(account, now=stage.now())

    def last(self, stage):
        return desk.day_start(desk.day_of(stage.now())) - timedelta(seconds=20)

    def value(self, stage, account):
        return next(one for one in reversed(stage.venue.info.values.samples[account.address]) if one[1])[1]

    def test_without_a_snapshot_of_ours_has_no_difference(self, stage, account):
        witness.compare(account, now=stage.now())
        row = VenueDay.objects.get()
        assert (row.ours, row.difference, row.beyond) == (None, None, False)

    def test_that_cannot_be_read_is_asked_again(self, stage, account):
        stage.fail("status", status=500, type="portfolio")
        assert witness.compare_all(now=stage.now()) == 0
        stage.heal()
        assert witness.compare_all(now=stage.now()) == 1
