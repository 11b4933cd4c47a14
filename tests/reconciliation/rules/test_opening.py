"""Which facts next to an opening balance explain what a wallet is off by."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from reconciliation.rules.opening import NEAR, opening_overlap

T0 = datetime(2026, 1, 15, 12, tzinfo=UTC)
CENT = D("0.01")


@dataclass(frozen=True)
class Move:
    ref: str
    time: datetime
    amount: D | None


def move(ref, seconds, amount):
    return Move(ref, T0 + timedelta(seconds=float(seconds)), None if amount is None else D(amount))


def explained(missing, *moves, allowed=CENT):
    return opening_overlap(missing=D(missing), moves=moves, opened_at=T0, allowed=allowed)


class TestFactsNextToT0:
    def test_after_it_are_counted_twice_where_the_book_has_their_sum_too_much(self):
        found = explained("-0.08", move("a", "0.36", "0.05"), move("b", "1", "0.03"), move("c", "2", "7"),
                          allowed=D(0))  # fmt: skip
        assert (found.refs, found.twice) == (("a", "b"), True)

    def test_before_it_are_in_neither_where_the_book_lacks_their_sum(self):
        found = explained("5", move("a", "-3", "7"), move("b", "-1", "2"), move("c", "-0.5", "3"))
        assert (found.refs, found.twice) == (("c", "b"), False)

    def test_explain_nothing_else(self):
        assert explained("-1", move("a", "1", "0.4"), move("b", "2", "0.7")) is None
        assert explained("1", move("a", "1", "1")) is None
        assert explained("-1", move("a", "-1", "1")) is None

    def test_are_near_it(self):
        seconds = NEAR.total_seconds() + 1
        assert explained("-1", move("a", seconds, "1")) is None
        assert explained("1", move("a", -seconds, "1")) is None

    def test_of_an_unknown_amount_end_the_sum(self):
        assert explained("-2", move("a", "1", None), move("b", "2", "2")) is None
        assert explained("-1", move("a", "1", "1"), move("b", "2", None)).refs == ("a",)

    def test_explain_no_difference_within_the_tolerance(self):
        assert explained("-0.005", move("a", "1", "0.005")) is None

    @given(st.lists(st.decimals("0.01", "1000", places=2), min_size=1, max_size=8), st.integers(1, 8))
    def test_are_the_shortest_run_that_adds_up(self, amounts, count):
        count = min(count, len(amounts))
        moves = [move(str(n), n, amount) for n, amount in enumerate(amounts, start=1)]
        found = explained(-sum(amounts[:count]), *moves, allowed=D(0))
        assert found.twice
        assert found.refs == tuple(str(n) for n in range(1, count + 1))
