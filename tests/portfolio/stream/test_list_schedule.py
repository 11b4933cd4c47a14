from datetime import UTC, datetime, timedelta

import pytest

from portfolio.stream.list_schedule import CASH_WITHOUT_STREAM, SWEEP, ListSchedule
from positions.venues.base import Method

START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
FILLS, CASH = [Method.FILLS], [Method.FUNDING, Method.TRANSFERS]


def after(seconds):
    return START + timedelta(seconds=seconds)


@pytest.fixture
def read():
    """A schedule whose lists have just been read."""
    schedule = ListSchedule(poll_every=timedelta(seconds=3))
    schedule.begin([*FILLS, *CASH])
    schedule.done([*FILLS, *CASH], now=START)
    return schedule


class TestAnAccountNobodyWatchedYet:
    def test_reads_its_fills_and_then_the_rest(self):
        schedule = ListSchedule(poll_every=timedelta(seconds=3))
        assert schedule.due(now=START, flows=True) == FILLS
        schedule.begin(FILLS)
        schedule.done(FILLS, now=START)
        assert schedule.due(now=START, flows=True) == CASH


class TestWhileTheStreamFlows:
    def test_lists_are_read_only_now_and_then(self, read):
        assert read.due(now=after(119), flows=True) == []
        assert read.due(now=START + SWEEP[Method.FILLS], flows=True) == FILLS

    def test_a_gap_is_read_at_once(self, read):
        read.ask(Method.FILLS)
        assert read.due(now=after(1), flows=True) == FILLS

    def test_a_gap_noticed_during_a_reading_is_read_after_it(self, read):
        read.ask()
        read.begin(FILLS)
        read.ask(Method.FILLS)
        read.done(FILLS, now=after(1))
        assert read.due(now=after(1), flows=True) == FILLS


class TestWhileNothingFlows:
    def test_fills_are_polled(self, read):
        assert read.due(now=after(2), flows=False) == []
        assert read.due(now=after(3), flows=False) == FILLS

    def test_cash_is_polled_less_often(self, read):
        read.done(FILLS, now=START + CASH_WITHOUT_STREAM)
        assert read.due(now=START + CASH_WITHOUT_STREAM, flows=False) == CASH


class TestAReadingThatFailed:
    def test_is_tried_again_but_not_before_its_time(self, read):
        read.ask()
        read.begin(FILLS)
        read.failed(FILLS, until=after(10))
        assert read.due(now=after(9), flows=True) == []
        assert read.due(now=after(10), flows=True) == FILLS
