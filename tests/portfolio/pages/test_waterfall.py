"""The bars of a position's P&L: each begins where the one before ended, the last is the sum."""

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from portfolio.pages.waterfall import NARROWEST, WIDTH, Bar, waterfall

AMOUNTS = st.lists(st.none() | st.decimals(-1_000_000, 1_000_000, places=2), min_size=1, max_size=8)


class TestTheBars:
    def test_begin_where_the_one_before_ended_and_end_with_the_sum(self):
        assert waterfall([D(100), D(-40), None, D(-10)]) == [
            Bar("0.00", "100.00", "gain"), Bar("60.00", "40.00", "loss"), Bar("60.00", "0", ""),
            Bar("50.00", "10.00", "loss"), Bar("0.00", "50.00", "gain"),
        ]  # fmt: skip

    def test_of_a_loss_lie_left_of_zero(self):
        assert waterfall([D(-30), D(10)]) == [
            Bar("0.00", "100.00", "loss"), Bar("0.00", "33.33", "gain"), Bar("33.33", "66.67", "loss"),
        ]  # fmt: skip

    def test_of_nothing_have_no_width(self):
        assert waterfall([None, D(0)]) == [Bar("0.00", "0", "")] * 3

    def test_of_cents_beside_thousands_are_seen(self):
        assert D(waterfall([D(50_000), D("0.01")])[1].width) == NARROWEST.quantize(D("0.01"))

    @given(AMOUNTS)
    def test_never_leave_the_picture(self, amounts):
        for bar in waterfall(amounts):
            assert D(bar.x) >= 0
            assert D(bar.x) + D(bar.width) <= D(WIDTH) + D("0.02")
