"""What can happen to a copy of the stream process, done to real processes under fills.

After each: the book is the venue's own ledger, no fact is booked twice, and every browser shows what the
servers show. Proven is what follows what; times are printed, and judged with HOLD_TIMES=1 (see `promised`).
"""

import signal
import time

import pytest

from tests.portfolio.faults.rig import until
from tests.portfolio.faults.trading import promised, say
from tests.portfolio.faults.wall import Firewall

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def until_others_took_over(rig, process, trading, fault):
    """Do something to a copy; seconds until another has its account, live."""

    def held():
        return [one for one in trading.accounts if f":{process.pid}:" in rig.feed(one)["copy"]]

    # A starved copy gives its lease back for a moment: wait until it holds one again.
    until(lambda: len(held()) == 1, why=trading.differences)
    its = held()
    fault()
    return until(
        lambda: all(f":{process.pid}:" not in rig.feed(one)["copy"] for one in its) and rig.is_live(*its),
        why=trading.differences,
    )


class TestTwoCopiesOfEverything:
    def test_book_each_fill_once_and_show_the_same(self, copies, trading):
        trading.until_shared()
        trading.over(trading.burst(25))
        trading.check("two streams, two webs")

    def test_say_in_postgres_whose_session_is_whose(self, rig, copies, trading):
        """Who takes over ends what a copy that is gone has left open; by this name it is found."""
        trading.until_shared()
        names = [name for (name,) in rig.query("SELECT application_name FROM pg_stat_activity")]
        for copy in copies:
            its = [name for name in names if f":{copy.pid}:" in name]
            assert its
            assert all(name.startswith("plumbline stream ") for name in its)
            assert f"plumbline leases {copy.pid}" in names


class TestACopyThatDies:
    def test_loses_nothing_and_is_replaced_within_5_seconds(self, rig, trading):
        def killed_mid_burst():
            doomed = rig.copies(2)[0]
            trading.venue.pause(False)
            trading.until_shared()
            burst = trading.burst(50)
            burst.until_turn(12)
            took = until_others_took_over(rig, doomed, trading, lambda: rig.end(doomed, signal.SIGKILL))
            say(f"kill -9 mid-burst: taken over and live after {took:.2f} s")
            trading.over(burst)
            trading.check("kill -9 mid-burst")
            return took

        promised(killed_mid_burst, limit=5)

    def test_drains_and_leaves_within_5_seconds_of_sigterm(self, rig, trading):
        def ended_mid_burst():
            ending = rig.copies(2)[0]
            trading.venue.pause(False)
            trading.until_shared()
            burst = trading.burst(37)
            burst.until_turn(12)
            took = rig.end(ending)
            say(f"SIGTERM mid-burst: gone after {took:.2f} s")
            assert ending.returncode == 0
            trading.over(burst)
            trading.check("SIGTERM mid-burst")
            return took

        promised(ended_mid_burst, limit=5)


class TestACopyThatOnlyLostTheNetwork:
    """A firewall drops its packets to Postgres."""

    @pytest.fixture
    def wall(self, rig):
        wall = Firewall(rig.urls.database)
        yield wall
        wall.close()

    @pytest.fixture
    def walled(self, rig, one_copy, wall):
        process = rig.stream(DATABASE_URL=wall.url)
        yield process
        if process in rig.processes:
            rig.end(process, signal.SIGKILL)

    def test_stops_and_is_replaced_within_8_seconds_and_comes_back(self, rig, walled, wall, trading):
        def cut_off_mid_burst():
            wall.lift()
            trading.venue.pause(False)
            trading.until_shared()
            burst = trading.burst(50)
            burst.until_turn(12)
            took = until_others_took_over(rig, walled, trading, wall.drop)
            say(f"silent packet loss: taken over and live after {took:.2f} s")
            trading.over(burst)
            trading.check("silent packet loss")
            return took

        promised(cut_off_mid_burst, limit=8)
        wall.lift()
        began = time.monotonic()
        trading.until_shared()
        say(f"the network is back: shared again after {time.monotonic() - began:.2f} s")

    def test_leaves_within_5_seconds_of_sigterm(self, rig, walled, wall, trading):
        def told_to_end():
            ending = walled if walled in rig.processes else rig.stream(DATABASE_URL=wall.url)
            wall.lift()
            trading.until_shared()
            wall.drop()
            took = rig.end(ending)
            say(f"SIGTERM behind the firewall: gone after {took:.2f} s")
            return took

        promised(told_to_end, limit=5)
