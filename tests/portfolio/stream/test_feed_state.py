from datetime import timedelta

import pytest

from portfolio.stream.feed_state import FeedState
from positions.sync.feeds import State


@pytest.fixture
def told():
    return []


@pytest.fixture
def feed(now, told):
    return FeedState(account=7, copy="here", now=now, tell=told.append)


class TestAFeedState:
    def test_is_told_once_a_change(self, feed, told, now):
        feed.move(State.LIVE, now=now)
        feed.move(State.LIVE, now=now)
        assert [one.state for one in told] == [State.LIVE]

    def test_keeps_since_when_while_only_its_progress_changes(self, feed, told, now):
        feed.move(State.BACKFILLING, now=now, progress={"booked": 1})
        feed.move(State.BACKFILLING, now=now + timedelta(seconds=5), progress={"booked": 2})
        assert [one.since for one in told] == [now, now]
        assert [one.progress for one in told] == [{"booked": 1}, {"booked": 2}]

    def test_is_down_while_the_book_cannot_be_written_whatever_the_venue_says(self, feed, told, now):
        feed.move(State.LIVE, now=now)
        feed.unwritten("Postgres is away", now=now)
        feed.move(State.BACKFILLING, now=now, reason="connected")
        assert (feed.feed.state, feed.feed.reason) == (State.DOWN, "Postgres is away")
        feed.unwritten("", now=now)
        assert (feed.feed.state, feed.feed.reason) == (State.BACKFILLING, "connected")

    def test_goes_on_saying_why_an_account_is_polled(self, feed, told, now):
        feed.polled(reason="others have the ten places")
        feed.move(State.LIVE, now=now)
        assert (feed.feed.streams, feed.feed.reason) == (False, "others have the ten places")
