from dataclasses import replace
from decimal import Decimal

import pytest

from positions.book import Leg, broken, wrong_side
from tests.words import book, flat, minute, position


class TestBrokenLaws:
    @pytest.mark.parametrize(
        "lines",
        [[], ["buy 1 @ 1"], ["buy 1 @ 1", "sell 1 @ 1"], ["buy 1 @ ?", "sell 3 @ 2", "funding 1 USDT"]],
    )
    def test_are_none_for_what_the_book_made(self, lines):
        assert broken(book(*lines).position) == ()

    @pytest.mark.parametrize(
        ("state", "law"),
        [
            (replace(flat(), open_cost=Decimal(3).quantize(Decimal("1e-18"))), "a flat position has no cost"),
            (
                replace(position("long 2 @ 5"), open_cost=Decimal("-1.000000000000000000")),
                "a cost is not negative",
            ),
            (replace(position("long 2 @ 5"), closed_at=minute(9)), "an open position has no closing time"),
            (replace(book("buy 1 @ 1", "sell 1 @ 1").position, closed_at=None), "a closed episode has one"),
            (replace(position("long 2 @ 5"), opened_by=None), "a size belongs to an episode"),
            (replace(position("long 2 @ 5"), peak_size=Decimal(1)), "the peak is the largest size"),
            (
                replace(book("buy 1 @ 1", "sell 1 @ 1").position, closed_at=minute(0)),
                "an episode ends after it began",
            ),
            (replace(position("long 2 @ 5"), realized_pnl=Decimal("0.1")), "money has 18 places"),
        ],
    )
    def test_are_named(self, state, law):
        assert broken(state) == (law,)


class TestWrongSide:
    def test_is_a_long_leg_that_is_short_and_the_reverse(self):
        assert wrong_side(book("long sell 1 @ 1", leg=Leg.LONG).position)
        assert wrong_side(book("short buy 1 @ 1", leg=Leg.SHORT).position)
        assert not wrong_side(book("short sell 1 @ 1", leg=Leg.SHORT).position)
        assert not wrong_side(book("sell 1 @ 1").position)
