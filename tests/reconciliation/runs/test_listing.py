"""A coin that the venue lists after an account was connected, or no longer, or trades before it lists it."""

from decimal import Decimal as D

import pytest

from positions.models import Balance, Position
from positions.sync import poll
from positions.venues.base import Method
from reconciliation.models import Run, Verdict
from tests.reconciliation.stage import held, leg

pytestmark = pytest.mark.django_db


@pytest.fixture
def before_listing(stage):
    """An account that was connected and proven before HYPE was listed; two hours later it trades."""
    stage.do("unlist", coin="HYPE")
    stage.do("unlist", coin="@1")
    account = stage.account()
    stage.reconcile(account, trigger="start")
    stage.minutes(account)
    assert Run.objects.latest("pk").complete
    return account


def poll_fills(stage, account):
    return poll.facts(account=account, methods=[Method.FILLS], now=stage.now(), trace_id="test")


class TestACoinListedAfterConnecting:
    def test_is_booked_and_proven_by_the_first_run(self, stage, before_listing):
        stage.do("unlist", coin="HYPE", listed=True)
        stage.trade("HYPE", "buy", 5)
        run = stage.minutes(before_listing)
        assert run.complete, run.problem
        assert held(before_listing) == {"HYPE": 5}
        assert leg(before_listing, "HYPE").status == "SYNCED"

    def test_is_booked_by_the_first_poll(self, stage, before_listing):
        stage.do("unlist", coin="HYPE", listed=True)
        stage.trade("HYPE", "buy", 5)
        stage.wait(30)
        assert poll_fills(stage, before_listing).booked == 1
        assert held(before_listing) == {"HYPE": 5}

    def test_is_received_in_its_wallet(self, stage, before_listing):
        stage.do("unlist", coin="@1", listed=True)
        stage.do("deposit", token="HYPE", amount=3)
        run = stage.minutes(before_listing)
        assert run.complete, run.problem
        assert Balance.objects.get(account=before_listing, asset="HYPE").amount == 3


class TestACoinThatTradesBeforeItIsListed:
    def test_waits_and_is_booked_once_it_is(self, stage, before_listing):
        stage.trade("HYPE", "buy", 5)
        stage.trade("ETH", "buy", 1)
        stage.wait(30)
        for _ in range(3):
            waiting = poll_fills(stage, before_listing)
            assert waiting.waits
            stage.wait(20)
        assert held(before_listing) == {"ETH": 1}
        stage.do("unlist", coin="HYPE", listed=True)
        stage.wait(60)
        assert not poll_fills(stage, before_listing).waits
        assert held(before_listing) == {"ETH": 1, "HYPE": 5}

    def test_is_proven_within_a_minute_of_its_listing(self, stage, before_listing):
        stage.trade("HYPE", "buy", 5)
        for _ in range(4):
            run = stage.minutes(before_listing)
            assert not run.complete
        stage.do("unlist", coin="HYPE", listed=True)
        stage.wait(200)
        run = stage.minutes(before_listing)
        assert run.complete, run.problem
        assert held(before_listing) == {"HYPE": 5}
        assert {one.status for one in Verdict.objects.filter(account=before_listing)} == {"SYNCED"}

    def test_does_not_hold_others_up_for_ever(self, stage, before_listing):
        stage.trade("HYPE", "buy", 5)
        stage.wait(1_000)
        stage.trade("ETH", "buy", 1)
        stage.wait(30)
        assert not poll_fills(stage, before_listing).waits


class TestACoinThatIsNoLongerListed:
    def test_stays_readable_while_it_is_held(self, stage, long3):
        stage.trade("HYPE", "buy", 5)
        stage.minutes(long3)
        stage.do("unlist", coin="HYPE")
        stage.do("unknown_coin")  # so that the list of coins is read again
        stage.minutes(long3, 2)
        assert held(long3)["HYPE"] == D(5)
        assert leg(long3, "HYPE").status == "SYNCED"
        stage.trade("HYPE", "sell", 5)
        stage.minutes(long3)
        assert "HYPE" not in held(long3)
        assert Position.objects.get(account=long3, instrument__venue_symbol="HYPE").status == "CLOSED"
