"""How likely causes are beside each other."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.rules.likelihood import percents


class TestTheCausesOfACase:
    @pytest.mark.parametrize(
        ("scores", "shown"),
        [
            (["0.97", "0.6", "0.4", "0.1"], [97, 2, 1, 0]),  # a repeat to the last digit leaves little else
            (["0.92", "0.1"], [92, 8]),
            (["0.6", "0.4", "0.1"], [60, 32, 8]),
            (["0.45", "0.1"], [82, 18]),  # less than sure together: something was the cause
            (["0.5", "0.5"], [50, 50]),
            (["0.4", "0.4", "0.4"], [40, 30, 30]),
            (["0.01", "0.01", "0.01"], [34, 33, 33]),  # equal ones: the first gets what rounding left
            (["0.1"], [100]),
            (["1"], [100]),
            ([], []),
        ],
    )
    def test_share_a_hundred_percent(self, scores, shown):
        assert percents([D(score) for score in scores]) == shown

    @given(st.lists(st.decimals("0.01", 1, places=2), min_size=1, max_size=13))
    def test_keep_their_order_and_add_up(self, scores):
        ranked = sorted(scores, reverse=True)
        found = percents(ranked)
        assert sum(found) == 100
        assert found == sorted(found, reverse=True)
        assert min(found) >= 0
