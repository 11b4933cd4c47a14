from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.compare import Difference, Kind, LegKey, LegState, Tolerance, compare, differences

BTC = Tolerance(quantity_step=D("0.00001"), price_tick=D("0.1"))
KEY = LegKey("BTC", "net")


def leg(quantity, entry=None):
    return LegState(D(quantity), None if entry is None else D(entry))


def held(book, venue, *, observed=(KEY,)):
    return compare(
        book={KEY: book} if book else {},
        venue={KEY: venue} if venue else {},
        observed=observed,
        tolerances={"BTC": BTC},
    )


class TestTwoViewsOfALeg:
    def test_agree(self):
        assert differences(leg("0.5", 60000), leg("0.5", 60000), BTC) == []

    def test_differ_in_quantity(self):
        [found] = differences(leg("0.50", 60000), leg("0.45", 60000), BTC)
        assert found == Difference(Kind.QUANTITY, D("0.50"), D("0.45"))
        assert found.amount == D("-0.05")

    def test_differ_by_direction(self):
        [found] = differences(leg("0.5"), leg("-0.5"), BTC)
        assert (found.kind, found.amount) == (Kind.QUANTITY, D(-1))

    def test_agree_within_half_a_step(self):
        assert differences(leg("0.500004"), leg("0.5"), BTC) == []
        assert differences(leg("0.500005"), leg("0.5"), BTC)[0].kind == Kind.QUANTITY

    def test_differ_at_any_size_where_the_step_is_unknown(self):
        unknown = Tolerance(quantity_step=None, price_tick=None)
        assert differences(leg("0.000000000000000001"), None, unknown)[0].kind == Kind.MISSING_AT_VENUE
        assert differences(leg("0"), leg("0"), unknown) == []

    def test_miss_it_in_the_book(self):
        assert differences(None, leg("2", 60000), BTC)[0].kind == Kind.MISSING_IN_BOOK

    def test_miss_it_at_the_venue(self):
        assert differences(leg("2", 60000), None, BTC)[0].kind == Kind.MISSING_AT_VENUE

    @pytest.mark.parametrize(("theirs", "differs"), [("60060", False), ("60060.01", True), ("59939.9", True)])
    def test_differ_in_entry_price_by_more_than_a_thousandth(self, theirs, differs):
        found = differences(leg("0.5", 60000), leg("0.5", theirs), BTC)
        assert [item.kind for item in found] == ([Kind.ENTRY_PRICE] if differs else [])

    def test_differ_in_entry_price_by_more_than_a_tick(self):
        cheap = Tolerance(quantity_step=D(1), price_tick=D("0.0001"))
        assert differences(leg("5", "0.0010"), leg("5", "0.0011"), cheap) == []
        assert differences(leg("5", "0.0010"), leg("5", "0.00111"), cheap) != []

    def test_say_nothing_about_an_unknown_entry_price(self):
        assert differences(leg("0.5", 60000), leg("0.5"), BTC) == []
        assert differences(leg("0.5"), leg("0.5", 60000), BTC) == []


class TestAReport:
    def test_that_does_not_observe_a_leg_proves_nothing(self):
        [result] = held(leg("0.5"), None, observed=())
        assert (result.observed, result.differences) == (False, ())

    def test_that_is_complete_and_lacks_a_leg_says_it_is_flat(self):
        [result] = held(leg("0.5"), None)
        assert result.differences == (Difference(Kind.MISSING_AT_VENUE, D("0.5"), D(0)),)

    def test_keeps_the_legs_of_a_hedge_apart(self):
        long, short = LegKey("BTC", "long"), LegKey("BTC", "short")
        results = compare(
            book={long: leg("1"), short: leg("-1")},
            venue={long: leg("1"), short: leg("-1")},
            observed=[long, short],
            tolerances={"BTC": BTC},
        )
        assert [(result.key.leg, result.differences) for result in results] == [("long", ()), ("short", ())]

    def test_refuses_to_judge_an_instrument_it_does_not_know(self):
        with pytest.raises(KeyError):
            compare(book={KEY: leg("1")}, venue={}, observed=[KEY], tolerances={})

    @given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-3, 3).filter(bool), max_size=6))
    def test_equal_to_the_book_has_no_difference(self, sizes):
        legs = {LegKey(name, "net"): leg(size, 10) for name, size in sizes.items()}
        found = compare(book=legs, venue=legs, observed=legs, tolerances=dict.fromkeys(sizes, BTC))
        assert len(found) == len(legs)
        assert all(result.observed and not result.differences for result in found)
