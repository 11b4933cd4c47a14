"""A venue's clock that jumps back: the chain of positions-before decides, whatever the times say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from positions.book import Cause, Contract, ContractKind, Entry, Kind, PositionState, Side, fold
from positions.book.clock import WITHIN, time_amends, true_order

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
EMPTY = PositionState(
    contract=Contract(kind=ContractKind.LINEAR, base="ETH", quote="USDC", settle="USDC"), instrument="ETH"
)


def chain(moves: list[int], times: list[float], *, start: int = 0) -> list[Entry]:
    """Fills in their true order, with the times that the venue's clock gave them."""
    fills, size = [], start
    for number, (move, seconds) in enumerate(zip(moves, times, strict=True)):
        fills.append(
            Entry(
                kind=Kind.FILL,
                cause=Cause.TRADE,
                venue_ref=f"f{number:03}",
                time=NOON + timedelta(seconds=seconds),
                instrument="ETH",
                side=Side.BUY if move > 0 else Side.SELL,
                quantity=Decimal(abs(move)),
                price=Decimal(100 + number),
                position_before=Decimal(size),
            )
        )
        size += move
    return fills


def refs(fills: list[Entry]) -> list[str]:
    return [fill.venue_ref for fill in fills]


class TestTwoFillsAcrossAJump:
    fills = chain([1, 1, -2, 3], [0, 10.0, 9.5, 11])

    def test_are_folded_in_the_order_of_their_chain(self) -> None:
        book = fold([*self.fills, *time_amends(self.fills)], start=EMPTY)
        assert refs(list(book.effective)) == ["f000", "f001", "f002", "f003"]
        assert [episode.opened_by for episode in book.episodes] == ["f000", "f003"]
        assert book.conflicts == ()

    def test_would_otherwise_be_folded_by_their_times(self) -> None:
        assert refs(list(fold(self.fills, start=EMPTY).effective)) == ["f000", "f002", "f001", "f003"]

    def test_are_amended_alike_whenever_they_are_read(self) -> None:
        again = time_amends(reversed(self.fills))
        assert again == time_amends(self.fills)
        assert [(amend.target, amend.amended_time) for amend in again] == [
            ("f002", NOON + timedelta(seconds=10))
        ]

    def test_that_come_again_with_their_old_time_are_no_conflict(self) -> None:
        book = fold([*self.fills, *time_amends(self.fills), *self.fills], start=EMPTY)
        assert book.conflicts == ()


class TestNothingIsAmended:
    def test_where_times_and_chain_agree(self) -> None:
        assert time_amends(chain([1, 1, -2, 3], [0, 1, 2, 2])) == []

    def test_where_the_first_moment_holds_two_fills_and_a_later_one_closes(self) -> None:
        """The later one ends at the size that the first began with, as if it came before."""
        first, second, last = chain([1, 2, -3], [0, 0, 5])
        assert time_amends([replace(first, venue_ref="z"), replace(second, venue_ref="a"), last]) == []

    def test_where_a_fill_is_missing(self) -> None:
        fills = chain([1, 1, -2, 1, 1, -1, 3], list(range(7)))
        for missing in range(1, 6):
            assert time_amends(fills[:missing] + fills[missing + 1 :]) == []

    def test_where_the_clock_would_have_jumped_by_hours(self) -> None:
        late = WITHIN.total_seconds() + 1
        assert time_amends(chain([1, 1, -2], [0, late + 10, 9])) == []

    def test_where_the_venue_states_no_position_before(self) -> None:
        fills = chain([1, 1], [1, 0])
        assert time_amends([Entry.from_plain(_without(fill)) for fill in fills]) == []


def _without(fill: Entry) -> dict[str, str]:
    return {name: value for name, value in fill.to_plain().items() if name != "position_before"}


@given(
    moves=st.lists(st.integers(-4, 4).filter(bool), min_size=3, max_size=25),
    at=st.integers(1, 24),
    jump=st.floats(0.1, 30),
    seed=st.integers(0, 999),
)
def test_one_step_of_the_clock_never_changes_the_book(
    moves: list[int], at: int, jump: float, seed: int
) -> None:
    """The fold of what a jumping clock gave, with its amends, does what the true sequence does."""
    steady = [float(number) for number in range(len(moves))]
    jumped = [seconds - (jump if number >= at else 0.0) for number, seconds in enumerate(steady)]
    jumped = [max(seconds, 0.25) if number else 0.0 for number, seconds in enumerate(jumped)]
    fills, true = chain(moves, jumped), fold(chain(moves, steady), start=EMPTY)
    arrived = [*fills, *time_amends(fills)]
    Random(seed).shuffle(arrived)
    book = fold(arrived, start=EMPTY)
    assert book.position.size == true.position.size
    chained = true_order(fills)
    if all(
        after.position_before == (before.position_before or 0) + _signed(before)
        for before, after in pairwise(chained)
    ):
        sizes = [(one.position_before, one.side, one.quantity) for one in book.effective]
        assert sizes == [(one.position_before, one.side, one.quantity) for one in chained]


@given(moves=st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=25), gap=st.integers(0, 24))
def test_without_a_jump_nothing_is_ever_amended(moves: list[int], gap: int) -> None:
    fills = chain(moves, [float(number) for number in range(len(moves))])
    assert time_amends(fills) == []
    assert time_amends(fills[:gap] + fills[gap + 1 :]) == []


@given(
    moves=st.lists(st.integers(-4, 4).filter(bool), min_size=1, max_size=25),
    together=st.integers(1, 5),
    seed=st.integers(0, 999),
    gap=st.integers(0, 40),
)
def test_fills_of_one_moment_under_any_references_amend_nothing(
    moves: list[int], together: int, seed: int, gap: int
) -> None:
    """Nor where one of them is missing."""
    fills = chain(moves, [float(number // together) for number in range(len(moves))])
    names = [f"r{number:02}" for number in range(len(fills))]
    Random(seed).shuffle(names)
    fills = [replace(fill, venue_ref=name) for fill, name in zip(fills, names, strict=True)]
    assert time_amends(fills) == []
    assert time_amends(fills[:gap] + fills[gap + 1 :]) == []


def _signed(fill: Entry) -> Decimal:
    quantity = fill.quantity or Decimal(0)
    return quantity if fill.side is Side.BUY else -quantity
