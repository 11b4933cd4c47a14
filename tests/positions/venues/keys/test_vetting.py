"""A key that can withdraw is refused wherever it is used first, not only where it is added."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from positions.models import Account
from positions.sync import connections
from positions.venues.base import (
    AccountConfig,
    Credentials,
    Denied,
    Environment,
    Permissions,
    Ports,
    Transient,
)
from positions.venues.keys.vetting import (
    ACCEPTANCES,
    ASK_AGAIN,
    GOOD_FOR,
    LOOK_AGAIN,
    REFUSED_FOR,
    read_permissions,
)
from positions.venues.quirks.bybit import Bybit
from positions.venues.registry import open_vetted
from positions.venues.transport.client import Retries
from positions.venues.transport.local_ports import MemoryBudget, MemoryCache
from tests.positions.venues.replay import NOW, Answer, put_in

KEYS = Credentials(api_key="a-key", secret="a-secret")
OTHER = Credentials(api_key="another-key", secret="another-secret")


class Venue:
    """Bybit as it answers a key; counts how often it was asked what the key may do."""

    def __init__(self) -> None:
        self.now = NOW
        self.withdraws = False
        self.trades = False
        self.silent = False
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
        if self.silent:
            return Answer({"retCode": 0, "result": {}})
        wallet = ["AccountTransfer", "Withdraw"] if self.withdraws else ["AccountTransfer"]
        granted = {"Wallet": wallet, "Spot": ["SpotTrade"]}
        return Answer({"retCode": 0, "result": {"readOnly": int(not self.trades), "permissions": granted}})


async def _at_once(_: float) -> None:
    """Does not wait."""


@pytest.fixture(autouse=True)
def _safe(settings: Any) -> None:
    """An installation that takes live keys."""
    settings.CREDENTIALS_KEY_IS_GENERATED, settings.HTTPS = False, True


@pytest.fixture
def venue() -> Venue:
    return Venue()


class TestAKeyThatCanWithdraw:
    async def test_is_denied_everything_and_told_why(self, venue: Venue) -> None:
        venue.withdraws = True
        adapter = venue.opened()
        for read in (adapter.clock_offset, adapter.marks, adapter.report):
            with pytest.raises(Denied, match=r"account 7 is not used; it can withdraw.*--allow-withdraw"):
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

    async def test_is_not_asked_about_where_the_account_accepts_everything(self, venue: Venue) -> None:
        await venue.opened(allow_withdraw=True, allow_trade=True, allow_unknown=True).clock_offset()
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


class TestAKeyThatCanTrade:
    async def test_is_denied_everything_and_told_why(self, venue: Venue) -> None:
        venue.trades = True
        with pytest.raises(Denied, match=r"can trade.*--allow-trade"):
            await venue.opened().clock_offset()

    async def test_is_used_where_the_account_allows_it(self, venue: Venue) -> None:
        venue.trades = True
        await venue.opened(allow_trade=True).clock_offset()

    async def test_is_denied_where_only_withdrawing_is_allowed(self, venue: Venue) -> None:
        venue.trades = venue.withdraws = True
        with pytest.raises(Denied, match="can trade"):
            await venue.opened(allow_withdraw=True).clock_offset()
        with pytest.raises(Denied, match=r"can withdraw and trade.*--allow-withdraw --allow-trade"):
            await venue.opened(allow_unknown=True).clock_offset()


class TestAKeyThatOnlyReads:
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


class TestPermissionsThatTheVenueDoesNotTell:
    async def test_deny_the_key_until_it_is_accepted(self, venue: Venue) -> None:
        venue.silent = True
        with pytest.raises(Denied, match=r"does not say.*--allow-unknown"):
            await venue.opened().clock_offset()
        await venue.opened(allow_unknown=True).clock_offset()


class TestPermissionsThatCannotBeAsked:
    async def test_hold_a_key_back_that_was_never_vetted_until_they_can(self, venue: Venue) -> None:
        venue.down = True
        adapter = venue.opened()
        for _ in range(2):
            with pytest.raises(Transient):
                await adapter.clock_offset()
        assert venue.asked == 1
        venue.down = False
        venue.now += LOOK_AGAIN
        await adapter.clock_offset()

    async def test_leave_a_key_in_use_that_was_vetted_before(self, venue: Venue) -> None:
        adapter = venue.opened()
        await adapter.clock_offset()
        venue.down = True
        venue.now += GOOD_FOR + LOOK_AGAIN
        await adapter.clock_offset()
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
        connections.accept_key(account=account, acceptances=ACCEPTANCES, who="ada")
        assert Account.objects.get().options == dict.fromkeys(ACCEPTANCES, True)
        assert connections.connect(account=account).client.gate is None
        connections.forget(account.pk)

    def test_with_a_key_is_not_saved_before_it_is_vetted(self, db: None, now: Any, monkeypatch: Any) -> None:
        async def asked(_: Any) -> Permissions:
            return Permissions(read=True, trade=True, withdraw=False)

        monkeypatch.setattr(Bybit, "permissions", asked)
        add = {"label": "Hedge", "venue": "bybit", "environment": Environment.LIVE, "now": now, "who": "ada"}
        with pytest.raises(connections.AccountRefusal, match="can trade"):
            connections.add_account(**add, credentials=KEYS)
        assert not Account.objects.exists()
        account = connections.add_account(**add, credentials=KEYS, options={"allow_trade": True})
        with pytest.raises(connections.AccountRefusal, match="can trade"):
            connections.set_credentials(account=account, credentials=OTHER, options={}, who="ada")
        stored = Account.objects.get()
        assert connections.decrypt(stored.credentials, account="") == KEYS
        assert stored.options == {"allow_trade": True}


class TestALiveKey:
    @pytest.mark.parametrize(
        ("setting", "value", "reason"),
        [
            ("CREDENTIALS_KEY_IS_GENERATED", True, "the generated one"),
            ("HTTPS", False, "HTTPS is off"),
            ("DEBUG", True, "DEBUG is on"),
        ],
    )
    def test_is_not_taken_by_an_unsafe_installation(
        self, db: None, now: Any, settings: Any, setting: str, value: bool, reason: str
    ) -> None:
        setattr(settings, setting, value)
        add = {"label": "X", "venue": "bybit", "now": now, "who": "ada", "credentials": KEYS}
        add["options"] = dict.fromkeys(ACCEPTANCES, True)
        with pytest.raises(connections.AccountRefusal, match=reason):
            connections.add_account(environment=Environment.LIVE, **add)
        assert not Account.objects.exists()
        account = connections.add_account(environment=Environment.TESTNET, **add)
        Account.objects.update(environment="live")
        account.refresh_from_db()
        with pytest.raises(connections.AccountRefusal, match=reason):
            connections.set_credentials(account=account, credentials=OTHER, who="ada")


class TestACredentialThatIsNotNeeded:
    @pytest.mark.parametrize("field", ["private_key", "api_key", "secret"])
    def test_is_not_taken_where_an_address_suffices(self, db: None, now: Any, field: str) -> None:
        with pytest.raises(connections.AccountRefusal, match="takes no key"):
            connections.add_account(
                label="Main", venue="hyperliquid", environment=Environment.LIVE, now=now, who="ada",
                address="0x" + "ab" * 20, credentials=Credentials(**{field: "0x" + "cd" * 32}),
                options=dict.fromkeys(ACCEPTANCES, True),
            )  # fmt: skip
        assert not Account.objects.exists()

    def test_is_not_taken_later_either(self, db: None, now: Any) -> None:
        account = connections.add_account(
            label="Main",
            venue="hyperliquid",
            environment=Environment.LIVE,
            now=now,
            who="ada",
            address="0x" + "ab" * 20,
        )
        with pytest.raises(connections.AccountRefusal, match="takes no key"):
            connections.set_credentials(
                who="ada", account=account, credentials=Credentials(private_key="0x" + "cd" * 32)
            )
        assert Account.objects.get().credentials == ""

    @pytest.mark.parametrize(
        ("venue", "credentials", "reason"),
        [
            ("bybit", {"api_key": "a", "secret": "b", "private_key": "c"}, "needs no private_key"),
            ("bybit", {"api_key": "a"}, "also needs secret"),
            ("okx", {"api_key": "a", "secret": "b"}, "also needs password"),
            ("dydx", {"private_key": "0x" + "cd" * 32}, "needs no private_key"),
        ],
    )
    def test_is_named(self, db: None, now: Any, venue: str, credentials: Any, reason: str) -> None:
        with pytest.raises(connections.AccountRefusal, match=reason):
            connections.add_account(
                label="X", venue=venue, environment=Environment.LIVE, now=now, who="ada",
                credentials=Credentials(**credentials), options=dict.fromkeys(ACCEPTANCES, True),
            )  # fmt: skip
