from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.rules.compare import (
    NOTES,
    Difference,
    DifferenceKind,
    LegKey,
    LegState,
    Tolerance,
    WalletKey,
    WalletState,
    WalletTolerance,
    compare,
    compare_balances,
    differences,
)

BTC = Tolerance(quantity_step=D("0.00001"), price_tick=D("0.1"))
KEY = LegKey("BTC", "net")


def leg(quantity, entry=None):
    return LegState(D(quantity), None if entry is None else D(entry))


def drifts(book, venue, tolerance=BTC):
    return [one.kind for one in differences(book, venue, tolerance) if one.drift]


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
        assert found == Difference(DifferenceKind.QUANTITY, D("0.50"), D("0.45"))
        assert found.amount == D("-0.05")

    def test_differ_by_direction(self):
        [found] = differences(leg("0.5"), leg("-0.5"), BTC)
        assert (found.kind, found.amount) == (DifferenceKind.QUANTITY, D(-1))

    def test_drift_from_half_a_step_on_and_record_less(self):
        [noted] = differences(leg("0.500004"), leg("0.5"), BTC)
        assert (noted.kind, noted.drift) == (DifferenceKind.QUANTITY, False)
        assert drifts(leg("0.500005"), leg("0.5")) == [DifferenceKind.QUANTITY]

    def test_may_differ_by_a_share_of_the_size_where_one_is_set(self):
        lenient = Tolerance(quantity_step=D("0.001"), price_tick=None, size_share=D("0.01"))
        assert drifts(leg(100), leg(101), lenient) == []
        assert drifts(leg(100), leg("101.02"), lenient) == [DifferenceKind.QUANTITY]
        assert drifts(leg(1), None, lenient) == [DifferenceKind.MISSING_AT_VENUE]

    def test_differ_at_any_size_where_the_step_is_unknown(self):
        unknown = Tolerance(quantity_step=None, price_tick=None)
        assert (
            differences(leg("0.000000000000000001"), None, unknown)[0].kind == DifferenceKind.MISSING_AT_VENUE
        )
        assert differences(leg("0"), leg("0"), unknown) == []

    def test_miss_it_in_the_book(self):
        assert differences(None, leg("2", 60000), BTC)[0].kind == DifferenceKind.MISSING_IN_BOOK

    def test_miss_it_at_the_venue(self):
        assert differences(leg("2", 60000), None, BTC)[0].kind == DifferenceKind.MISSING_AT_VENUE

    @pytest.mark.parametrize(("theirs", "differs"), [("60060", False), ("60060.01", True), ("59939.9", True)])
    def test_differ_in_entry_price_by_more_than_a_thousandth(self, theirs, differs):
        assert drifts(leg("0.5", 60000), leg("0.5", theirs)) == (
            [DifferenceKind.ENTRY_PRICE] if differs else []
        )

    def test_record_a_different_entry_price_from_one_tick_on(self):
        assert differences(leg("0.5", 60000), leg("0.5", "60000.1"), BTC) == []
        [noted] = differences(leg("0.5", 60000), leg("0.5", "60000.2"), BTC)
        assert (noted.kind, noted.drift) == (DifferenceKind.ENTRY_PRICE, False)

    def test_drift_in_entry_price_by_more_than_a_tick(self):
        cheap = Tolerance(quantity_step=D(1), price_tick=D("0.0001"))
        assert drifts(leg("5", "0.0010"), leg("5", "0.0011"), cheap) == []
        assert drifts(leg("5", "0.0010"), leg("5", "0.00111"), cheap) == [DifferenceKind.ENTRY_PRICE]

    def test_never_drift_in_entry_price_where_the_venue_averages_otherwise(self):
        rebased = Tolerance(quantity_step=D(1), price_tick=D(1), same_average=False)
        [noted] = differences(leg(1, 60000), leg(1, 70000), rebased)
        assert (noted.kind, noted.drift) == (DifferenceKind.ENTRY_PRICE, False)

    def test_note_leverage_margin_liquidation_and_profit_and_never_judge_them(self):
        ours = LegState(D(1), D(100), D(5), D(20), D(80), D(7), D(3))
        theirs = LegState(D(1), D(100), D(10), D(10), D(90), D(8), D(4))
        [result] = held(ours, theirs)
        assert {one.kind for one in result.differences} == set(NOTES)
        assert result.drifts == ()

    def test_say_nothing_about_an_unknown_entry_price(self):
        assert differences(leg("0.5", 60000), leg("0.5"), BTC) == []
        assert differences(leg("0.5"), leg("0.5", 60000), BTC) == []


class TestTheSameDifference:
    """What a second report must show before anything is called a drift."""

    def test_of_cash_is_the_same_though_the_venue_rounds_each_movement(self):
        first = Difference(DifferenceKind.EQUITY, D("399443.787434139378"), D("399442.671863"))
        later = Difference(DifferenceKind.EQUITY, D("399407.580428019753"), D("399406.464857"))
        assert first.amount != later.amount
        assert first.same_as(later)
        assert not first.same_as(Difference(DifferenceKind.EQUITY, D("399407.58"), D("399406.45")))

    def test_is_the_same_amount_however_the_leg_traded_on(self):
        first = Difference(DifferenceKind.QUANTITY, D(5), D(7))
        assert first.same_as(Difference(DifferenceKind.QUANTITY, D(6), D(8)))
        assert first.same_as(Difference(DifferenceKind.MISSING_IN_BOOK, D(0), D(2)))
        assert not first.same_as(Difference(DifferenceKind.QUANTITY, D(6), D(7)))

    def test_of_an_entry_price_points_the_same_way(self):
        first = Difference(DifferenceKind.ENTRY_PRICE, D(100), D(110))
        assert first.same_as(Difference(DifferenceKind.ENTRY_PRICE, D(101), D(112)))
        assert not first.same_as(Difference(DifferenceKind.ENTRY_PRICE, D(112), D(101)))

    def test_is_of_the_same_kind(self):
        assert not Difference(DifferenceKind.QUANTITY, D(1), D(2)).same_as(
            Difference(DifferenceKind.EQUITY, D(1), D(2))
        )


USDC = WalletKey("", "USDC")
COINS = {"USDC": WalletTolerance(par=True), "BTC": WalletTolerance(usd_price=D(50_000))}


def balances(book, venue, *, complete=True):
    ours = {WalletKey(*key): WalletState(D(amount)) for key, amount in book.items()}
    theirs = {WalletKey(*key): amount if amount is None else D(amount) for key, amount in venue.items()}
    return compare_balances(book=ours, venue=theirs, complete=complete, tolerances=COINS)


class TestTheEquityIdentity:
    def test_holds_where_opening_and_cash_legs_make_the_venues_balance(self):
        [result] = balances({("", "USDC"): "1000.25"}, {("", "USDC"): "1000.25"})
        assert (result.provable, result.differences) == (True, ())

    def test_shows_the_amount_that_no_entry_explains(self):
        [result] = balances({("", "USDC"): "1000"}, {("", "USDC"): "987.5"})
        [found] = result.drifts
        assert (found.kind, found.amount) == (DifferenceKind.EQUITY, D("-12.5"))

    @pytest.mark.parametrize(("theirs", "drift"), [("1000.009", False), ("1000.01", True)])
    def test_drifts_from_a_cent_on(self, theirs, drift):
        [result] = balances({("", "USDC"): "1000"}, {("", "USDC"): theirs})
        assert [one.drift for one in result.differences] == [drift]

    def test_measures_a_coin_by_what_a_cent_buys(self):
        [result] = balances({("", "BTC"): "1"}, {("", "BTC"): "1.0000001"})
        assert [(one.kind, one.drift) for one in result.differences] == [(DifferenceKind.BALANCE, False)]
        [result] = balances({("", "BTC"): "1"}, {("", "BTC"): "1.000001"})
        assert result.drifts

    def test_takes_an_absent_balance_for_zero_only_in_a_complete_report(self):
        [result] = balances({("", "USDC"): "5"}, {})
        assert [one.venue for one in result.drifts] == [0]
        [result] = balances({("", "USDC"): "5"}, {}, complete=False)
        assert (result.observed, result.drifts) == (False, ())

    def test_is_unproven_while_an_entrys_amount_is_unknown(self):
        [result] = compare_balances(
            book={USDC: WalletState(D(5), unknown=1)},
            venue={USDC: D(6)},
            complete=True,
            tolerances=COINS,
        )
        assert (result.provable, result.drifts) == (False, ())


class TestAReport:
    def test_that_does_not_observe_a_leg_proves_nothing(self):
        [result] = held(leg("0.5"), None, observed=())
        assert (result.observed, result.differences) == (False, ())

    def test_that_is_complete_and_lacks_a_leg_says_it_is_flat(self):
        [result] = held(leg("0.5"), None)
        assert result.differences == (Difference(DifferenceKind.MISSING_AT_VENUE, D("0.5"), D(0)),)

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
