"""N1 to N23: what every reconciliation engine got wrong once, against the simulated venue."""

from dataclasses import replace
from datetime import timedelta

import pytest

from positions import connections, poll
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.models import Entry as Row
from positions.models import Position
from positions.venues.base import PositionRow, RateLimited
from reconciliation import resolve
from reconciliation.actions import act
from reconciliation.models import Case, Correction, Difference, Verdict
from reconciliation.plans import plan
from tests.reconciliation.conftest import OTHER, D, booked, cases, held, leg, wallet

pytestmark = pytest.mark.django_db


def hide_a_fill(stage, account, side="sell", size=1):
    """Something trades, and the venue does not tell; two runs later the leg has failed, with a case."""
    stage.do("withhold", what="fill", count=1)
    stage.trade("ETH", side, size)
    stage.minutes(account, 2)
    return Case.objects.get(account=account, family="size")


def do(stage, case, action, **options):
    stage.wait(1)
    return act(
        case=case, action=action, who="ada", reason="checked with the venue", now=stage.now(),
        trace_id="test", pause=stage.wait, **options,
    )  # fmt: skip


def by_hand(stage, side, quantity, *, leg=Leg.NET, cause=Cause.TRADE, ref="x", price="3400", back=1):
    return Entry(
        kind=Kind.FILL, cause=cause, venue_ref=f"{cause}:{ref}", time=stage.now(), instrument="ETH", leg=leg,
        side=Side(side), quantity=D(quantity), price=D(price), fee=D(0), fee_currency="USDC", wallet="perp",
    )  # fmt: skip


@pytest.fixture
def long3(stage, account):
    """3 ETH long, proven."""
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    assert leg(account).status == "SYNCED"
    return account


class TestAnUnchangedVenue:
    def test_n1_books_nothing_after_a_restart(self, stage, long3):
        before = booked(long3).count()
        connections.forget(long3.pk)
        stage.wait(5)
        assert stage.reconcile(long3, trigger="start").complete
        assert booked(long3).count() == before

    def test_n17_is_changed_by_no_second_run(self, stage, long3):
        stage.reconcile(long3, trigger="demand")
        book = list(Position.objects.order_by("pk").values())
        entries = booked(long3).count()
        stage.wait(2)
        run = stage.reconcile(long3, trigger="demand")
        assert list(Position.objects.order_by("pk").values()) == book
        assert booked(long3).count() == entries
        assert run.counts["applied"] == 0


class TestLegs:
    def test_n2_of_a_hedge_with_equal_sizes_stay_two(self, stage, account, monkeypatch):
        stage.book(
            account,
            by_hand(stage, "buy", 2, leg=Leg.LONG, ref="l"),
            by_hand(stage, "sell", 2, leg=Leg.SHORT, ref="s"),
        )
        report = poll.report

        def hedged(**options):
            rows = tuple(
                PositionRow(
                    venue_symbol="ETH", leg=one, quantity=D(size), currency="USDC", entry_price=D(3400)
                )
                for one, size in ((Leg.LONG, 2), (Leg.SHORT, -2))
            )
            return replace(report(**options), positions=rows)

        monkeypatch.setattr(poll, "report", hedged)
        stage.wait(5)
        stage.reconcile(account)
        assert leg(account, name="long").status == leg(account, name="short").status == "SYNCED"
        assert Position.objects.filter(account=account).count() == 2

    def test_n15_of_two_accounts_never_mix(self, stage, account):
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other")
        stage.reconcile(other, trigger="start")
        stage.trade("ETH", "buy", 3)
        stage.trade("ETH", "sell", 1, user=OTHER)
        stage.minutes(account)
        stage.reconcile(other)
        assert (held(account), held(other)) == ({"ETH": 3}, {"ETH": -1})
        assert leg(account).status == leg(other).status == "SYNCED"

    def test_n12_belong_to_the_account_whatever_the_symbol_says(self, stage, long3):
        stage.do("deposit", user=OTHER, amount=5_000)
        other = stage.account(OTHER, "other", options={"note": "same venue, same symbol"})
        stage.trade("ETH", "buy", 3, user=OTHER)
        stage.reconcile(other, trigger="start")
        assert {row.account_id for row in Verdict.objects.filter(instrument__venue_symbol="ETH")} == {
            long3.pk,
            other.pk,
        }


class TestWhatNobodyCanRead:
    def test_n3_an_unknown_instrument_is_counted_and_withholds_synced(self, stage, long3):
        proven = leg(long3).as_of
        stage.do("unknown_coin", coin="#4710")
        stage.wait(60)
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.withheld
        assert leg(long3).as_of >= proven
        state_only = stage.minutes(long3)
        assert not state_only.complete
        assert state_only.withheld == run.withheld

    def test_n4_an_unknown_event_makes_the_run_incomplete(self, stage, long3):
        stage.do("unknown_ledger")
        stage.wait(60)
        run = stage.reconcile(long3, trigger="demand")
        assert not run.complete
        assert run.counts["dropped"] >= 1

    def test_n4_funding_never_becomes_a_trade(self, stage, long3):
        fills = booked(long3, kind="fill").count()
        stage.do("funding")
        stage.minutes(long3)
        assert booked(long3, kind="fill").count() == fills
        assert booked(long3, kind="funding").count() == 1
        assert wallet(long3).status == "SYNCED"


class TestTheVenuesWord:
    def test_n5_one_stale_report_causes_nothing(self, stage, long3):
        stage.fail("stale", type="clearinghouseState", times=2)
        stage.minutes(long3)  # this answer will be given again
        stage.trade("ETH", "sell", 1)
        poll.facts(account=long3, methods=poll.CASH, now=stage.now(), trace_id="t")
        stage.minutes(long3)
        assert not Case.objects.exists()
        assert not Verdict.objects.filter(status__in=["DRIFT", "FAILED"]).exists()
        stage.heal()
        stage.minutes(long3)
        assert (held(long3), leg(long3).status) == ({"ETH": 2}, "SYNCED")

    def test_n18_is_not_held_against_a_fill_later_than_it(self, stage, long3, monkeypatch):
        report = poll.report

        def then_a_fill(**options):
            found = report(**options)
            stage.wait(0.01)
            stage.trade("ETH", "buy", 1)
            poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
            return found

        monkeypatch.setattr(poll, "report", then_a_fill)
        stage.wait(60)
        stage.reconcile(long3)
        assert leg(long3).status == "SYNCED"
        assert not Difference.objects.filter(family="size").exists()

    def test_n19_that_lags_behind_the_book_converges_without_an_entry(self, stage, long3, monkeypatch):
        report, old = poll.report, poll.report(account=long3, now=stage.now())
        stage.trade("ETH", "buy", 1)
        stage.wait(1)
        poll.facts(account=long3, methods=["fills"], now=stage.now(), trace_id="t")
        entries = booked(long3).count()
        monkeypatch.setattr(
            poll, "report", lambda **options: replace(report(**options), positions=old.positions)
        )
        stage.wait(4)
        stage.reconcile(long3)
        [case] = [one for one in cases(long3) if one.family == "size"]
        assert case.diagnosis[0]["cause"] == "venue_lag"
        monkeypatch.setattr(poll, "report", report)
        stage.minutes(long3)
        case.refresh_from_db()
        assert (leg(long3).status, case.state) == ("SYNCED", "resolved")
        assert booked(long3).count() == entries

    @pytest.mark.parametrize("lie", ["empty", "truncate", "timeout"])
    def test_n20_dead_or_lying_never_flattens_the_book(self, stage, long3, lie):
        stage.fail(lie, seconds=0.1)
        stage.minutes(long3)
        assert held(long3) == {"ETH": 3}
        assert leg(long3).status == "SYNCED"
        assert not Case.objects.exists()

    def test_n21_withheld_by_429_all_day_ends_in_stale_not_in_failed(self, stage, long3, monkeypatch):
        report = poll.report

        def limited(**options):
            raise RateLimited("429: too many requests", for_=timedelta(seconds=60), http_status=429)

        monkeypatch.setattr(poll, "report", limited)
        for _ in range(24):
            stage.wait(3600)
            run = stage.reconcile(long3)
        assert "429" in run.problem
        assert leg(long3).status == "PENDING"
        assert not Case.objects.exists()
        monkeypatch.setattr(poll, "report", report)
        stage.wait(60)
        stage.reconcile(long3)
        assert leg(long3).status == "SYNCED"


class TestARepair:
    def test_n6_that_failed_is_not_called_success(self, stage, long3):
        case = hide_a_fill(stage, long3)
        stage.do("withhold", what="fill", count=1)
        planned = plan(case=case, action="adopt_venue")
        stage.trade("ETH", "sell", "0.5")
        done = do(stage, case, "adopt_venue", token=planned.token)
        assert done.outcome == "differs"
        assert leg(long3).status != "SYNCED"
        assert not case.is_settled

    def test_n7_of_a_spot_balance_ends_in_failed_and_one_case(self, stage, account):
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", token="HYPE", amount=5)
        stage.minutes(account, 6)
        assert wallet(account, "spot", "HYPE").status == "FAILED"
        assert len(cases(account)) == 1
        assert not Correction.objects.exists()
        assert not booked(account, cause="inferred").exists()

    def test_n8_of_what_is_older_than_the_history_is_an_opening_lot(self, stage):
        stage.trade("ETH", "buy", 3)
        stage.wait(1)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        account = stage.account()
        stage.wait(1)
        stage.reconcile(account, trigger="start")
        [case] = [one for one in cases(account) if one.family == "size"]
        assert (case.diagnosis[0]["cause"], case.state) == ("wrong_opening", "resolved")
        [lot] = booked(account, cause="opening", kind="fill")
        assert lot.quantity == 3
        assert held(account) == {"ETH": 4}
        assert (leg(account).status, leg(account).suspected) == ("SYNCED", [])

    def test_n8_of_a_lot_that_shows_later_is_a_case(self, stage, account):
        stage.trade("ETH", "buy", 3)
        stage.wait(700)
        stage.trade("ETH", "buy", 1)
        stage.fail("history_cut", rows=1)
        stage.minutes(account, 2)
        [case] = [one for one in cases(account) if one.family == "size"]
        assert not Correction.objects.exists()
        assert case.diagnosis[0]["cause"] == "fill_missed"  # the account was proven flat there before
        done = do(stage, case, "set_opening_lot")
        assert done.outcome == "agrees"
        assert held(account) == {"ETH": 4}
        assert leg(account).status == "SYNCED"

    def test_n9_has_the_same_references_after_a_restart(self, stage, long3):
        case = hide_a_fill(stage, long3)
        first = plan(case=case, action="adopt_venue")
        connections.forget(long3.pk)
        again = plan(case=Case.objects.get(pk=case.pk), action="adopt_venue")
        assert [one.venue_ref for one in first.entries] == [one.venue_ref for one in again.entries]
        assert first.token == again.token

    def test_n10_is_replaced_by_the_real_fill_and_counted_once(self, stage, long3):
        case = hide_a_fill(stage, long3)
        assert do(stage, case, "adopt_venue").outcome == "agrees"
        assert held(long3) == {"ETH": 2}
        stage.do("release")
        stage.wait(60)
        run = stage.reconcile(long3, trigger="demand")
        if booked(long3, kind="fill", cause="trade").count() == 1:  # behind the cursors: asked for again
            poll_since_beginning(stage, long3)
        assert held(long3) == {"ETH": 2}
        assert booked(long3, kind="fill", cause="trade").count() == 2
        stage.minutes(long3)
        assert leg(long3).status == "SYNCED"
        assert wallet(long3).status == "SYNCED", run.problem

    def test_n11_of_a_close_never_flips(self, stage, long3):
        case = hide_a_fill(stage, long3, size=3)
        assert do(stage, case, "adopt_venue").outcome == "agrees"
        assert held(long3) == {}
        assert [row.status for row in Position.objects.filter(account=long3)] == ["CLOSED"]

    def test_n13_of_a_reconnect_gap_is_a_backfill(self, stage, long3):
        stage.trade("ETH", "buy", 2)
        stage.trade("BTC", "sell", "0.1")
        stage.wait(30)
        run = stage.reconcile(long3, trigger="reconnect")
        assert held(long3) == {"ETH": 5, "BTC": D("-0.1")}
        assert run.windows["fills"]["complete"]
        assert not Difference.objects.filter(confirmed_at__isnull=False).exists()

    def test_n16_asks_for_fills_before_it_infers_any(self, stage, long3):
        resolve.set_policy(account=None, family="size", mode="adopt")
        stage.trade("ETH", "buy", 2)
        stage.minutes(long3, 2)
        assert held(long3) == {"ETH": 5}
        assert not booked(long3, cause="inferred").exists()
        before = len(stage.asked())
        hide_a_fill(stage, long3)
        assert booked(long3, cause="inferred").count() == 1
        assert stage.asked()[before:].count("userFillsByTime") >= 2

    def test_n22_taken_back_restores_the_book_exactly(self, stage, long3):
        case = hide_a_fill(stage, long3)
        before = Position.objects.get(account=long3, status__in=["OPEN", "REDUCED"])
        done = do(stage, case, "adopt_venue")
        assert held(long3) == {"ETH": 2}
        stage.wait(1)
        resolve.undo(correction=done, who="ada", reason="wrong", now=stage.now(), trace_id="t")
        after = Position.objects.get(pk=before.pk)
        for name in (
            "quantity",
            "open_cost",
            "realized_pnl",
            "adjustment_pnl",
            "fees",
            "status",
            "unknown_count",
        ):
            assert getattr(after, name) == getattr(before, name), name
        again = plan(case=hide_nothing(stage, long3), action="adopt_venue")
        assert set(done.entries).isdisjoint(one.venue_ref for one in again.entries)


def hide_nothing(stage, account):
    """The case that the same difference has after its correction was taken back."""
    stage.minutes(account, 2)
    return Case.objects.get(account=account, family="size", closed_at__isnull=True)


def poll_since_beginning(stage, account):
    from reconciliation import reading

    read = reading.Read()
    reading.entries(into=read, account=account, now=stage.now(), trace_id="t", since=poll.BEGINNING)


class TestPolicy:
    def test_n23_adopts_once_below_the_materiality_and_only_alerts_above(self, stage, long3):
        resolve.set_policy(account=long3, family="size", mode="adopt", materiality_usd=D(5_000))
        poll.marks(account=long3, now=stage.now())
        hide_a_fill(stage, long3)
        assert Correction.objects.filter(automatic=True).count() == 1
        assert leg(long3).status == "SYNCED"
        stage.minutes(long3, 2)
        assert Correction.objects.count() == 1
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "buy", 2)
        stage.minutes(long3, 2)
        assert Correction.objects.count() == 1
        assert leg(long3).status == "FAILED"

    def test_n23_adjusts_cash_below_the_materiality(self, stage, long3):
        resolve.set_policy(account=None, family="cash", mode="adjust", materiality_usd=D(1))
        stage.do("withhold", what="funding", count=1)
        stage.do("funding")
        stage.minutes(long3, 2)
        assert booked(long3, kind="adjustment").count() == 1
        assert wallet(long3).status == "SYNCED"

    def test_n23_halts_when_more_than_the_limit_an_hour_are_wanted(self, stage, long3, settings):
        settings.RECONCILIATION_AUTOMATIC_PER_HOUR = 2
        policy = resolve.set_policy(account=long3, family="size", mode="adopt")
        for _ in range(3):
            stage.do("withhold", what="fill", count=1)
            stage.trade("ETH", "buy", "0.2")
            stage.minutes(long3, 2)
        policy.refresh_from_db()
        assert policy.halted_at is not None
        assert Correction.objects.filter(automatic=True).count() == 2
        assert leg(long3).status == "FAILED"

    def test_of_nobody_is_to_alert_only(self, stage, long3):
        hide_a_fill(stage, long3)
        assert not Correction.objects.exists()
        assert not Row.objects.filter(cause="inferred").exists()
