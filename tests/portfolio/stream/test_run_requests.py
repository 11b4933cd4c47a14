from datetime import timedelta

import pytest

from portfolio.stream.run_requests import Arrivals
from reconciliation.models import Trigger


@pytest.fixture
def arrivals():
    return Arrivals()


class TestAStreamThatComesUp:
    def test_asks_for_a_run_once_what_was_missed_has_been_read(self, arrivals, now):
        arrivals.arrived()
        assert arrivals.due(now=now, live=False) is None
        assert arrivals.due(now=now, live=True) is Trigger.START
        assert arrivals.due(now=now, live=True) is None

    def test_asks_again_after_each_reconnect(self, arrivals, now):
        arrivals.arrived()
        arrivals.due(now=now, live=True)
        arrivals.arrived()
        assert arrivals.due(now=now + timedelta(minutes=5), live=True) is Trigger.RECONNECT

    def test_that_comes_and_goes_asks_once_in_thirty_seconds(self, arrivals, now):
        asked = []
        for second in range(120):
            arrivals.arrived()
            asked += [arrivals.due(now=now + timedelta(seconds=second), live=True)]
        assert [second for second, trigger in enumerate(asked) if trigger] == [0, 30, 60, 90]

    def test_asks_later_for_what_it_did_not_ask_at_once(self, arrivals, now):
        arrivals.arrived()
        arrivals.due(now=now, live=True)
        arrivals.arrived()
        assert arrivals.due(now=now + timedelta(seconds=5), live=True) is None
        assert arrivals.due(now=now + timedelta(seconds=30), live=True) is Trigger.RECONNECT
