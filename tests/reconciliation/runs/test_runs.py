"""A run against the simulated venue: what it asks, what it proves, what its certificate says."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from positions.models import VenueState
from reconciliation.models import DifferenceRow, Run, Transition
from reconciliation.runs import runs
from tests.reconciliation.conftest import D, booked, held, leg, wallet

pytestmark = pytest.mark.django_db


class TestTheFirstRun:
    def test_connects_books_the_history_and_proves_legs_and_wallets(self, stage):
        stage.trade("ETH", "buy", 2)
        stage.trade("ETH", "sell", "0.5")
        account = stage.account()
        stage.wait(1)
        run = stage.reconcile(account, trigger="start")
        assert run.complete, run.problem
        assert held(account) == {"ETH": D("1.5")}
        assert leg(account).status == "SYNCED"
        assert wallet(account).status == "SYNCED"
        assert run.counts["received"] == run.counts["applied"] + run.counts["duplicate"]

    def test_leaves_a_certificate_of_window_report_and_counts(self, stage):
        stage.trade("ETH", "buy", 2)
        run = stage.reconcile(stage.account(), trigger="start")
        fills = run.windows["fills"]
        assert fills["asked"][0].startswith("2009")
        assert fills["covered"] is not None
        assert fills["complete"]
        [told] = [one for one in run.legs if one["symbol"] == "ETH"]
        assert told["proves"]
        assert told["covered"] == fills["covered"]
        assert told["as_of"] == run.as_of.isoformat()
        assert {"received", "applied", "duplicate", "conflicting", "dropped"} <= run.counts.keys()
        assert run.finished_at is not None


class TestALaterRun:
    def test_asks_for_the_state_only_while_it_agrees(self, stage, account):
        before = len(stage.asked())
        run = stage.minutes(account)
        assert set(stage.asked()[before:]) == {"clearinghouseState", "spotClearinghouseState"}
        assert run.windows == {}
        assert run.complete

    def test_asks_for_facts_after_ten_minutes(self, stage, account):
        stage.wait(601)
        before = len(stage.asked())
        stage.reconcile(account)
        assert "userFillsByTime" in stage.asked()[before:]

    def test_asks_for_facts_when_the_state_disagrees_and_is_satisfied(self, stage, account):
        stage.trade("ETH", "buy", 3)
        run = stage.minutes(account)
        assert held(account) == {"ETH": 3}
        assert (leg(account).status, run.complete) == ("SYNCED", True)
        assert not DifferenceRow.objects.exists()

    def test_finds_a_venue_that_hides_a_fill_drifting_then_failed(self, stage, account):
        stage.trade("ETH", "buy", 3)
        stage.minutes(account)
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "sell", 1)
        stage.minutes(account)
        assert leg(account).status == "DRIFT"
        assert wallet(account).status == "DRIFT"
        stage.minutes(account)
        assert leg(account).status == "FAILED"
        stage.do("release")
        stage.minutes(account)
        assert leg(account).status == "SYNCED"
        assert wallet(account).status == "SYNCED"
        moves = Transition.objects.filter(verdict=leg(account)).values_list("old", "new")
        assert list(moves) == [
            ("PENDING", "SYNCED"),
            ("SYNCED", "DRIFT"),
            ("DRIFT", "FAILED"),
            ("FAILED", "SYNCED"),
        ]
        history = DifferenceRow.objects.get(family="size")
        assert (history.ended, history.amount) == ("settled", -1)
        assert history.confirmed_at < history.ended_at

    def test_asks_once_more_before_it_calls_a_difference_a_drift(self, stage, account):
        """The state has a fill at once, the list of fills a second later; nobody streams it."""
        stage.do("withhold", what="fill", count=1, seconds=1)
        stage.trade("ETH", "buy", 3)
        stage.reconcile(account)
        assert leg(account).status == "SYNCED"
        assert wallet(account).status == "SYNCED"
        assert not Transition.objects.filter(new="DRIFT").exists()

    def test_of_an_account_that_trades_without_pause_finds_missing_cash_within_seconds(self, stage, account):
        """Fills come each half second; a deposit was withheld from the list."""
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", amount=50)
        begun = stage.ahead

        def busy(seconds):
            until = stage.ahead + timedelta(seconds=seconds)
            while stage.ahead < until:
                stage.wait(min(0.5, (until - stage.ahead).total_seconds()))
                stage.trade("ETH", "buy", "0.01")

        run = stage.reconcile(account, pause=busy)
        moved = Transition.objects.get(verdict=wallet(account), new="DRIFT")
        assert moved.run == run
        assert (moved.at - run.started_at).total_seconds() < 10
        assert stage.ahead - begun < timedelta(seconds=15)

    def test_finds_a_fill_behind_the_cursor_that_nobody_delivered(self, stage, account):
        stage.do("withhold", what="fill", count=1, seconds=30)
        stage.trade("ETH", "buy", 1)
        stage.wait(20)
        stage.reconcile(account, trigger="demand")  # moves the cursors past it
        stage.wait(60)
        stage.reconcile(account)
        assert held(account) == {"ETH": 1}
        assert leg(account).status == "SYNCED"

    def test_that_cannot_read_the_venue_changes_no_verdict_and_says_why(self, stage, account):
        proven = wallet(account).as_of
        stage.fail("status", status=500)
        run = stage.minutes(account)
        assert not run.complete
        assert run.problem
        assert (wallet(account).status, wallet(account).as_of) == ("SYNCED", proven)

    def test_ages_the_proof_until_it_is_pending(self, stage, account):
        stage.fail("status", status=500)
        stage.minutes(account, 4)
        assert wallet(account).status == "PENDING"


class TestOnlyOneRun:
    def test_of_an_account_is_under_way(self, stage, account):
        first = runs.begin(account=account, now=stage.now(), trigger="demand", trace_id="t")
        with pytest.raises(runs.RunConflict) as busy:
            stage.reconcile(account)
        assert busy.value.run == first

    def test_is_held_by_the_database(self, stage, account):
        runs.begin(account=account, now=stage.now(), trigger="demand", trace_id="t")
        with pytest.raises(IntegrityError), transaction.atomic():
            Run.objects.create(account=account, started_at=stage.now())

    def test_blocks_nobody_after_its_time(self, stage, account):
        dead = runs.begin(account=account, now=stage.now(), trigger="demand", trace_id="t")
        stage.wait(runs.EXPIRES_AFTER / timedelta(seconds=1) + 1)
        assert stage.reconcile(account).complete
        dead.refresh_from_db()
        assert "given up" in dead.problem


class TestTheStateOfTheVenue:
    def test_is_written_by_the_run_too(self, stage, account):
        stage.trade("ETH", "buy", 3)
        stage.minutes(account)
        assert VenueState.objects.get(instrument__venue_symbol="ETH").quantity == 3
        assert booked(account, kind="fill").count() == 1
