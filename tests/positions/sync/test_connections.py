"""One venue per account and process, and one budget per address for all processes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from positions.models import Account
from positions.sync import connections
from positions.sync.redis_ports import RedisBudget, RedisCache, clients
from positions.venues.base import RateLimited, Transient, Unsupported

ADDRESS = "0x" + "ab" * 20


@pytest.fixture
def account(db: None, now: Any) -> Account:
    return Account.objects.create(label="Main", venue="hyperliquid", address=ADDRESS, created_at=now)


class TestConnect:
    def test_gives_the_same_venue_while_nothing_changed(self, account: Account) -> None:
        assert connections.connect(account=account) is connections.connect(account=account)
        connections.forget(account.pk)

    def test_a_changed_address_is_another_connection(self, account: Account) -> None:
        first = connections.connect(account=account)
        account.address = "0x" + "cd" * 20
        assert connections.connect(account=account) is not first
        connections.forget(account.pk)

    def test_a_manual_account_has_no_venue(self, db: None, now: Any) -> None:
        manual = Account.objects.create(label="By hand", venue="manual", environment="manual", created_at=now)
        with pytest.raises(Unsupported, match="no venue"):
            connections.connect(account=manual)


class Sleeps:
    def __init__(self) -> None:
        self.waited: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)


async def _close() -> None:
    await clients.close()


class TestRedisBudget:
    async def test_ten_users_together_stay_under_the_limit(self) -> None:
        """Ten buckets' users, one bucket: a burst of 20, then 10 a second; the last of 60 waits
        for 40 tokens.
        """
        processes = [(RedisBudget(sleep=sleep), sleep) for sleep in (Sleeps() for _ in range(10))]

        async def one(budget: RedisBudget) -> None:
            for _ in range(6):
                await budget.spend("venue", 1, capacity=20, per_second=10)

        await asyncio.gather(*(one(budget) for budget, _ in processes))
        waits = sorted(wait for _, sleep in processes for wait in sleep.waited)
        await _close()

        assert 35 <= len(waits) <= 40, "twenty fit into the burst (a few more trickled in)"
        assert 3.0 < waits[-1] <= 4.0

    async def test_refuses_a_wait_that_is_too_long_without_taking_tokens(self) -> None:
        budget = RedisBudget(sleep=Sleeps())
        await budget.spend("venue", 10, capacity=10, per_second=0.1)
        for _ in range(2):
            with pytest.raises(RateLimited) as refused:
                await budget.spend("venue", 10, capacity=10, per_second=0.1)
            assert timedelta(seconds=95) < refused.value.for_ <= timedelta(seconds=100)
        await _close()

    async def test_a_pause_holds_everybody(self) -> None:
        first, other, sleep = RedisBudget(), RedisBudget(sleep=Sleeps()), Sleeps()
        await first.pause("venue", timedelta(seconds=5))
        waiting = RedisBudget(sleep=sleep)
        await waiting.spend("venue", 1, capacity=20, per_second=10)
        await other.spend("another venue", 1, capacity=20, per_second=10)
        await _close()
        assert 4.5 < sleep.waited[0] <= 5

    async def test_sends_nothing_without_redis(self, settings: Any) -> None:
        await _close()
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        with pytest.raises(Transient, match="Redis does not answer"):
            await RedisBudget().spend("venue", 1, capacity=20, per_second=10)
        await _close()


class TestRedisCache:
    async def test_gives_back_what_was_kept(self) -> None:
        cache = RedisCache()
        assert await cache.get("nothing") is None
        await cache.set("something", b"bytes", timedelta(seconds=5))
        assert await cache.get("something") == b"bytes"
        await _close()
