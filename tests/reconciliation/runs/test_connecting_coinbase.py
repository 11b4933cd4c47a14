"""Coinbase accounts that connect while they trade, whatever their venue's clock says: no drift."""

import random

import pytest

from positions.sync import poll
from reconciliation.models import Transition, Verdict
from tests.reconciliation.coinbase_stage import staged_coinbase

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(db):
    with staged_coinbase() as found:
        yield found


def drifts(account):
    return Transition.objects.filter(verdict__account=account, new__in=["DRIFT", "FAILED"])


class TestManyAccountsThatConnectWhileTheyTrade:
    @pytest.mark.parametrize("seed", range(8))
    def test_show_no_drift(self, stage, monkeypatch, seed):
        """The venue's clock is off by up to 2 s; each buys and sells meanwhile, and after: 200 accounts."""
        rng = random.Random(seed)
        ask = poll.opening_balances.run
        for number in range(25):
            key = f"key-{seed}-{number}"
            stage.fail("clock_skew", ms=rng.randint(-2000, 2000))
            stage.do("deposit", amount=100_000, user=key)
            stage.do("trade", coin="BTC-USD", side="buy", size="0.3", user=key)

            def trade(key=key):
                for _ in range(rng.randint(1, 3)):
                    coin, size = rng.choice([("BTC-USD", "0.02"), ("ETH-USD", "0.5"), ("SOL-USD", "2")])
                    side = "sell" if coin == "BTC-USD" and rng.random() < 0.4 else "buy"
                    stage.do("trade", coin=coin, side=side, size=size, user=key)
                    stage.wait(rng.uniform(0.01, 1))

            def trading(work, *, trade=trade):
                if rng.random() < 0.4:
                    trade()
                return ask(work)

            monkeypatch.setattr(poll.opening_balances, "run", trading)
            account = stage.account(key, label=f"n{seed}-{number}")
            run = stage.reconcile(account, trigger="start")
            monkeypatch.setattr(poll.opening_balances, "run", ask)
            assert run.complete, run.problem
            trade()
            stage.minutes(account)
            assert not drifts(account).exists(), list(drifts(account).values("verdict", "differences"))
            assert {one.status for one in Verdict.objects.filter(account=account)} == {"SYNCED"}
            stage.heal()
