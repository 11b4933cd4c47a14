"""Corrections of several cases, facts between them, all taken back in any order: the book is as it was."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from positions import ingest
from positions import queries as ledger
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.models import Account, Balance, Instrument, Position
from reconciliation import queries
from reconciliation.cases import resolve
from reconciliation.cases.case_report import CaseReport
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import plan
from reconciliation.models import Case, CaseState, Correction, Run
from reconciliation.rules.compare import Difference, DifferenceKind, LegState, differences
from tests.reconciliation.stage import D

pytestmark = pytest.mark.django_db

FIGURES = ("quantity", "entry_price", "realized_pnl", "adjustment_pnl", "net_pnl", "status")
COINS = st.sampled_from(["ETH", "BTC"])
SIZES = st.decimals("-50", "50", places=3).filter(bool)
PRICES = st.decimals("0.01", "9999", places=3)
AMOUNTS = st.decimals("-900", "900", places=2).filter(lambda one: abs(one) >= 1)
FACT = st.tuples(st.just("fact"), COINS, SIZES, PRICES, st.booleans())
STEPS = st.one_of(
    FACT,
    st.tuples(
        st.just("size"),
        COINS,
        st.sampled_from(["adopt_venue", "book_adjustment", "set_opening_lot"]),
        SIZES,
        PRICES,
    ),
    st.tuples(st.just("average"), COINS, st.sampled_from(["adopt_venue", "book_adjustment"]), PRICES),
    st.tuples(st.just("cash"), st.sampled_from(["adopt_venue", "book_adjustment"]), AMOUNTS),
    st.tuples(st.just("opening"), AMOUNTS),
    st.tuples(st.just("undo"), st.integers(0, 9)),
)


@contextmanager
def forgotten():
    """What an example did is rolled back, as the next one has the same stage."""
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)


class World:
    """An account of which steps are taken, each a second after the last, and its standing corrections."""

    def __init__(self, account: Account, begun: datetime) -> None:
        self.account, self.now, self.begun = account, begun, begun
        self.standing: list[Correction] = []
        self.count = 0

    def take(self, steps):
        for kind, *what in steps:
            self.now += timedelta(seconds=1)
            self.count += 1
            with suppress(PlanRefusal):  # it makes no sense there: nothing is booked
                getattr(self, kind)(*what)

    def fact(self, coin, size, price, late):
        """A fill that the venue tells; a late one is older than every correction."""
        fill = Entry(
            kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"fact:{self.count}",
            time=self.begun + timedelta(milliseconds=self.count) if late else self.now, instrument=coin,
            leg=Leg.NET, side=Side.BUY if size > 0 else Side.SELL, quantity=abs(size), price=price,
            wallet="perp",
        )  # fmt: skip
        ingest.record(account=self.account, entries=[fill], source="test", trace_id="test", now=self.now)

    def size(self, coin, action, target, average):
        ours, theirs = self.leg(coin), LegState(target, average)
        self.correct(coin, "size", action, ours, theirs)

    def average(self, coin, action, average):
        ours = self.leg(coin)
        self.correct(coin, "entry_price", action, ours, LegState(ours.quantity, average))

    def cash(self, action, amount):
        self.correct_cash(action, amount, [])

    def opening(self, amount):
        told = {"cause": "wrong_opening", "score": "1", "text": "", "evidence": []}
        self.correct_cash("correct_opening", amount, [told])

    def undo(self, which):
        if self.standing:
            self.take_back(self.standing.pop(which % len(self.standing)))

    def take_back(self, correction):
        resolve.undo(correction=correction, who="ada", reason="r", now=self.now, trace_id="test")

    # ------------------------------------------------------------------------------------------------

    def correct(self, coin, family, action, ours, theirs):
        instrument = Instrument.objects.get(venue_symbol=coin)
        tolerance = queries.tolerances(account=self.account, rows=[instrument])[coin]
        shown = [one for one in differences(ours, theirs, tolerance) if one.drift and one.family == family]
        if shown:
            report = CaseReport(
                self.now, ours.quantity, ours.entry_price, theirs.quantity, theirs.entry_price, D("50")
            )
            self.apply(action, shown[0], report, family=family, instrument=instrument, leg="net")

    def correct_cash(self, action, amount, diagnosis):
        balances = ledger.book_as_of(account=self.account, at=self.now).balances
        held = balances.get(("perp", "USDC"), (D(0), 0))[0]
        shown = Difference(DifferenceKind.EQUITY, held, held + amount)
        self.apply(action, shown, CaseReport(self.now), family="cash", diagnosis=diagnosis, wallet="perp",
                   asset="USDC")  # fmt: skip

    def apply(self, action, shown, report, *, family, diagnosis=(), **subject):
        subject = {"instrument": None, "leg": "", "wallet": "", "asset": "", "family": family} | subject
        shows = {"differences": [shown.to_plain()], "report": report.to_plain(), "diagnosis": list(diagnosis)}
        case, _ = Case.objects.update_or_create(
            account=self.account, **subject, closed_at=None, defaults=shows,
            create_defaults=shows | {"run": Run.objects.latest("pk"), "opened_at": self.now,
                                     "changed_at": self.now, "state": CaseState.OPEN},
        )  # fmt: skip
        planned = plan(case=case, action=action)
        done = resolve.apply(planned=planned, who="ada", reason="r", now=self.now, trace_id="test")
        self.standing.append(done)

    def leg(self, coin):
        instrument = Instrument.objects.get(venue_symbol=coin)
        state = ledger.position_as_of(
            account=self.account, instrument=instrument.pk, leg="net", at=self.now
        ).state
        return LegState(state.size, state.entry_price if state.size else None)

    def book(self):
        rows = Position.objects.filter(account=self.account).exclude(status="VOID")
        balances = Balance.objects.filter(account=self.account).order_by("wallet", "asset")
        cash = balances.values_list("wallet", "asset", "amount", "unknown_count")
        return (
            list(rows.order_by("instrument", "opened_at", "pk").values_list("instrument", *FIGURES)),
            [row for row in cash if any(row[2:])],
        )


class TestASecondCorrectionOfACase:
    @pytest.mark.parametrize("step", [("cash", "adopt_venue"), ("cash", "book_adjustment"), ("opening",)])
    def test_is_booked_beside_the_first(self, stage, account, step):
        """Something else was missing by then, and the case is still open."""
        world = World(account, stage.now())
        before = world.book()
        for amount in (D(10), D(5)):
            world.take([(*step, amount)])
        assert len(world.standing) == 2
        while world.standing:
            world.take([("undo", 0)])
        assert world.book() == before


class TestCorrectionsThatAreAllTakenBack:
    @given(facts=st.lists(FACT, max_size=3), steps=st.lists(STEPS, min_size=2, max_size=7),
           order=st.randoms(use_true_random=False))  # fmt: skip
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def test_leave_the_book_that_the_facts_alone_make(self, stage, account, facts, steps, order):
        begun = stage.now()
        told = [(number, step) for number, step in enumerate((*facts, *steps)) if step[0] == "fact"]
        with forgotten():
            alone = World(account, begun)
            for number, step in told:
                alone.now, alone.count = begun + timedelta(seconds=number), number
                alone.take([step])
            wanted = alone.book()
        with forgotten():
            corrected = World(account, begun)
            corrected.take((*facts, *steps))
            assume(Correction.objects.filter(case__account=account).exists())
            order.shuffle(corrected.standing)
            corrected.now += timedelta(seconds=1)
            for one in corrected.standing:
                corrected.take_back(one)
            assert corrected.book() == wanted
