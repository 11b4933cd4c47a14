"""Accounts that connect while they trade, at venues whose clocks are off or that count late: no drift."""

import random
from dataclasses import replace

import pytest

from positions.sync import poll
from reconciliation.models import Case, Transition, Verdict
from tests.reconciliation.stage import USER, booked, held, leg, wallet

pytestmark = pytest.mark.django_db


def drifts(account):
    return Transition.objects.filter(verdict__account=account, new__in=["DRIFT", "FAILED"])


def opened_early(stage, monkeypatch, *, by, happens):
    """An account whose opening balances carry a time `by` seconds before they were read; it trades then."""
    account = stage.account()
    balances = poll.opening_balances.balances

    def stamped_early(*, venue):
        begun = stage.now()
        stage.wait(by)
        happens()
        stage.wait(0.01)
        found = balances(venue=venue)
        return [replace(one, time=begun) for one in found]

    monkeypatch.setattr(poll.opening_balances, "balances", stamped_early)
    poll.facts(account=account, methods=[], now=stage.now(), trace_id="test")
    monkeypatch.setattr(poll.opening_balances, "balances", balances)
    return account


class TestAFillInsideTheOpeningBalance:
    def buys(self, stage, coin="@1", size="3"):
        stage.trade(coin, "buy", size)

    def test_of_a_coin_is_counted_once_and_never_called_a_drift(self, stage, monkeypatch):
        stage.do("deposit", token="USDC", amount=1000)
        account = opened_early(stage, monkeypatch, by=0.5, happens=lambda: self.buys(stage))
        run = stage.reconcile(account, trigger="start")
        assert run.complete, run.problem
        assert held(account)["coin:HYPE"] == in_spot(stage, "HYPE")
        assert not drifts(account).exists()
        assert not Case.objects.exists()
        assert {one.status for one in Verdict.objects.filter(account=account)} == {"SYNCED"}
        amend = booked(account, kind="amend").first()
        assert amend.source == "connection"

    def test_of_a_perpetual_counts_its_fee_once(self, stage, monkeypatch):
        account = opened_early(stage, monkeypatch, by=0.5, happens=lambda: stage.trade("ETH", "buy", 1))
        run = stage.reconcile(account, trigger="start")
        assert run.complete, run.problem
        assert not drifts(account).exists()
        assert wallet(account).status == "SYNCED"
        assert leg(account).status == "SYNCED"

    def test_that_only_looks_like_it_is_a_case(self, stage, monkeypatch):
        """A deposit that nobody told of, of an amount that no fill near T0 has."""
        account = opened_early(stage, monkeypatch, by=0.5, happens=lambda: None)
        stage.wait(5)
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", amount=37)
        stage.reconcile(account, trigger="start")
        stage.minutes(account, 2)
        assert drifts(account).exists()
        assert not booked(account, kind="amend").exists()


class TestAFillThatTheOpeningBalanceLacks:
    def test_is_counted(self, stage, monkeypatch):
        account = stage.account()
        balances = poll.opening_balances.balances

        def stamped_late(*, venue):
            found = balances(venue=venue)
            stage.wait(0.2)
            stage.trade("ETH", "buy", 1)
            stage.wait(0.3)
            return [replace(one, time=stage.now()) for one in found]

        monkeypatch.setattr(poll.opening_balances, "balances", stamped_late)
        run = stage.reconcile(account, trigger="start")
        assert run.complete, run.problem
        assert not drifts(account).exists()
        assert wallet(account).status == "SYNCED"


class TestManyAccountsThatConnectWhileTheyTrade:
    @pytest.mark.parametrize("seed", range(8))
    def test_show_no_drift(self, stage, monkeypatch, seed):
        """The venue's clock is off by up to 2 s; each trades coins and perpetuals meanwhile, and after.

        Eight times 25 are 200 accounts; as many connect at Coinbase (test_connecting_coinbase.py).
        """
        rng = random.Random(seed)
        ask = poll.opening_balances.run
        for number in range(25):
            user = f"0x{seed:020x}{number:020x}"
            stage.fail("clock_skew", ms=rng.randint(-2000, 2000))
            stage.do("deposit", amount=50_000, user=user)
            stage.do("deposit", token="USDC", amount=50_000, user=user)

            def trade(user=user):
                for _ in range(rng.randint(1, 4)):
                    coin, size = rng.choice([("@1", "2"), ("ETH", "0.5"), ("BTC", "0.02")])
                    side = "buy" if coin == "@1" else rng.choice(["buy", "buy", "sell"])
                    stage.trade(coin, side, size, user=user)
                    stage.wait(rng.uniform(0.01, 1))

            def trading(work, *, trade=trade):
                if rng.random() < 0.4:
                    trade()
                return ask(work)

            monkeypatch.setattr(poll.opening_balances, "run", trading)
            account = stage.account(address=user, label=f"n{seed}-{number}")
            stage.reconcile(account, trigger="start")
            monkeypatch.setattr(poll.opening_balances, "run", ask)
            trade()
            stage.minutes(account)
            assert not drifts(account).exists(), list(drifts(account).values("verdict", "differences"))
            stage.heal()


def in_spot(stage, coin):
    return stage.venue.exchange.account(USER).spot[coin]
