"""A key that can withdraw is refused wherever it is used first, not only where it is added."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from positions.models import Account
from positions.sync import connections
from positions.venues.base import AccountConfig, Credentials, Denied, Ports, Transient
from positions.venues.keys.vetting import ASK_AGAIN, GOOD_FOR, LOOK_AGAIN, REFUSED_FOR, read_permissions
from positions.venues.registry import open_vetted
from positions.venues.transport.client import Retries
from positions.venues.transport.local_ports import MemoryBudget, MemoryCache
from tests.positions.venues.replay import NOW, Answer, put_in

KEYS = Credentials(api_key="a-key", secret="a-secret")


class Venue:
    """Bybit as it answers a key; counts how often it was asked what the key may do."""

    def __init__(self) -> None:
        self.now = NOW
        self.withdraws = False
        self.down = False
        self.asked = 0
        self.ports = Ports(
            cache=MemoryCache(now=lambda: self.now.timestamp()),
            budget=MemoryBudget(sleep=_at_once),
            clock=self._clock,
        )

    def _clock(self) -> datetime:
        return self.now

    def opened(self, credentials: Credentials = KEYS, **options: Any) -> Any:
        """Our adapter in a process of its own."""
        config = AccountConfig(account="7", venue="bybit", credentials=credentials, options=options)
        venue = open_vetted(config, self.ports)
        venue.client.retries = Retries(attempts=1)
        venue.client.exchange.set_markets([])
        put_in(venue.client, self._answer)
        return venue

    def _answer(self, method: str, url: str, body: Any) -> Answer:
        if "query-api" not in url:
            return Answer({"retCode": 0, "result": {}, "time": 1_700_000_000_000})
        self.asked += 1
        if self.down:
            return Answer("<html>502</html>", status=502)
        wallet = ["AccountTransfer", "Withdraw"] if self.withdraws else ["AccountTransfer"]
        return Answer({"retCode": 0, "result": {"readOnly": 1, "permissions": {"Wallet": wallet}}})


async def _at_once(_: float) -> None:
    """Does not wait."""


@pytest.fixture
def venue() -> Venue:
    return Venue()


class TestAKeyThatCanWithdraw:
    async def test_is_denied_everything_and_told_why(self, venue: Venue) -> None:
        venue.withdraws = True
        adapter = venue.opened()
        for read in (adapter.clock_offset, adapter.marks, adapter.report):
            with pytest.raises(Denied, match=r"account 7 can withdraw.*--allow-withdraw"):
                await read()
        with pytest.raises(Denied, match="can withdraw"):
            await anext(adapter.watch())

    async def test_is_asked_about_once_for_all_processes(self, venue: Venue) -> None:
        venue.withdraws = True
        for _ in range(3):
            with pytest.raises(Denied):
                await venue.opened().clock_offset()
        assert venue.asked == 1

    async def test_is_used_where_the_account_allows_it(self, venue: Venue) -> None:
        venue.withdraws = True
        await venue.opened(allow_withdraw=True).clock_offset()
        assert venue.asked == 0

    async def test_is_used_soon_after_it_was_put_right(self, venue: Venue) -> None:
        venue.withdraws = True
        adapter = venue.opened()
        with pytest.raises(Denied):
            await adapter.clock_offset()
        venue.withdraws = False
        venue.now += REFUSED_FOR + LOOK_AGAIN
        await adapter.clock_offset()

    async def test_is_used_within_a_minute_after_check_venue_saw_it_put_right(self, venue: Venue) -> None:
        venue.withdraws = True
        adapter = venue.opened()
        with pytest.raises(Denied):
            await adapter.clock_offset()
        venue.withdraws = False
        await read_permissions(venue.opened())
        venue.now += LOOK_AGAIN
        await adapter.clock_offset()

    async def test_is_noticed_when_it_was_allowed_to_later(self, venue: Venue) -> None:
        adapter = venue.opened()
        await adapter.clock_offset()
        venue.withdraws = True
        venue.now += GOOD_FOR + LOOK_AGAIN
        with pytest.raises(Denied):
            await adapter.clock_offset()


class TestAKeyThatCannotWithdraw:
    async def test_is_asked_about_once_a_day(self, venue: Venue) -> None:
        adapter = venue.opened()
        for _ in range(24):
            await adapter.clock_offset()
            venue.now += timedelta(minutes=59)
        assert venue.asked == 1

    async def test_is_asked_about_again_when_it_is_another_key(self, venue: Venue) -> None:
        await venue.opened().clock_offset()
        await venue.opened(Credentials(api_key="another", secret="a-secret")).clock_offset()
        assert venue.asked == 2


class TestPermissionsThatCannotBeAsked:
    async def test_leave_the_key_in_use_and_are_asked_again(self, venue: Venue, caplog: Any) -> None:
        venue.down = True
        adapter = venue.opened()
        with caplog.at_level("WARNING"):
            await adapter.clock_offset()
            await adapter.clock_offset()
        assert venue.asked == 1
        assert "could not be asked" in caplog.text

        venue.down, venue.withdraws = False, True
        venue.now += ASK_AGAIN
        with pytest.raises(Denied):
            await adapter.clock_offset()

    async def test_stop_everything_without_the_shared_cache(self, venue: Venue) -> None:
        async def fails(key: str) -> None:
            raise Transient("Redis does not answer")

        venue.ports.cache.get = fails  # type: ignore[method-assign]
        with pytest.raises(Transient):
            await venue.opened().clock_offset()


class TestVettingOfAnAccount:
    def test_that_only_has_an_address_has_no_gate(self, db: None, now: Any) -> None:
        account = Account.objects.create(
            label="Main", venue="hyperliquid", address="0x" + "ab" * 20, created_at=now
        )
        assert connections.connect(account=account).client.gate is None
        connections.forget(account.pk)

    def test_with_a_key_is_vetted_wherever_it_is_connected(self, db: None, now: Any) -> None:
        account = Account.objects.create(
            label="Hedge", venue="bybit", credentials=connections.encrypt(KEYS), created_at=now
        )
        assert connections.connect(account=account).client.gate is not None
        connections.allow_withdraw(account=account)
        assert Account.objects.get().options == {"allow_withdraw": True}
        assert connections.connect(account=account).client.gate is None
        connections.forget(account.pk)
