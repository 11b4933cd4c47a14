"""An account that connects while the venue lists its newest fills later than it counts them."""

import pytest

from tests.reconciliation.stage import D, booked, cases, held, leg

pytestmark = pytest.mark.django_db


def connected(stage):
    """The account and its first run; ETH was traded just before, and its newest fill is listed 20 s late."""
    stage.do("withhold", what="fill", count=1, seconds=20)
    stage.trade("ETH", "buy", 3)
    account = stage.account()
    stage.wait(1)
    stage.reconcile(account, trigger="start")
    return account


def standing(account):
    """Σ of the fills that stand, by cause."""
    undone = set(booked(account, kind="bust").values_list("target_ref", flat=True))
    sums = {}
    for row in booked(account, kind="fill").exclude(venue_ref__in=undone):
        sums[row.cause] = sums.get(row.cause, D(0)) + row.quantity
    return sums


class TestALotBeforeTheHistory:
    def test_is_replaced_by_the_fill_that_it_stood_for(self, stage):
        account = connected(stage)
        assert (standing(account), held(account)) == ({"opening": D(3)}, {"ETH": D(3)})
        stage.wait(30)
        stage.reconcile(account, trigger="reconnect")
        assert (standing(account), held(account)) == ({"trade": D(3)}, {"ETH": D(3)})
        assert leg(account).status == "SYNCED"
        assert [one.state for one in cases(account)] == ["resolved"]

    def test_stays_beside_what_is_traded_after_it(self, stage):
        stage.trade("ETH", "buy", 3)
        stage.wait(1)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        account = stage.account()
        stage.wait(1)
        stage.reconcile(account, trigger="start")
        stage.heal()
        stage.fail("history_cut", rows=2)
        stage.wait(60)
        stage.trade("ETH", "sell", 2)
        stage.minutes(account)
        assert (standing(account), held(account)) == ({"opening": D(3), "trade": D(-1)}, {"ETH": D(2)})
        assert leg(account).status == "SYNCED"

    def test_goes_when_the_history_that_it_stood_for_is_read_after_all(self, stage):
        stage.trade("ETH", "buy", 3)
        stage.wait(1)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        account = stage.account()
        stage.wait(1)
        stage.reconcile(account, trigger="start")
        assert standing(account) == {"opening": D(3), "trade": D(1)}
        stage.heal()
        stage.wait(5)
        stage.reconcile(account, trigger="demand")
        assert (standing(account), held(account)) == ({"trade": D(4)}, {"ETH": D(4)})

    def test_is_not_supposed_where_the_venues_own_sizes_leave_no_room_for_one(self, stage):
        stage.trade("ETH", "buy", 1)
        stage.wait(1)
        account = connected(stage)
        assert standing(account) == {"trade": D(1)}
        assert [one.diagnosis[0]["cause"] for one in cases(account)] == ["fill_missed"]
        stage.wait(30)
        stage.reconcile(account, trigger="reconnect")
        assert (standing(account), held(account)) == ({"trade": D(4)}, {"ETH": D(4)})
        assert (leg(account).status, [one.state for one in cases(account)]) == ("SYNCED", ["resolved"])
