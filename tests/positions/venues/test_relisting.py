"""How soon, and how often at most, a venue is asked again because of a symbol that nobody knows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from positions.venues.instruments.relisting import AT_MOST_EVERY, LONGEST_WAIT, Relisting

START = datetime(2026, 1, 15, 12, tzinfo=UTC)


def after(seconds):
    return START + timedelta(seconds=seconds)


class TestASymbolThatNobodyKnows:
    def test_is_asked_for_at_once(self):
        relisting = Relisting()
        assert relisting.is_due("venue", ["NEW"], now=START)
        assert relisting.is_due("other venue", ["NEW"], now=START)

    def test_is_asked_for_at_once_though_another_was_asked_for_a_moment_ago(self):
        relisting = Relisting()
        relisting.is_due("venue", ["NEW"], now=START)
        assert not relisting.is_due("venue", ["NEWER"], now=after(1))
        assert relisting.is_due("venue", ["NEWER"], now=START + AT_MOST_EVERY)

    def test_that_stays_unknown_is_asked_for_ever_more_seldom(self):
        relisting, asked = Relisting(), []
        for second in range(3600):
            if relisting.is_due("venue", ["NONSENSE"], now=after(second)):
                asked.append(second)
        waits = [later - earlier for earlier, later in pairwise(asked)]
        assert waits[:5] == [10, 20, 40, 80, 160]
        assert set(waits[5:]) == {LONGEST_WAIT.total_seconds()}

    def test_does_not_delay_another_one(self):
        relisting = Relisting()
        for second in range(0, 600, 5):
            relisting.is_due("venue", ["NONSENSE"], now=after(second))
        assert relisting.is_due("venue", ["NONSENSE", "NEW"], now=after(605))

    def test_costs_bounded_memory(self):
        relisting = Relisting()
        for number in range(5_000):
            relisting.is_due("venue", [f"X{number}"], now=after(5 * number))
        assert len(relisting._waits) < 1_100
