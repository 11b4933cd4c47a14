"""What can happen to Redis and Postgres. See test_copies."""

import contextlib
import time

import pytest
import redis

from tests.portfolio.faults.rig import until
from tests.portfolio.faults.trading import say

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def published(rig, trading):
    """Whether the live log tells of every change of these accounts."""
    with contextlib.suppress(redis.RedisError):
        done = {int(key): int(value) for key, value in rig.redis.hgetall("plumbline:published").items()}
        heads = dict(rig.query("SELECT account_id, sequence FROM positions_accounthead"))
        return all(done.get(one, 0) == heads[one] for one in trading.accounts)
    return False


class TestRedis:
    def test_may_be_flushed(self, rig, copies, trading):
        trading.until_live()
        burst = trading.burst(25)
        burst.until_turn(7)
        rig.redis.flushall()
        trading.over(burst)
        trading.check("Redis flushed")
        until(lambda: published(rig, trading), why=trading.differences)
        trading.until_live()

    def test_may_be_restarted(self, rig, copies, trading):
        trading.until_live()
        burst = trading.burst(37)
        burst.until_turn(2)
        port = rig.services.valkey.port()
        rig.services.valkey.stop()
        burst.until_turn(12)  # fills come while it is away
        rig.services.valkey.start(port)
        trading.over(burst)
        trading.check("Redis restarted")
        took = until(lambda: published(rig, trading), why=trading.differences)
        say(f"Redis restarted: live log complete {took:.2f} s later")
        trading.until_live()


class TestPostgres:
    def test_may_be_restarted(self, rig, copies, trading):
        trading.until_live()
        burst = trading.burst(50)
        burst.until_turn(7)
        port = rig.services.postgres.port()
        rig.services.postgres.stop()
        rig.services.postgres.start(port)
        began = time.monotonic()
        trading.over(burst)
        trading.check("Postgres restarted")
        trading.until_live()
        say(f"Postgres restarted: live again within {time.monotonic() - began:.2f} s of its return")
        assert all(process.poll() is None for process in copies)
