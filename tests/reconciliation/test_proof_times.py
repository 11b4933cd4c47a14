"""When accounts were proven and when they drifted, over a stretch of time, for many accounts at once."""

from datetime import timedelta

import pytest

from positions.models import Account
from reconciliation.models import Run, Transition, Verdict
from reconciliation.pages.proof_day import proof_days
from reconciliation.proof_times import proof_times

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
VALID = 3 * MINUTE


@pytest.fixture
def account(now):
    return made("main", now - timedelta(days=2))


def made(label, at):
    return Account.objects.create(label=label, venue="hyperliquid", environment="simulated", created_at=at)


def reported(account, at, **fields):
    given = {"complete": True, "as_of": at, "finished_at": at} | fields
    return Run.objects.create(account=account, started_at=at, **given)


def drifted(account, begin, end=None, *, status="DRIFT"):
    """A leg that drifted from `begin` on, until `end` if one is given."""
    verdict = Verdict.objects.create(
        account=account, wallet="perp", asset=f"C{Verdict.objects.count()}",
        status=status if end is None else "SYNCED", changed_at=end or begin, as_of=end or begin,
    )  # fmt: skip
    Transition.objects.create(verdict=verdict, old="SYNCED", new=status, at=begin)
    if end is not None:
        Transition.objects.create(verdict=verdict, old=status, new="SYNCED", at=end)


def times(account, now, *, minutes=60):
    found = proof_times(accounts=[account], start=now, end=now + minutes * MINUTE, valid=VALID)
    return found[account.pk]


class TestTheTimes:
    def test_join_reports_that_follow_each_other_and_leave_gaps(self, account, now):
        for minute in (0, 2, 20):
            reported(account, now + minute * MINUTE)
        found = times(account, now)
        assert found.proven == [(now, now + 5 * MINUTE), (now + 20 * MINUTE, now + 23 * MINUTE)]
        assert found.share == pytest.approx(100 * 8 / 60)

    def test_count_neither_an_incomplete_report_nor_one_that_read_nothing(self, account, now):
        reported(account, now, complete=False)
        reported(account, now, complete=False, as_of=None)
        assert times(account, now).proven == []

    def test_count_nothing_as_proven_while_something_drifts(self, account, now):
        for minute in range(60):
            reported(account, now + minute * MINUTE)
        drifted(account, now + 10 * MINUTE, now + 16 * MINUTE)
        drifted(account, now + 12 * MINUTE, now + 18 * MINUTE, status="FAILED")
        found = times(account, now)
        assert found.drifted == [(now + 10 * MINUTE, now + 18 * MINUTE)]
        assert (found.drift, found.share) == (8 * MINUTE, pytest.approx(100 * 52 / 60))

    def test_know_a_drift_that_began_before_and_one_that_lasts(self, account, now):
        drifted(account, now - timedelta(hours=5), now + 6 * MINUTE)
        drifted(account, now + 50 * MINUTE)
        drifted(account, now - timedelta(hours=9), now - timedelta(hours=8))
        assert times(account, now).drifted == [
            (now, now + 6 * MINUTE),
            (now + 50 * MINUTE, now + 60 * MINUTE),
        ]

    def test_of_the_past_do_not_know_what_came_later(self, account, now):
        drifted(account, now + timedelta(hours=3))
        assert times(account, now).drifted == []

    def test_begin_with_the_account(self, now):
        account = made("new", now + 30 * MINUTE)
        reported(account, now + 30 * MINUTE)
        assert times(account, now).share == pytest.approx(10)
        assert times(made("later", now + timedelta(days=1)), now).share is None

    def test_need_as_many_queries_for_ten_accounts_as_for_one(self, now, django_assert_num_queries):
        accounts = [made(f"account {number}", now) for number in range(10)]
        for account in accounts:
            drifted(account, now, now + MINUTE)
        with django_assert_num_queries(3):
            proof_times(accounts=accounts, start=now, end=now + 60 * MINUTE, valid=VALID)


class TestTheStrip:
    def test_draws_proof_with_drift_over_it_and_says_both(self, account, now):
        for minute in range(24 * 60 + 1):
            reported(account, now - minute * MINUTE)
        drifted(account, now - 12 * timedelta(hours=1), now - 12 * timedelta(hours=1) + timedelta(seconds=2))
        day = proof_days([account], now=now)[account.pk]
        assert [(bar.kind, bar.x, bar.width) for bar in day.bars] == [
            ("proven", "0.00", "288.00"), ("drift", "144.00", "1.00"),
        ]  # fmt: skip
        assert day.words.startswith("Proven 100.0 % of the last 24 hours; something drifted for 2")

    def test_stays_the_same_within_a_minute(self, account, now):
        reported(account, now - 10 * MINUTE)
        first = proof_days([account], now=now)
        assert proof_days([account], now=now + timedelta(seconds=59)) == first

    def test_is_on_the_proof_page(self, as_viewer, account, now):
        text = as_viewer.get("/reconciliation/").content.decode()
        assert "Proven 0.0 % of the last 24 hours" in text
