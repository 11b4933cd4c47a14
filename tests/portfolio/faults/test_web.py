"""What can happen to a web process, and how soon its browsers see a fill. See test_copies."""

import time

import pytest

from tests.portfolio.faults.rig import kill, until
from tests.portfolio.faults.trading import promised, say

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class TestAWebProcess:
    def test_may_be_killed_and_started_again(self, rig, one_copy, trading, watching):
        trading.until_live()
        burst = trading.burst(37)
        doomed = rig.webs()[0]
        connections = watching.screens["named"].connections + watching.screens["compact"].connections
        burst.until_turn(7)
        kill(doomed.process)
        doomed.start()
        began = time.monotonic()
        trading.over(burst)
        doomed.until_up()
        trading.check("web killed")
        say(f"web killed: browsers right again within {time.monotonic() - began:.2f} s of its start")
        after = watching.screens["named"].connections + watching.screens["compact"].connections
        assert after > connections, "somebody's socket was cut"


class TestAFill:
    def test_is_booked_and_told_within_milliseconds(self, rig, venue, one_copy, trading):
        trading.until_live()
        trading.check("before")
        user = trading.users[0]

        def median():
            times = sorted(booked_after(rig, venue, user) for _ in range(15))
            say(f"order sent to fill booked and told: p50 {times[7]:.1f} ms, worst {times[-1]:.1f} ms")
            return times[7]

        promised(median, limit=250)  # 8 ms on a quiet machine


def booked_after(rig, venue, user):
    """Milliseconds from an order's request to the frame that tells of its fill."""
    time.sleep(0.02)
    reader = rig.redis
    last = [reader.xinfo_stream("plumbline:live")["last-generated-id"]]
    began = time.perf_counter()
    venue.trade(user, "0.01")

    def told():
        for _, frames in reader.xread({"plumbline:live": last[0]}, block=1000) or ():
            last[0] = frames[-1][0]
            return any(fields[b"kind"] == b"book" for _, fields in frames)
        return False

    until(told, every=0)
    return (time.perf_counter() - began) * 1000
