"""A run in which the venue's report answers and a list of facts does not: the report still counts."""

from datetime import timedelta

import pytest

from reconciliation.models import Case, Correction
from tests.reconciliation.stage import D, held, leg, wallet

FILLS = {"type": "userFillsByTime"}


@pytest.fixture
def account(stage):
    """4 ETH and their cash, proven."""
    stage.trade("ETH", "buy", 4)
    found = stage.account()
    stage.minutes(found, 2)
    assert (leg(found).status, wallet(found).status) == ("SYNCED", "SYNCED")
    return found


class TestARunWithoutFills:
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "status", "status": 429},
            {"kind": "status", "status": 502},
            {"kind": "timeout", "seconds": 4},
        ],
        ids=["429", "502", "hangs"],
    )
    def test_proves_the_legs_that_the_report_agrees_with(self, stage, account, fault):
        before = leg(account).as_of
        stage.fail(**fault, **FILLS)
        stage.wait(5)
        run = stage.reconcile(account, trigger="demand")
        assert "fills: " in run.problem
        assert not run.complete
        assert not run.windows["fills"]["complete"]
        assert leg(account).status == "SYNCED"
        assert leg(account).as_of - before >= timedelta(seconds=5)

    def test_leaves_a_wrong_size_unproven_and_calls_it_neither_drift_nor_failed(self, stage, account):
        stage.fail("status", status=502, **FILLS)
        stage.trade("ETH", "buy", 2)
        for _ in range(3):
            stage.wait(20)
            stage.reconcile(account)
        assert leg(account).status == "PENDING"
        assert not Case.objects.exists()
        assert Correction.objects.count() == 0
        assert held(account) == {"ETH": D(4)}

    def test_calls_it_a_drift_once_the_facts_are_read_and_do_not_explain_it(self, stage, account):
        stage.fail("status", status=502, **FILLS)
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "buy", 2)
        stage.wait(20)
        stage.reconcile(account)
        assert leg(account).status == "PENDING"
        stage.heal()
        stage.minutes(account)
        assert leg(account).status == "DRIFT"

    def test_says_nothing_of_cash_that_differs_for_want_of_facts(self, stage, account):
        proven = wallet(account).as_of
        stage.fail("status", status=502, **FILLS)
        stage.trade("ETH", "buy", 2)
        stage.wait(20)
        stage.reconcile(account)
        assert (wallet(account).status, wallet(account).as_of) == ("SYNCED", proven)
        assert not Case.objects.filter(account=account, family="cash").exists()

    def test_is_made_good_by_the_next_one_that_can_read_them(self, stage, account):
        stage.fail("status", status=502, **FILLS)
        stage.trade("ETH", "buy", 2)
        stage.wait(20)
        stage.reconcile(account)
        stage.heal()
        stage.minutes(account)
        assert (leg(account).status, wallet(account).status) == ("SYNCED", "SYNCED")
        assert held(account) == {"ETH": D(6)}
        assert not Case.objects.filter(account=account, closed_at=None).exists()

    def test_withholds_what_was_withheld_before(self, stage, account):
        run = stage.reconcile(account, trigger="demand")
        run.windows["fills"]["withheld"] = ["ETH"]
        run.save()
        before = leg(account).as_of
        stage.fail("status", status=502, **FILLS)
        stage.wait(5)
        assert stage.reconcile(account, trigger="demand").withheld == ["ETH"]
        assert leg(account).as_of == before
