import asyncio
import contextlib
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from portfolio.stream import prices as module
from portfolio.stream.price_board import PriceBoard
from portfolio.stream.prices import Prices, _before_try, _PriceLead
from positions.book.world import World
from positions.models import Account
from positions.sync.feed_queries import HeldInstrument
from positions.venues.base import RateLimited, VenueMark


class Bybit:
    """A venue that knows one price."""

    def __init__(self):
        self.asked = []

    async def marks(self, *, symbols):
        self.asked.append(set(symbols))
        return (
            VenueMark(
                venue_symbol="PEPE/USDT:USDT", price=Decimal("0.01"), source="last", time=timezone.now()
            ),
        )

    async def close(self):
        return None


class Beside:
    """Threads that do the work at once."""

    async def ask(self, work, /, *args, **kwargs):
        return work(*args, **kwargs)


@pytest.fixture
def bybit(monkeypatch):
    venue = Bybit()
    monkeypatch.setattr(module, "open_venue", lambda config, ports: venue)
    return venue


@pytest.fixture
def led():
    """Somebody holds kPEPE (1000 PEPE each), whose last price of its own is 31 s old."""
    pepe = HeldInstrument(
        instrument=1,
        priced_by="kPEPE",
        underlying="PEPE",
        ratio=Decimal(1000),
        quote="USDC",
        size=Decimal(5),
        liquidations=(),
    )
    board = PriceBoard(unknown_after=timedelta(seconds=300), held=[pepe])
    old = timezone.now() - timedelta(seconds=31)
    board.take([VenueMark(venue_symbol="kPEPE", price=Decimal(9), source="mid", time=old)])
    return _PriceLead(board, Account(label="trader"))


class TestTheReferenceVenue:
    async def test_prices_what_a_live_accounts_own_venue_no_longer_does(self, bybit, led):
        await Prices(threads=Beside())._ask_reference(World("hyperliquid", "live", ""), led)
        assert bybit.asked == [{"PEPE/USDT:USDT"}]
        quote = led.board.quote("kPEPE")
        assert (quote.price, quote.source) == (Decimal(10), "bybit")

    async def test_is_not_asked_for_simulated_accounts(self, bybit, led):
        await Prices(threads=Beside())._ask_reference(World("hyperliquid", "simulated", "http://x"), led)
        assert bybit.asked == []

    async def test_may_be_switched_off(self, bybit, led, settings):
        settings.REFERENCE_VENUE = ""
        await Prices(threads=Beside())._ask_reference(World("hyperliquid", "live", ""), led)
        assert bybit.asked == []

    async def test_gives_way_as_soon_as_the_venue_has_a_price_again(self, bybit, led):
        await Prices(threads=Beside())._ask_reference(World("hyperliquid", "live", ""), led)
        led.board.take(
            [VenueMark(venue_symbol="kPEPE", price=Decimal(11), source="mid", time=timezone.now())]
        )
        assert led.board.quote("kPEPE").source == "mid"


class TestALoop:
    async def test_goes_on_after_a_failure(self, led):
        calls = []

        async def fails_once(world, led):
            calls.append(1)
            if len(calls) == 1:
                raise TimeoutError

        loop = asyncio.create_task(
            Prices(threads=Beside())._repeat(0.01, fails_once, World("hyperliquid", "live", ""), led)
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(loop), 1.5)
        loop.cancel()
        assert len(calls) > 2

    async def test_outlives_a_mistake_of_ours(self, led):
        calls = []

        async def wrong(world, led):
            calls.append(1)
            raise KeyError("no such thing")

        loop = asyncio.create_task(
            Prices(threads=Beside())._repeat(0.01, wrong, World("hyperliquid", "live", ""), led)
        )
        async with asyncio.timeout(30):
            while len(calls) < 2:  # noqa: ASYNC110  the loop under test tells nobody
                await asyncio.sleep(0.01)
        assert not loop.done()
        loop.cancel()

    @pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 4), (40, 4)])
    def test_tries_again_after_1_2_and_4_seconds(self, failures, seconds):
        assert _before_try(failures, TimeoutError()) == seconds

    def test_waits_as_long_as_the_venue_says(self):
        assert _before_try(1, RateLimited("slow down", for_=timedelta(seconds=30))) == 30
