"""What can happen to a venue's socket. See test_copies."""

import time

import pytest

from tests.portfolio.faults.rig import until
from tests.portfolio.faults.trading import say

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class TestTheVenuesSocket:
    @pytest.mark.parametrize(
        ("name", "faults"),
        [
            ("cut", [{"kind": "cut"}]),
            ("cut without a word", [{"kind": "cut", "hard": True}]),
            ("shuffled and repeated", [{"kind": "shuffle", "for": 0.5}, {"kind": "duplicate", "for": 1}]),
            ("frames lost", [{"kind": "drop", "channel": "userFills", "for": 1}]),
        ],
    )
    def test_may_break_in_every_way(self, venue, one_copy, trading, name, faults):
        trading.until_live()
        burst = trading.burst(25)
        burst.until_turn(5)
        for fault in faults:
            venue.cause(**fault)
        trading.over(burst)
        trading.check(name)
        trading.until_live()

    def test_may_fall_silent_and_the_feed_says_so(self, rig, venue, one_copy, trading):
        trading.until_live()
        burst = trading.burst(25)
        venue.cause(kind="silence", **{"for": 60})
        began = time.monotonic()
        trading.over(burst)
        until(lambda: rig.feed(trading.accounts[0])["state"] == "stale", why=trading.differences)
        say(f"silent: said so {time.monotonic() - began:.1f} s after its last frame")
        trading.check("silent")
        venue.clear()
        trading.until_live()

    def test_of_one_account_that_fails_leaves_the_others_alone(self, rig, venue, one_copy, trading):
        trading.until_live()
        nobody = rig.account(venue, "0x" + "9" * 40, "nobody there")
        until(
            lambda: "has no account" in (rig.feed(nobody).get("reason") or ""),
            why=lambda: str(rig.feed(nobody)),
        )
        assert rig.feed(nobody)["state"] == "down"
        trading.over(trading.burst(12))
        trading.check("another account's failure")
        assert rig.is_live(*trading.accounts)
