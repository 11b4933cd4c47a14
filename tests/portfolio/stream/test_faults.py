"""What can go wrong on the way from a venue's fill to the book, done to real processes.

After each fault: the book is the venue's own ledger, and no fact is booked twice. Recovery times are printed.
"""

import contextlib
import signal
import socket
import sys
import threading
import time

import psycopg
import pytest
import redis

from tests.portfolio.stream.rig import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture
def trading(rig, venue):
    return Trading(rig, venue)


def say(text):
    """Figures for whoever runs with -s."""
    sys.stdout.write(f"{text}\n")


class Trading:
    """Two traders, watched and live; `check(fault)` proves the book once trading has stopped."""

    def __init__(self, rig, venue):
        self.rig, self.venue = rig, venue
        self.users = venue.users()
        self.accounts = [rig.account(venue, user, f"trader {n}") for n, user in enumerate(self.users)]

    def until_live(self, seconds=60):
        took = until(lambda: self.rig.is_live(*self.accounts), seconds, why=self.differences)
        self.rig.forget_budgets()
        return took

    def until_shared(self):
        until(lambda: len({self.rig.feed(one)["copy"] for one in self.accounts}) == 2, 15)
        self.until_live()

    def burst(self, seconds):
        """About 40 fills a second for a while, in the background; returns the thread."""

        def trade():
            end = time.monotonic() + seconds
            turn = 0
            while time.monotonic() < end:
                for user in self.users:
                    with contextlib.suppress(OSError):
                        self.venue.trade(user, "0.05", side="sell" if turn % 3 == 2 else "buy")
                turn += 1
                time.sleep(0.04)

        thread = threading.Thread(target=trade, daemon=True)
        thread.start()
        return thread

    def check(self, fault, seconds=30):
        """Stop trading; the book must become the truth. Prints how long that took."""
        self.venue.pause()
        took = until(self.agree, seconds, why=self.differences)
        fills = sum(self.rig.fills(account) for account in self.accounts)
        assert fills > 0
        say(f"{fault}: book = truth {took:.2f} s after the last trade, {fills} fills")
        return took

    def agree(self):
        return all(
            self.rig.agrees(self.venue, user, account)
            for user, account in zip(self.users, self.accounts, strict=True)
        )

    def differences(self):
        told = [
            (self.rig.feed(account), self.rig.differences(self.venue, user, account))
            for user, account in zip(self.users, self.accounts, strict=True)
        ]
        return f"{told}\n{self.rig.log.read_text()[-4000:]}"


class TestACopyThatDies:
    def test_loses_nothing_and_is_replaced_within_5_seconds(self, rig, copies, trading):
        trading.until_shared()
        burst = trading.burst(3)
        time.sleep(1)
        doomed = copies[0]
        took = self.until_others_took_over(rig, doomed, trading, lambda: rig.end(doomed, signal.SIGKILL))
        say(f"kill -9 mid-burst: taken over and live after {took:.2f} s")
        assert took < 5
        burst.join()
        trading.check("kill -9 mid-burst")

    def test_drains_and_leaves_within_5_seconds_of_sigterm(self, rig, copies, trading):
        trading.until_shared()
        burst = trading.burst(2)
        time.sleep(1)
        took = rig.end(copies[0])
        say(f"SIGTERM mid-burst: gone after {took:.2f} s")
        assert took < 5
        assert copies[0].returncode == 0
        burst.join()
        trading.check("SIGTERM mid-burst")

    def test_that_only_lost_the_network_stops_before_another_watches(self, rig, one_copy, trading):
        """A firewall drops its packets to Postgres: no connection is closed, nothing is refused."""
        wall = Firewall(rig.urls.database)
        walled = rig.stream(DATABASE_URL=wall.url)
        until(lambda: rig.redis.hlen("plumbline:stream:copies") == 2, 60)
        trading.until_shared()
        trading.burst(2)
        took = self.until_others_took_over(rig, walled, trading, wall.drop)
        say(f"silent packet loss: taken over and live after {took:.2f} s")
        assert took < 8
        trading.check("silent packet loss")
        took = rig.end(walled)
        say(f"SIGTERM behind the firewall: gone after {took:.2f} s")
        assert took < 5.5

    @staticmethod
    def until_others_took_over(rig, process, trading, fault):
        its = [one for one in trading.accounts if f":{process.pid}:" in rig.feed(one)["copy"]]
        assert len(its) == 1
        fault()
        return until(
            lambda: all(f":{process.pid}:" not in rig.feed(one)["copy"] for one in its) and rig.is_live(*its),
            15,
            why=trading.differences,
        )


class Firewall:
    """Between a copy and Postgres; `drop()` lets nothing through any more, without a word."""

    def __init__(self, database):
        self._target = psycopg.conninfo.conninfo_to_dict(database)
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.url = database.replace(f":{self._target['port']}/", f":{port}/")
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self):
        self._closed.set()

    def _accept(self):
        while True:
            inside, _ = self._server.accept()
            if self._closed.is_set():
                self._kept = [*getattr(self, "_kept", []), inside]
                continue
            outside = socket.create_connection(("127.0.0.1", int(self._target["port"])))
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._closed.is_set():
                    threading.Event().wait()
                target.sendall(data)
            target.close()


class TestTheVenuesSocket:
    @pytest.mark.parametrize(
        ("name", "faults"),
        [
            ("cut", [{"kind": "cut"}]),
            ("cut without a word", [{"kind": "cut", "hard": True}]),
            ("shuffled and repeated", [{"kind": "shuffle", "for": 0.5}, {"kind": "duplicate", "for": 1.5}]),
            ("frames lost", [{"kind": "drop", "channel": "userFills", "for": 1.5}]),
            ("silent", [{"kind": "silence", "for": 7}]),
        ],
    )
    def test_may_break_in_every_way(self, rig, venue, one_copy, trading, name, faults):
        trading.until_live()
        burst = trading.burst(1.5)
        time.sleep(0.3)
        for fault in faults:
            venue.cause(**fault)
        burst.join()
        if name == "silent":
            took = until(lambda: rig.feed(trading.accounts[0])["state"] == "stale", 8)
            say(f"silent: said so {took + 1.2:.1f} s after its last frame")
        trading.check(name)
        trading.until_live()

    def test_of_one_account_that_fails_leaves_the_others_alone(self, rig, venue, one_copy, trading):
        trading.until_live()
        nobody = rig.account(venue, "0x" + "9" * 40, "nobody there")
        until(lambda: "has no account" in (rig.feed(nobody).get("reason") or ""), 15)
        assert rig.feed(nobody)["state"] == "down"
        trading.burst(1).join()
        trading.check("another account's failure")
        assert rig.is_live(*trading.accounts)


class TestTheServices:
    def test_redis_may_be_flushed_and_restarted(self, rig, venue, copies, trading):
        trading.until_live()
        burst = trading.burst(1)
        rig.redis.flushall()
        burst.join()
        trading.check("Redis flushed")
        until(lambda: self.published(rig, trading), 5)
        trading.until_live()
        venue.pause(False)
        burst = trading.burst(2)
        rig.services.valkey.stop()
        time.sleep(1)
        rig.services.valkey.start(rig.services.valkey.port())
        burst.join()
        trading.check("Redis restarted")
        took = until(lambda: self.published(rig, trading), 10)
        say(f"Redis restarted: live log complete {took:.2f} s later")
        trading.until_live()

    @staticmethod
    def published(rig, trading):
        """Whether the live log tells of every change of these accounts."""
        with contextlib.suppress(redis.RedisError):
            done = {int(key): int(value) for key, value in rig.redis.hgetall("plumbline:published").items()}
            heads = dict(rig.query("SELECT account_id, sequence FROM positions_accounthead"))
            return all(done.get(one, 0) == heads[one] for one in trading.accounts)
        return False

    def test_postgres_may_be_restarted(self, rig, venue, copies, trading):
        trading.until_live()
        burst = trading.burst(3)
        time.sleep(0.5)
        port = rig.services.postgres.port()
        rig.services.postgres.stop()
        rig.services.postgres.start(port)
        began = time.monotonic()
        burst.join()
        trading.check("Postgres restarted")
        trading.until_live()
        say(f"Postgres restarted: live again within {time.monotonic() - began:.2f} s of its return")
        assert all(process.poll() is None for process in copies)


class TestAFill:
    def test_is_booked_and_told_within_milliseconds(self, rig, venue, one_copy, trading):
        trading.until_live()
        trading.check("before")
        time.sleep(0.5)
        times = sorted(self.booked_after(rig, venue, trading.users[0]) for _ in range(20))
        say(f"order sent to fill booked and told: p50 {times[10]:.1f} ms, worst {times[-1]:.1f} ms")
        assert times[10] < 100, "an idle writer books at once (generous: the machine is shared)"

    @staticmethod
    def booked_after(rig, venue, user):
        """Milliseconds from an order's request to the frame that tells of its fill."""
        time.sleep(0.02)
        reader = rig.redis
        last = reader.xinfo_stream("plumbline:live")["last-generated-id"]
        began = time.perf_counter()
        venue.trade(user, "0.01")
        while True:
            [[_, frames]] = reader.xread({"plumbline:live": last}, block=3000)
            last = frames[-1][0]
            if any(fields[b"kind"] == b"book" for _, fields in frames):
                return (time.perf_counter() - began) * 1000
