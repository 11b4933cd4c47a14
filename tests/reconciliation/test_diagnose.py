"""Causes, ranked: the worked example of each."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from reconciliation.compare import Difference, Kind
from reconciliation.diagnose import Cause, Facts, Line, diagnose

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def fill(ref, quantity, *, minute=-10, cause="trade", price=100, fee="0.1", before=None):
    return Line(
        ref, "fill", cause, at(minute), D(quantity), D(price), None if fee is None else D(fee),
        before=None if before is None else D(before),
    )  # fmt: skip


def size(book, venue, *lines, **known):
    shown = Difference(Kind.QUANTITY, D(book), D(venue))
    given = {"proven_at": at(-5), "step": D("0.01"), "record": "report"} | known
    return Facts(difference=shown, lines=lines, seen_at=NOON, **given)


def cash(amount, *lines, **known):
    shown = Difference(Kind.EQUITY, D(1000), D(1000) + D(amount))
    given = {"proven_at": at(-5), "record": "report", "notional": D(5000)} | known
    return Facts(difference=shown, lines=lines, seen_at=NOON, **given)


CASES = {
    "a hand-made fill": (size(3, 2, fill("m", 1, cause="manual")), Cause.MANUAL_CORRECTION, ("m",)),
    "a fill twice": (size(4, 3, fill("a", 1), fill("b", 1)), Cause.FILL_DOUBLED, ("a", "b")),
    "a venue that lags": (size(3, 2, fill("a", 2), fill("b", 1, minute=-0.1)), Cause.VENUE_LAG, ("b",)),
    "contracts for units": (size(3, 300, fill("a", 3)), Cause.UNIT_MISTAKE, ("a",)),
    "a liquidation": (
        size(3, 0, fill("a", 3), mark=D(80), liquidation_price=D(81)),
        Cause.LIQUIDATION_UNSEEN,
        ("report",),
    ),
    "a hole in the venue's sizes": (
        size(3, 4, fill("a", 1, before=0), fill("c", 2, before=2)),
        Cause.FILL_MISSED,
        ("c",),
    ),
    "a fill that nobody told": (size(3, 5, fill("a", 3)), Cause.FILL_MISSED, ("a", "report")),
    "an order elsewhere": (size(3, 5, fill("a", 3, minute=-900)), Cause.PLACED_ELSEWHERE, ("a", "report")),
    "a position older than the history": (
        size(1, 4, fill("a", 1), proven_at=None),
        Cause.WRONG_OPENING,
        None,
    ),
    "a round amount": (cash(250), Cause.TRANSFER_UNSEEN, ("report",)),
    "a funding payment": (cash("-0.61237"), Cause.FUNDING_MISSING, None),
    "a fill without fee": (cash("-0.1234", fill("a", 3, fee=None)), Cause.FEE_MISSING, ("a",)),
    "a leg that differs too": (
        cash("12.345", sizes_agree=False, size_cases=["case 7"]),
        Cause.FILL_MISSED,
        ("case 7",),
    ),
    "cash by hand": (
        cash(-5, Line("m", "adjustment", "", at(-1), amount=D(5))),
        Cause.MANUAL_CORRECTION,
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
        shown = Difference(Kind.BALANCE, D("0.4"), D(0))
        facts = Facts(
            difference=shown, lines=(), seen_at=NOON, proven_at=at(-5), record="r", coin=True, mark=D(1)
        )
        assert diagnose(facts)[0].cause is Cause.DUST

    def test_is_unknown_where_nothing_speaks_for_one(self):
        facts = size(3, "3.005")
        assert [one.cause for one in diagnose(facts)] == [Cause.UNKNOWN]

    def test_comes_first_and_unknown_last(self):
        found = diagnose(CASES["a fill that nobody told"][0])
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert found[-1].cause is Cause.UNKNOWN
