"""Alerts that follow from what Postgres and Redis say, evaluation after evaluation."""

from datetime import timedelta
from decimal import Decimal

from portfolio.alerts import judging
from portfolio.alerts.evaluate import evaluate
from portfolio.models import Alert, LadderSetting
from portfolio.totals import totals_store
from portfolio.totals.totals_store import PortfolioTotals
from positions.book import Cause
from positions.models import Account, QuarantinedEntry
from reconciliation.models import AllocationBreach, Case, Correction, Policy, Run
from tests.portfolio.alerts.scene import alerts, told
from tests.portfolio.market import BTC


class TestADrift:
    def test_is_told_at_once_with_both_sides_and_its_case(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        case = Case.objects.create(
            account=scene.account, instrument_id=scene.market.instruments[BTC], leg="net", family="size",
            run=scene.run, opened_at=scene.now, changed_at=scene.now,
        )  # fmt: skip
        scene.tick()
        (alert,) = alerts()
        assert alert.title == f"DRIFT BTC-PERP main: book 0.50, venue 0.45 · case {case.pk}"
        assert (alert.severity, alert.usd, alert.case) == ("critical", Decimal(3000), case)
        assert told() == ["raised"]

    def test_evaluated_again_and_again_is_one_alert_and_one_transition(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        for number in range(100):
            scene.now += timedelta(milliseconds=500)
            evaluate(scene.now)
            if not number % 10:
                scene.tick()
        assert [alert.kind for alert in alerts()] == ["drift"]
        assert told() == ["raised"]

    def test_that_is_dust_is_info(self, scene):
        scene.position()
        scene.verdict("DRIFT", venue="0.49999")
        scene.tick()
        assert alerts()[0].severity == "info"

    def test_whose_worth_nobody_knows_is_critical(self, scene):
        scene.verdict("DRIFT", book="0.5", venue="0.4999")
        scene.prices = {}
        scene.market.instruments  # noqa: B018  no mark was ever written for ETH
        row = scene.verdict("DRIFT", instrument_id=scene.market.instruments["ETH/USDC:USDC"])
        scene.tick()
        assert row.pk
        assert alerts()[0].severity == "critical"

    def test_is_over_with_the_certificate_that_proves_it(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        scene.tick()
        scene.market.fill("sell", "0.05", "60000", now=scene.now)
        scene.verdict("SYNCED")
        scene.tick()
        (alert,) = alerts()
        assert (alert.state, alert.certificate) == ("cleared", scene.run)
        assert alert.healed.startswith(
            "A later fill arrived (sell, trade): fill-2. Book and venue agree as of"
        )
        assert told() == ["raised", "cleared"]

    def test_that_was_adopted_says_by_whom(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        case = Case.objects.create(
            account=scene.account, instrument_id=scene.market.instruments[BTC], leg="net", family="size",
            run=scene.run, opened_at=scene.now, changed_at=scene.now + timedelta(seconds=9),
        )  # fmt: skip
        scene.tick()
        Correction.objects.create(
            case=case, action="adopt_venue", who="anna", entries=["x"], applied_at=scene.now, outcome="agrees"
        )
        scene.verdict("SYNCED")
        scene.tick()
        assert alerts()[0].healed.startswith("Adopted by anna.")

    def test_that_fails_goes_on_as_the_same_alert(self, scene):
        scene.position()
        scene.verdict("DRIFT", venue="0.499")
        scene.tick()
        scene.verdict("FAILED", venue="0.499")
        scene.tick()
        assert [alert.kind for alert in alerts()] == ["drift"]
        assert told() == ["raised", "worsened"]
        assert "a person must settle it" in alerts()[0].summary

    def test_that_nobody_saw_before_it_failed_is_unresolved(self, scene):
        scene.verdict("FAILED")
        scene.tick()
        scene.verdict("SYNCED")
        scene.tick()
        assert [(alert.kind, alert.state) for alert in alerts()] == [("unresolved", "cleared")]

    def test_does_not_recover_when_the_feed_dies(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        scene.tick()
        scene.silent = True
        scene.for_seconds(600)
        drift = Alert.objects.get(kind="drift")
        assert drift.is_open
        assert drift.unjudged_since is not None
        assert set(told("drift")) == {"raised", "escalated"}
        assert told("feed_silent") == ["raised"]
        assert told("proof_old") == []  # the feed explains it

    def test_that_ages_into_pending_is_not_over(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        scene.tick()
        scene.verdict("PENDING")
        scene.for_seconds(60)
        assert Alert.objects.get(kind="drift").is_open

    def test_survives_a_synced_verdict_whose_proof_is_too_old(self, scene):
        scene.position()
        scene.verdict("DRIFT")
        scene.tick()
        scene.unread = True
        scene.verdict("SYNCED", as_of=scene.now - timedelta(hours=1))
        scene.tick()
        assert Alert.objects.get(kind="drift").is_open

    def test_of_an_account_that_is_switched_off_is_withdrawn_and_not_called_well(self, scene):
        scene.verdict("DRIFT")
        scene.tick()
        Account.objects.update(enabled=False)
        scene.tick()
        assert alerts()[0].healed.startswith("No longer watched")
        assert alerts()[0].certificate is None


class TestLiquidation:
    def test_near_is_told_by_its_band(self, scene):
        scene.position(liquidation="56000")
        scene.tick()
        (alert,) = alerts("liquidation_near")
        assert alert.title == "LIQUIDATION NEAR BTC-PERP main: 6.7 % left, at 56,000"
        assert (alert.severity, alert.usd) == ("info", Decimal(30000))
        scene.prices[BTC] = "58500"
        scene.tick()
        scene.prices[BTC] = "57000"
        scene.tick()
        assert told("liquidation_near") == ["raised", "worsened", "worsened"]
        assert alerts("liquidation_near")[0].severity == "critical"

    def test_is_left_only_a_tenth_beyond_its_band(self, scene):
        scene.position(liquidation="54000")
        scene.tick()
        scene.prices[BTC] = "60300"  # 10.4 %
        scene.tick()
        assert alerts("liquidation_near")[0].is_open
        scene.prices[BTC] = "61000"  # 11.5 %
        scene.tick()
        (alert,) = alerts("liquidation_near")
        assert not alert.is_open
        assert alert.healed == "Liquidation is 11.5 % away again, at mark 61,000."

    def test_does_not_recover_on_an_old_price(self, scene):
        scene.position(liquidation="57000")
        scene.tick()
        scene.prices[BTC] = "90000"
        scene.tick(evaluated=False)
        scene.silent = True
        scene.tick(60)
        assert alerts("liquidation_near")[0].is_open
        scene.silent = False
        scene.state("57000")
        scene.tick()
        assert not alerts("liquidation_near")[0].is_open

    def test_of_a_short_is_measured_upwards(self, scene):
        scene.position("-0.5", liquidation="61000")
        scene.tick()
        assert alerts("liquidation_near")[0].severity == "critical"

    def test_that_the_price_has_passed_by_far_is_not_taken_for_far(self, scene):
        scene.position(liquidation="57000")
        scene.prices[BTC] = "20000"
        scene.tick()
        assert alerts("liquidation_near")[0].severity == "critical"

    def test_ladder_of_the_position_comes_before_that_of_its_account(self, scene):
        position = scene.position(liquidation="48000")  # 20 %
        LadderSetting.objects.create(
            account=scene.account, watch_pct=30, danger_pct=25, critical_pct=Decimal("22.5")
        )
        scene.tick()
        assert alerts("liquidation_near")[0].severity == "critical"
        LadderSetting.objects.create(position=position, watch_pct=30, danger_pct=15, critical_pct=5)
        scene.tick()
        assert alerts("liquidation_near")[0].severity == "info"

    def test_is_over_when_the_position_is_closed(self, scene):
        scene.position(liquidation="58000")
        scene.tick()
        scene.market.fill("sell", "0.5", "60000", now=scene.now)
        scene.tick()
        assert alerts("liquidation_near")[0].healed == "The position is closed."

    def test_that_happened_is_told_once_for_all_its_fills(self, scene):
        scene.position()
        for _ in range(3):
            scene.market.fill("sell", "0.1", "41000", now=scene.now, cause=Cause.LIQUIDATION)
        scene.tick()
        (alert,) = alerts("liquidated")
        assert alert.title == "LIQUIDATED BTC-PERP main: 0.3 at 41,000"
        assert (alert.severity, alert.usd) == ("critical", Decimal(12300))
        for _ in range(20):
            scene.tick()
        assert told("liquidated") == ["raised"]

    def test_of_last_year_that_arrives_today_is_history(self, scene):
        scene.market.fill("buy", "0.5", "60000", now=scene.now - timedelta(days=400))
        scene.market.fill(
            "sell", "0.5", "41000", now=scene.now - timedelta(days=399), cause=Cause.LIQUIDATION
        )
        scene.tick()
        assert alerts("liquidated") == []


class TestOtherKinds:
    def test_quarantined_entries_are_told_until_they_are_settled(self, scene):
        QuarantinedEntry.objects.create(
            account=scene.account, venue_ref="x", reason="conflict", detail="", content="{}",
            content_digest=b"x", source="t", received_at=scene.now, last_seen_at=scene.now,
        )  # fmt: skip
        scene.for_seconds(60)
        assert alerts("quarantine")[0].title == "QUARANTINE main: 1 entry not booked"
        QuarantinedEntry.objects.update(settled_at=scene.now)
        scene.tick()
        assert told("quarantine") == ["raised", "cleared"]

    def test_halted_automation_is_told(self, scene):
        Policy.objects.create(account=scene.account, family="size", mode="adopt", halted_at=scene.now)
        scene.tick()
        assert alerts("automation_halted")[0].title == "AUTOMATION HALTED main: Size"

    def test_a_breached_allocation_is_told_and_unknown_does_not_end_it(self, scene):
        row = AllocationBreach.objects.create(
            environment="simulated", venue="hyperliquid", target=Decimal("0.8"), tolerance=Decimal("0.05"),
            drift=Decimal("0.1"), worst_drift=Decimal("0.1"), started_at=scene.now, seen_at=scene.now,
        )  # fmt: skip
        scene.for_seconds(40)
        assert alerts("allocation")[0].title == "ALLOCATION Hyperliquid, Simulated: 90.0 %, meant 80.0 %"
        row.seen_at = scene.now - timedelta(hours=1)
        row.save()
        scene.tick()
        assert alerts("allocation")[0].unjudged_since is not None
        row.ended_at = scene.now
        row.save()
        scene.tick()
        assert told("allocation")[-1] == "cleared"

    def test_a_refused_key_is_told_until_the_venue_answers(self, scene):
        scene.unread = True
        problem = "AuthenticationError: check the API key, its secret and password, its permissions and its "
        Run.objects.create(
            account=scene.account, started_at=scene.now, finished_at=scene.now,
            problem=problem + "allowed IP addresses (x)",
        )  # fmt: skip
        scene.for_seconds(60)
        assert alerts("key")[0].title == "KEY main: denied"
        scene.unread = False
        scene.tick()
        assert told("key") == ["raised", "cleared"]

    def test_a_key_that_can_withdraw_is_critical(self, scene):
        scene.unread = True
        Run.objects.create(
            account=scene.account, started_at=scene.now, finished_at=scene.now,
            problem="the key of account main is not used; it can withdraw: make one that only reads",
        )  # fmt: skip
        scene.tick()
        assert alerts("key")[0].title == "KEY main: able to withdraw"
        assert alerts("key")[0].severity == "critical"

    def test_an_old_proof_is_told_and_its_recovery_has_the_certificate(self, scene):
        scene.verdict("SYNCED")
        scene.unread = True
        scene.for_seconds(280)
        assert told("proof_old") == ["raised"]
        scene.unread = False
        scene.tick()
        assert told("proof_old") == ["raised", "cleared"]
        assert alerts("proof_old")[0].certificate == scene.run

    def test_nothing_is_told_of_a_healthy_book(self, scene):
        scene.position()
        scene.verdict("SYNCED")
        scene.for_seconds(600)
        assert alerts() == []


class TestALimit:
    LIMIT = {
        "id": 1, "environment": "simulated", "kind": "exposure", "account": None, "asset": "",
        "level": "breach", "exceeded": True, "value": "1200", "warn": None, "breach": "1000",
        "headroom": "-200", "used_pct": "120", "since": None, "why": "",
    }  # fmt: skip

    def keep(self, scene, *limits):
        totals = PortfolioTotals(
            at=scene.now, accounts=[], sums={}, sequences={}, marks={}, limits=list(limits)
        )
        totals_store.store(totals)

    def test_is_judged_by_every_process_as_the_last_refresh_measured_it(self, scene):
        self.keep(scene, self.LIMIT)
        scene.tick()
        assert alerts("limit")[0].title == "Limit breached: gross exposure of simulated"
        self.keep(scene)
        scene.for_seconds(15)
        assert told("limit") == ["raised", "cleared"]

    def test_cannot_be_judged_while_nobody_measures_it(self, scene):
        self.keep(scene, self.LIMIT)
        scene.tick()
        scene.for_seconds(60)
        assert alerts("limit")[0].is_open
        assert alerts("limit")[0].unjudged_since is not None


class TestARuleThatFails:
    def test_is_an_alert_itself_and_silences_no_other(self, scene, monkeypatch):
        scene.position(liquidation="58000")
        scene.verdict("DRIFT")
        scene.tick()

        def fails(snapshot):
            raise ZeroDivisionError("a mistake of ours")

        fails.__name__ = "liquidation_near"
        rules = [fails if rule.__name__ == "liquidation_near" else rule for rule in judging.RULES]
        with monkeypatch.context() as broken:
            broken.setattr(judging, "RULES", rules)
            scene.verdict("SYNCED")
            scene.for_seconds(60)
        assert Alert.objects.get(kind="drift").state == "cleared"
        assert alerts("liquidation_near")[0].unjudged_since is not None
        assert Alert.objects.get(kind="component_down").title == "DOWN alert rules: liquidation near"
        scene.for_seconds(30)
        assert Alert.objects.get(kind="component_down").state == "cleared"
        assert alerts("liquidation_near")[0].unjudged_since is None
