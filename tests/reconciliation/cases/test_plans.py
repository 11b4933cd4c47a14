"""Corrections planned and confirmed between the steps of runs, while the account trades."""

from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from positions import queries as ledger
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.models import Balance, Instrument, Position
from positions.models import Entry as Row
from reconciliation import queries
from reconciliation.actions import act, undo
from reconciliation.cases import resolve
from reconciliation.cases.case_report import CaseReport
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import plan
from reconciliation.models import Case, Run
from reconciliation.rules.compare import Difference, DifferenceKind, LegState, differences
from reconciliation.runs import runs
from tests.reconciliation.cases.test_repairs import do, hide_a_fill
from tests.reconciliation.stage import D, held

pytestmark = pytest.mark.django_db


def sum_of(planned):
    """What a plan's entries add up to, in units."""
    return sum((one.quantity if one.side is Side.BUY else -one.quantity for one in planned.entries), D(0))


@contextmanager
def forgotten():
    """What an example did is rolled back, as the next one has the same stage."""
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)


class TestBothSides:
    def test_are_of_the_report_that_showed_the_difference(self, stage, long3):
        """The account trades on after the report: the correction is what was missing, and no more."""
        case = hide_a_fill(stage, long3)
        stage.trade("ETH", "buy", 2)
        stage.wait(1)
        stage.reconcile(long3, trigger="demand")
        stage.trade("ETH", "buy", "0.5")
        case.refresh_from_db()
        planned = plan(case=case, action="adopt_venue")
        assert planned.effect.before["size"] == "5"
        assert planned.effect.after["size"] == planned.effect.after["venue"] == "4"
        assert sum_of(planned) == -1
        assert planned.effect.pnl == 0  # at our own average; only its fee is unknown

    def test_of_a_fill_at_an_unknown_price_have_an_unknown_effect(self, stage, long3):
        case = hide_a_fill(stage, long3)
        assert plan(case=case, action="book_adjustment").effect.pnl is None
        priced = plan(case=case, action="book_adjustment", price=D(4000))
        [position] = Position.objects.filter(account=long3)
        assert priced.effect.pnl == D(4000) - position.entry_price

    def test_that_the_book_has_left_since_are_refused(self, stage, long3):
        case = hide_a_fill(stage, long3)
        stage.do("release")
        stage.wait(1)
        ref = "late:1"
        before = CaseReport.from_plain(case.report).as_of
        stage.book(
            long3,
            Entry(kind=Kind.FILL, cause=Cause.TRADE, venue_ref=ref, time=before, instrument="ETH",
                  leg=Leg.NET, side=Side.SELL, quantity=D(1), price=D(3400)),
        )  # fmt: skip
        with pytest.raises(PlanRefusal, match="the next comparison shows what is left") as refused:
            plan(case=case, action="adopt_venue")
        assert refused.value.code == "changed"

    def test_stay_previewed_after_the_next_report_shows_the_same(self, stage, long3):
        case = hide_a_fill(stage, long3)
        shown = plan(case=case, action="adopt_venue")
        stage.minutes(long3, 2)
        case.refresh_from_db()
        assert do(stage, case, "adopt_venue", token=shown.token).outcome == "agrees"
        assert held(long3) == {"ETH": 2}

    def test_stay_previewed_while_the_leg_trades_on(self, stage, long3):
        """The price that makes the venue's average moves with every report; what is missing does not."""
        case = hide_a_fill(stage, long3, side="buy")
        shown = plan(case=case, action="adopt_venue")
        stage.trade("ETH", "buy", "0.7")
        stage.minutes(long3, 2)
        case.refresh_from_db()
        again = plan(case=case, action="adopt_venue")
        assert again.entries[0].venue_ref != shown.entries[0].venue_ref
        assert do(stage, case, "adopt_venue", token=shown.token).outcome == "agrees"

    def test_do_not_stay_previewed_when_something_else_is_missing(self, stage, long3):
        case = hide_a_fill(stage, long3)
        shown = plan(case=case, action="adopt_venue")
        stage.do("withhold", what="fill", count=1)
        stage.trade("ETH", "sell", "0.5")
        stage.minutes(long3, 2)
        with pytest.raises(PlanRefusal) as refused:
            do(stage, case, "adopt_venue", token=shown.token)
        assert refused.value.code == "changed"

    def test_do_not_add_up_with_a_reversal_of_something_else(self, stage, long3):
        case = hide_a_fill(stage, long3)
        stage.book(
            long3,
            Entry(kind=Kind.ADJUSTMENT, venue_ref="hand:1", time=stage.now(), instrument="ETH", leg=Leg.NET,
                  side=Side.BUY, quantity=D(7), price=D(3400), reason="by hand"),
        )  # fmt: skip
        stage.minutes(long3, 2)
        case.refresh_from_db()
        Case.objects.filter(pk=case.pk).update(
            diagnosis=[{"cause": "manual_correction", "score": "1", "text": "", "evidence": ["hand:1"]}]
        )
        case.refresh_from_db()
        with pytest.raises(PlanRefusal) as refused:
            plan(case=case, action="reverse_manual")
        assert refused.value.code == "does_not_add_up"


class TestCash:
    @pytest.fixture
    def case(self, stage, account):
        """A deposit of 37 that the venue told nobody of."""
        stage.do("withhold", what="ledger", count=1)
        stage.do("deposit", amount=37)
        stage.minutes(account, 3)
        return Case.objects.get(account=account, family="cash", closed_at__isnull=True)

    def test_that_the_book_has_learnt_since_is_not_booked_again(self, stage, account, case):
        """The deposit is told late, and the case has not been compared again yet."""
        as_of = CaseReport.from_plain(case.report).as_of
        stage.book(
            account,
            Entry(kind=Kind.TRANSFER, cause=Cause.DEPOSIT, venue_ref="late:1", time=as_of, leg=None,
                  amount=D(37), currency=case.asset, wallet=case.wallet),
        )  # fmt: skip
        with pytest.raises(PlanRefusal) as refused:
            plan(case=case, action="adopt_venue")
        assert refused.value.code == "changed"

    def test_that_moved_after_the_report_leaves_the_plan_as_it_is(self, stage, account, case):
        stage.do("deposit", amount=5)
        stage.wait(1)
        stage.reconcile(account, trigger="demand")
        case.refresh_from_db()
        planned = plan(case=case, action="adopt_venue")
        assert (planned.effect.pnl, planned.entries[0].amount) == (37, 37)
        assert D(planned.effect.after["book"]) == D(planned.effect.after["venue"])
        assert do(stage, case, "adopt_venue", token=planned.token).outcome == "agrees"


class TestAReversalOfAHandMadeEntry:
    def test_shows_both_averages_and_that_it_is_final(self, stage, long3):
        stage.book(
            long3,
            Entry(kind=Kind.ADJUSTMENT, venue_ref="hand:1", time=stage.now(), instrument="ETH", leg=Leg.NET,
                  side=Side.BUY, quantity=D(7), price=D(3000), reason="by hand"),
        )  # fmt: skip
        stage.minutes(long3, 2)
        case = Case.objects.get(account=long3, family="size")
        assert case.diagnosis[0]["cause"] == "manual_correction"
        planned = plan(case=case, action="reverse_manual")
        [position] = Position.objects.filter(account=long3)
        assert planned.effect.before["size"] == "10"
        assert planned.effect.after["size"] == "3"
        assert D(planned.effect.before["entry_price"]) == position.entry_price
        assert D(planned.effect.after["entry_price"]) > position.entry_price
        assert not planned.reversible
        assert Row.objects.filter(account=long3, kind="bust").count() == 0


class TestWhileARunIsUnderWay:
    @pytest.fixture
    def at_every_step(self, monkeypatch):
        """Call something at each step of every run, as a person with a page open might."""

        def watch(look):
            step = runs._ActiveRun.step

            def stepping(run, what):
                step(run, what)
                look(what)

            monkeypatch.setattr(runs._ActiveRun, "step", stepping)

        return watch

    def test_every_preview_is_of_one_report_and_nothing_is_confirmed(self, stage, long3, at_every_step):
        """Trading all the while, with one fill after another that the venue does not tell."""
        previewed, refusals = [], set()

        def look(what):
            stage.trade("ETH", "buy", "0.25")
            for case in Case.objects.filter(account=long3, closed_at__isnull=True):
                try:
                    planned = plan(case=case, action="adopt_venue")
                except PlanRefusal as refusal:
                    refusals.add(refusal.code)
                    continue
                if case.family == "size":
                    shown = Difference.from_plain(case.differences[0])
                    assert sum_of(planned) == shown.amount
                    assert D(planned.effect.after["size"]) == shown.venue
                    previewed.append(what)
                with pytest.raises(PlanRefusal) as refused:
                    act(case=case, action="adopt_venue", who="ada", reason="r", now=stage.now(),
                        trace_id="test", token=planned.token, pause=lambda _: None)  # fmt: skip
                assert refused.value.code == "run_under_way"

        hide_a_fill(stage, long3)
        at_every_step(look)
        for _ in range(4):
            stage.do("withhold", what="fill", count=1)
            stage.trade("ETH", "sell", "0.5")
            stage.minutes(long3)
        assert len(set(previewed)) >= 2, previewed
        assert refusals <= {"changed", "never_seen"}
        assert not Row.objects.filter(account=long3, cause="inferred").exists()

    def test_a_confirmation_waits_for_its_end(self, stage, long3):
        case = hide_a_fill(stage, long3)
        shown = plan(case=case, action="adopt_venue")
        other = runs.begin(account=long3, now=stage.now(), trigger="schedule", trace_id="test")

        def pause(seconds):
            stage.wait(seconds)
            if other.finished_at is None:
                runs.carry_out(run=other, now=stage.now(), pause=stage.wait)

        done = act(case=case, action="adopt_venue", who="ada", reason="r", now=stage.now(), trace_id="test",
                   token=shown.token, pause=pause)  # fmt: skip
        assert done.outcome == "agrees"
        assert not Run.objects.filter(account=long3, finished_at__isnull=True).exists()

    def test_a_refused_confirmation_leaves_no_run(self, stage, long3):
        case = hide_a_fill(stage, long3)
        count = Run.objects.count()
        with pytest.raises(PlanRefusal):
            do(stage, case, "adopt_venue", token="another")
        assert Run.objects.count() == count

    def test_what_is_undone_is_judged_at_once(self, stage, long3):
        case = hide_a_fill(stage, long3)
        done = do(stage, case, "adopt_venue")
        stage.wait(1)
        undo(correction=done, who="ada", reason="r", now=stage.now(), trace_id="test", pause=stage.wait)
        assert held(long3) == {"ETH": 3}
        assert Case.objects.filter(account=long3, family="size", closed_at__isnull=True).exists()


class TestAHandCorrection:
    @pytest.mark.parametrize("action", ["adopt_venue", "book_adjustment"])
    def test_moves_the_wallet_that_the_leg_settles_in(self, stage, long3, action):
        wallets = set(Balance.objects.filter(account=long3).values_list("wallet", "asset"))
        case = hide_a_fill(stage, long3)
        do(stage, case, action, price=D(3400) if action == "book_adjustment" else None)
        assert held(long3) == {"ETH": 2}
        assert set(Balance.objects.filter(account=long3).values_list("wallet", "asset")) == wallets


PRICES = st.decimals("0.0001", "99999", places=4)
SIZES = st.decimals("-5000", "5000", places=3).filter(bool)
ACTIONS = st.sampled_from(["adopt_venue", "book_adjustment", "set_opening_lot"])


class TestEveryAction:
    @given(fills=st.lists(st.tuples(SIZES, PRICES), min_size=1, max_size=4), target=SIZES, average=PRICES,
           action=ACTIONS)  # fmt: skip
    @example([(D("3"), D("43.1"))], D("7"), D("43.17"), "adopt_venue")
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def test_previews_books_leads_to_the_venue_and_is_taken_back(
        self, stage, account, fills, target, average, action
    ):
        """Whatever was held, at any average, and whatever the venue says: prices keep 18 places."""
        with forgotten():
            self._round_trip(stage, account, fills, target, average, action)

    def _round_trip(self, stage, account, fills, target, average, action):
        stage.book(account, *(
            Entry(kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"p:{number}", time=stage.now(),
                  instrument="ETH", leg=Leg.NET, side=Side.BUY if size > 0 else Side.SELL,
                  quantity=abs(size), price=price, wallet="perps")
            for number, (size, price) in enumerate(fills)
        ))  # fmt: skip
        as_of = stage.now()
        instrument = Instrument.objects.get(venue_symbol="ETH")
        tolerance = queries.tolerances(account=account, rows=[instrument])["ETH"]
        ours, theirs = self._leg(account, instrument, as_of), LegState(target, average)
        assume(ours.quantity != target)
        [shown] = [one for one in differences(ours, theirs, tolerance) if one.drift] or [None]
        assume(shown is not None)
        case = Case.objects.create(
            account=account, instrument=instrument, leg="net", wallet="", asset="", family="size",
            differences=[shown.to_plain()], run=Run.objects.latest("pk"), opened_at=as_of, changed_at=as_of,
            report=CaseReport(as_of, ours.quantity, ours.entry_price, target, average, D("50")).to_plain(),
        )  # fmt: skip
        before = self._book(account)
        planned = plan(case=case, action=action)
        assert self._book(account) == before  # a preview books nothing
        done = resolve.apply(planned=planned, who="ada", reason="r", now=stage.now(), trace_id="test")
        after = self._leg(account, instrument, as_of)
        assert after.quantity == target
        priced = all(one.price is not None for one in planned.entries)
        grew = ours.quantity * target >= 0 and abs(target) > abs(ours.quantity)
        if action == "adopt_venue" and priced and grew and planned.entries[0].price != D("50"):
            assert abs(after.entry_price - average) <= D("1e-14")
        resolve.undo(correction=done, who="ada", reason="r", now=stage.now(), trace_id="test")
        assert self._book(account) == before

    def _leg(self, account, instrument, at):
        state = ledger.position_as_of(account=account, instrument=instrument.pk, leg="net", at=at).state
        return LegState(state.size, state.entry_price if state.size else None)

    def _book(self, account):
        rows = Position.objects.filter(account=account).exclude(status="VOID").order_by("opened_at", "pk")
        balances = Balance.objects.filter(account=account).order_by("wallet", "asset")
        return (
            list(rows.values_list("quantity", "entry_price", "realized_pnl", "net_pnl", "status")),
            list(balances.values_list("wallet", "asset", "amount", "unknown_count")),
        )


class TestAnEntryPriceAdopted:
    @given(size=SIZES, ours=PRICES, theirs=PRICES)
    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    def test_is_the_venues_and_realizes_nothing(self, stage, account, size, ours, theirs):
        assume(2 * theirs > ours and ours != theirs)
        with forgotten():
            stage.book(account, Entry(
                kind=Kind.FILL, cause=Cause.TRADE, venue_ref="p:1", time=stage.now(), instrument="ETH",
                leg=Leg.NET, side=Side.BUY if size > 0 else Side.SELL, quantity=abs(size), price=ours,
            ))  # fmt: skip
            as_of = stage.now()
            shown = Difference(DifferenceKind.ENTRY_PRICE, ours, theirs)
            case = Case.objects.create(
                account=account, instrument=Instrument.objects.get(venue_symbol="ETH"), leg="net", wallet="",
                asset="", family="entry_price", differences=[shown.to_plain()],
                run=Run.objects.latest("pk"), opened_at=as_of, changed_at=as_of,
                report=CaseReport(as_of, size, ours, size, theirs).to_plain(),
            )  # fmt: skip
            planned = plan(case=case, action="adopt_venue")
            assert abs(Decimal(planned.effect.after["entry_price"]) - theirs) <= D("1e-17")
            assert abs(planned.effect.pnl) < D("1e-9")
