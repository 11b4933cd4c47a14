from datetime import timedelta

import orjson

from positions import live
from positions.sync import feeds
from positions.sync.feeds import Feed, State


def feed(now, **facts):
    return Feed(**({"account": 7, "state": State.LIVE, "since": now, "at": now} | facts))


class TestAFeed:
    def test_reads_back_as_it_was_kept(self, now):
        kept = feed(now, last_event=now, reason="connected", progress={"feed": "fills", "booked": 1, "of": 2})
        feeds.keep(feeds=[kept])
        assert feeds.known(now=now) == {7: kept}

    def test_that_changes_is_published_on_the_live_log(self, now, redis_server):
        feeds.tell(feed=feed(now, state=State.STALE, reason="silent"))
        [(_, fields)] = redis_server.xrange(live.LIVE)
        assert (fields[b"kind"], fields[b"account"]) == (b"feed", b"7")
        assert orjson.loads(fields[b"frame"])["state"] == "stale"

    def test_that_nobody_speaks_of_any_more_is_down_since_it_was_last_heard_of(self, now):
        feeds.keep(feeds=[feed(now)])
        later = now + timedelta(seconds=6)
        assert feeds.known(now=later)[7].state is State.DOWN
        assert feeds.known(now=later)[7].since == now
        assert feeds.known(now=later)[7].reason == feeds.NOBODY


class TestWatchedAccounts:
    def test_are_those_somebody_spoke_of_in_the_last_5_seconds(self, now):
        feeds.keep(feeds=[feed(now), feed(now - timedelta(seconds=6), account=8)])
        assert feeds.watched(now=now) == {7}

    def test_are_watched_also_while_their_feed_is_down(self, now):
        """The stream tries again and asks by itself: the beat would only spend the venue's budget."""
        feeds.keep(feeds=[feed(now, state=State.DOWN)])
        assert feeds.watched(now=now) == {7}
