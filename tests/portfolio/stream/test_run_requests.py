from datetime import timedelta

import pytest

from portfolio.stream.run_requests import RunRequests
from reconciliation.models import Trigger


@pytest.fixture
def run_requests():
    return RunRequests()


class TestAStreamThatComesUp:
    def test_asks_for_a_run_once_what_was_missed_has_been_read(self, run_requests, now):
        run_requests.stream_came_up()
        assert run_requests.due(now=now, live=False) is None
        assert run_requests.due(now=now, live=True) is Trigger.START
        assert run_requests.due(now=now, live=True) is None

    def test_asks_again_after_each_reconnect(self, run_requests, now):
        run_requests.stream_came_up()
        run_requests.due(now=now, live=True)
        run_requests.stream_came_up()
        assert run_requests.due(now=now + timedelta(minutes=5), live=True) is Trigger.RECONNECT

    def test_that_comes_and_goes_asks_once_in_thirty_seconds(self, run_requests, now):
        asked = []
        for second in range(120):
            run_requests.stream_came_up()
            asked += [run_requests.due(now=now + timedelta(seconds=second), live=True)]
        assert [second for second, trigger in enumerate(asked) if trigger] == [0, 30, 60, 90]

    def test_asks_later_for_what_it_did_not_ask_at_once(self, run_requests, now):
        run_requests.stream_came_up()
        run_requests.due(now=now, live=True)
        run_requests.stream_came_up()
        assert run_requests.due(now=now + timedelta(seconds=5), live=True) is None
        assert run_requests.due(now=now + timedelta(seconds=30), live=True) is Trigger.RECONNECT
