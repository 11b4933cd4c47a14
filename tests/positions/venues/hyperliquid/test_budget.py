"""What Hyperliquid allows one IP address is shared: places on its streams, and what is known of a wallet."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from positions.book.world import World
from positions.sync.redis_ports import RedisBudget, clients
from positions.venues.base import AccountConfig, Environment, Unsupported
from positions.venues.hyperliquid.address_profile import AddressFacts
from positions.venues.hyperliquid.stream import (
    PLACE_FOR,
    RENEW_EVERY,
    STREAMED_ADDRESSES,
    _Stream,
    _StreamPlace,
)
from positions.venues.pacing import Work, at_least
from positions.venues.transport.local_ports import MemoryBudget, MemoryCache
from tests.positions.venues.hyperliquid.test_adapter import held, opened, state
from tests.positions.venues.replay import NOW

START = datetime(2026, 1, 1, tzinfo=UTC)


class Egress:
    """One IP address, and the time there."""

    def __init__(self) -> None:
        self.now = START
        self.budget: Any = MemoryBudget(now=lambda: self.now.timestamp())

    def place(self, number: int, *, environment: Environment = Environment.LIVE) -> _StreamPlace:
        config = AccountConfig(account=str(number), venue="hyperliquid", environment=environment)
        ports = SimpleNamespace(budget=self.budget, clock=lambda: self.now)
        client = SimpleNamespace(config=config, ports=ports, budget_key=f"{config.server}|{config.egress}")
        return _StreamPlace(client, f"0x{number:040x}")


@pytest.fixture
def egress() -> Egress:
    return Egress()


class TestPlacesOnHyperliquidsStreams:
    async def fill(self, egress: Egress) -> list[_StreamPlace]:
        places = [egress.place(number) for number in range(STREAMED_ADDRESSES)]
        for place in places:
            await place.__aenter__()
        return places

    async def test_are_ten_and_the_eleventh_account_is_told_to_poll(self, egress: Egress) -> None:
        await self.fill(egress)
        with pytest.raises(Unsupported, match=r"10 addresses.*polled"):
            await egress.place(10).__aenter__()

    async def test_are_given_back_at_the_end(self, egress: Egress) -> None:
        places = await self.fill(egress)
        await places[3].__aexit__()
        await egress.place(10).__aenter__()

    async def test_are_one_for_an_address_that_two_accounts_share(self, egress: Egress) -> None:
        await self.fill(egress)
        await egress.place(4).__aenter__()

    async def test_outlive_whoever_died_by_a_minute_only(self, egress: Egress) -> None:
        await self.fill(egress)
        egress.now += PLACE_FOR + timedelta(seconds=1)
        await egress.place(10).__aenter__()

    async def test_are_kept_by_who_still_streams(self, egress: Egress) -> None:
        places = await self.fill(egress)
        for _ in range(6):
            egress.now += RENEW_EVERY
            for place in places:
                await place.keep()
        with pytest.raises(Unsupported):
            await egress.place(10).__aenter__()

    async def test_do_not_count_on_a_simulated_venue(self, egress: Egress) -> None:
        for number in range(STREAMED_ADDRESSES + 5):
            await egress.place(number, environment=Environment.SIMULATED).__aenter__()

    async def test_are_counted_in_redis(self, egress: Egress) -> None:
        egress.budget = RedisBudget()
        places = await self.fill(egress)
        with pytest.raises(Unsupported):
            await egress.place(10).__aenter__()
        await places[0].__aexit__()
        await egress.place(10).__aenter__()
        await clients.close()

    async def test_taken_by_another_program_are_said_by_the_venue(self) -> None:
        venue, _ = await opened({})
        frame = {"channel": "error", "data": "Cannot track more than 10 total users."}
        with pytest.raises(Unsupported, match="polled"):
            await _Stream(venue, venue.client, venue.profile, symbols=None)._read(frame)


def worth(money: str) -> dict[str, Any]:
    """The state of a dex that holds money and no position."""
    found: dict[str, Any] = state(marginSummary={**state()["marginSummary"], "accountValue": money})
    return found


class TestTheProfileOfAnAddress:
    async def asked(self, cache: MemoryCache, *, on_flx: str = "0.0") -> Counter[str]:
        """What a process asks for its first report."""
        told = {"clearinghouseState": state(held("ETH", "1")), "clearinghouseState:flx": worth(on_flx)}
        venue, session = await opened(told)
        venue.profile._cache = cache
        await venue.report()
        return Counter(f"{body['type']}:{body.get('dex', '')}" for _, _, body in session.requests)

    async def test_is_read_by_one_process_for_all(self) -> None:
        cache = MemoryCache()
        first, second = await self.asked(cache), await self.asked(cache)
        every_dex = {"clearinghouseState:flx": 1, "userAbstraction:": 1}
        assert first - second == every_dex
        assert second == {"clearinghouseState:": 1, "spotClearinghouseState:": 1}

    async def test_includes_a_dex_that_another_process_saw_money_on(self) -> None:
        cache = MemoryCache()
        await self.asked(cache, on_flx="12.5")
        assert "clearinghouseState:flx" in await self.asked(cache, on_flx="12.5")

    async def test_includes_a_dex_that_another_process_saw_in_use(self) -> None:
        cache = MemoryCache()
        await self.asked(cache)
        venue, _ = await opened({"clearinghouseState:flx": state(held("flx:CRCL", "1"))})
        venue.profile._cache = cache
        await venue.report(scopes=["flx"])
        assert "clearinghouseState:flx" in await self.asked(cache)

    def test_is_joined_so_that_no_dex_in_use_is_forgotten(self) -> None:
        mine = AddressFacts(dexes=frozenset({"flx"}), looked_at=NOW, mode="default", mode_at=NOW)
        later = NOW + timedelta(hours=1)
        theirs = AddressFacts(dexes=frozenset({"xyz"}), mode="unifiedAccount", mode_at=later)
        both = AddressFacts(frozenset({"flx", "xyz"}), NOW, "unifiedAccount", later)
        assert mine.joined(theirs) == theirs.joined(mine) == both


class TestPacingOfPolls:
    @pytest.mark.parametrize(("accounts", "seconds"), [(1, 40), (2, 80), (10, 400)])
    def test_gives_many_wallets_longer_waits(self, accounts: int, seconds: int) -> None:
        gap = at_least(world=World("hyperliquid", "live"), work=Work.FILLS, accounts=accounts)
        assert gap == timedelta(seconds=seconds)

    def test_limits_no_venue_whose_weights_are_not_known_to_be_scarce(self) -> None:
        assert at_least(world=World("bybit", "live"), work=Work.FILLS, accounts=50) == timedelta(0)
