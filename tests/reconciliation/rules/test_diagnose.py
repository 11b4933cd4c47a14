"""Causes, ranked: the worked example of each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from reconciliation.rules.compare import Difference, DifferenceKind
from reconciliation.rules.diagnose import DriftCause, DriftEntry, DriftRecord, OtherBalance, diagnose

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def fill(ref, quantity, *, minute=-10, cause="trade", price=100, fee="0.1", before=None):
    return DriftEntry(
        ref, "fill", cause, at(minute), D(quantity), D(price), None if fee is None else D(fee),
        before=None if before is None else D(before),
    )  # fmt: skip


def size(book, venue, *lines, **known):
    shown = Difference(DifferenceKind.QUANTITY, D(book), D(venue))
    given = {"proven_at": at(-5), "step": D("0.01"), "record": "report"} | known
    return DriftRecord(difference=shown, lines=lines, seen_at=NOON, **given)


def cash(amount, *lines, **known):
    shown = Difference(DifferenceKind.EQUITY, D(1000), D(1000) + D(amount))
    given = {"proven_at": at(-5), "record": "report", "notional": D(5000)} | known
    return DriftRecord(difference=shown, lines=lines, seen_at=NOON, **given)


def paid(ref, symbol):
    return DriftEntry(ref, "funding", "", at(-1), amount=D("-0.9"), symbol=symbol, received_at=at(-1))


CASES = {
    "a hand-made fill": (size(3, 2, fill("m", 1, cause="manual")), DriftCause.MANUAL_CORRECTION, ("m",)),
    "a fill twice": (size(4, 3, fill("a", 1), fill("b", 1)), DriftCause.FILL_DOUBLED, ("a", "b")),
    "a venue that lags": (size(3, 2, fill("a", 2), fill("b", 1, minute=-0.1)), DriftCause.VENUE_LAG, ("b",)),
    "contracts for units": (size(3, 300, fill("a", 3)), DriftCause.UNIT_MISTAKE, ("a",)),
    "a liquidation": (
        size(3, 0, fill("a", 3), mark=D(80), liquidation_price=D(81)),
        DriftCause.LIQUIDATION_UNSEEN,
        ("report",),
    ),
    "a close at no trader's price": (
        size(3, 2, fill("a", 3), mark=D(98), entry_price=D(100), cash=D(-20)),
        DriftCause.LIQUIDATION_UNSEEN,
        ("report",),
    ),
    "a close at the market": (
        size(3, 2, fill("a", 3), mark=D(98), entry_price=D(100), cash=D("-2.1")),
        DriftCause.FILL_MISSED,
        ("report",),  # the fill that opened it is of the other side
    ),
    "a correction of ours": (
        size(2, 3, fill("a", 3), fill("inferred:1", -1, cause="inferred", minute=-1), step=D("0.1")),
        DriftCause.MANUAL_CORRECTION,
        ("inferred:1",),
    ),
    "a fill read in contracts": (
        size(13, 4, fill("a", 3), fill("b", 10, minute=-2)),
        DriftCause.UNIT_MISTAKE,
        ("b",),
    ),
    "a lot that was set wrong": (
        size(5, 4, fill("lot", 2, cause="opening", minute=-1), fill("a", 3)),
        DriftCause.WRONG_OPENING,
        ("lot", "report"),
    ),
    "a hole in the venue's sizes": (
        size(3, 4, fill("a", 1, before=0), fill("c", 2, before=2)),
        DriftCause.FILL_MISSED,
        ("c",),
    ),
    "a fill that nobody told": (size(3, 5, fill("a", 3)), DriftCause.FILL_MISSED, ("a", "report")),
    "an order elsewhere": (
        size(3, 5, fill("a", 3, minute=-900)),
        DriftCause.PLACED_ELSEWHERE,
        ("a", "report"),
    ),
    "a position older than the history": (
        size(1, 4, fill("a", 1), proven_at=None),
        DriftCause.WRONG_OPENING,
        None,
    ),
    "a lot that the venue's sizes confirm": (
        size(1, 4, fill("a", 1, before=3), proven_at=None),
        DriftCause.WRONG_OPENING,
        ("a", "report"),
    ),
    "a lot for which the venue's sizes leave no room": (
        size(1, 4, fill("a", 2, before=0), fill("b", -1, before=2), proven_at=None),
        DriftCause.FILL_MISSED,
        ("b", "report"),
    ),
    "a round amount": (cash(250), DriftCause.TRANSFER_UNSEEN, ("report",)),
    "a funding payment": (cash("-0.61237"), DriftCause.FUNDING_MISSING, None),
    "a fill without fee": (cash("-0.1234", fill("a", 3, fee=None)), DriftCause.FEE_MISSING, ("a",)),
    "a leg that differs too": (
        cash("12.345", of_legs=[("liquidation_unseen", "case 7")]),
        DriftCause.LIQUIDATION_UNSEEN,
        ("case 7",),
    ),
    "money that changed its wallet": (
        cash("-12.345", others=[OtherBalance("USDC in spot", D("12.345"), D(20))]),
        DriftCause.TRANSFER_UNSEEN,
        ("report",),
    ),
    "a leg that went without funding": (
        cash("-0.61", paid("f", "BTC"), legs=["BTC", "ETH"]),
        DriftCause.FUNDING_MISSING,
        ("f",),
    ),
    "a fee at the rate of others": (
        cash("-0.1351", fill("a", 2, fee="0.09"), fill("b", 3, fee="0", minute=-1)),
        DriftCause.FEE_MISSING,
        ("b",),
    ),
    "what dust was worth": (
        cash("0.42", others=[OtherBalance("PURR in spot", D(-3), D(0), D("0.14"))], notional=D(0)),
        DriftCause.DUST,
        ("report",),
    ),
    "cash by hand": (
        cash(-5, DriftEntry("m", "adjustment", "", at(-1), amount=D(5))),
        DriftCause.MANUAL_CORRECTION,
        ("m",),
    ),
}


class TestTheLikeliestCause:
    @pytest.mark.parametrize("name", CASES)
    def test_is_right_and_cites_what_it_rests_on(self, name):
        facts, cause, refs = CASES[name]
        first = diagnose(facts)[0]
        assert first.cause is cause
        assert first.evidence
        assert refs is None or first.evidence == refs

    def test_of_dust_is_its_conversion(self):
        shown = Difference(DifferenceKind.BALANCE, D("0.4"), D(0))
        facts = DriftRecord(
            difference=shown, lines=(), seen_at=NOON, proven_at=at(-5), record="r", coin=True, mark=D(1)
        )
        assert diagnose(facts)[0].cause is DriftCause.DUST

    def test_is_unknown_where_nothing_speaks_for_one(self):
        facts = size(3, "3.005")
        assert [one.cause for one in diagnose(facts)] == [DriftCause.UNKNOWN]

    def test_is_no_entry_that_was_there_when_it_last_agreed(self):
        proven = replace(fill("m", 1, cause="manual"), received_at=at(-30))
        fresh = replace(proven, received_at=at(-1))
        assert diagnose(size(3, 2, proven))[0].cause is not DriftCause.MANUAL_CORRECTION
        assert diagnose(size(3, 2, fresh))[0].cause is DriftCause.MANUAL_CORRECTION

    def test_of_twins_that_lead_on_from_each_other_is_no_repeat(self):
        twins = (fill("a", 1, before=2), fill("b", 1, before=3))
        repeat = (fill("a", 1, before=2), fill("b", 1, before=2))
        assert diagnose(size(4, 3, *twins))[0].cause is not DriftCause.FILL_DOUBLED
        assert diagnose(size(4, 3, *repeat))[0].cause is DriftCause.FILL_DOUBLED

    def test_names_each_cause_once(self):
        for facts, _, _ in CASES.values():
            named = [one.cause for one in diagnose(facts)]
            assert len(named) == len(set(named))

    def test_comes_first_and_unknown_last(self):
        found = diagnose(CASES["a fill that nobody told"][0])
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert found[-1].cause is DriftCause.UNKNOWN
