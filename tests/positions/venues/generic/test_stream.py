"""What ccxt.pro watches of an account: nothing is lost between two awaits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from positions.venues.base import AccountUpdate, StreamLoss, StreamStart, Unsupported
from positions.venues.generic import stream
from tests.positions.venues.generic.test_adapter import venue_of
from tests.positions.venues.reading import NO_POSITION
from tests.positions.venues.replay import put_in


def trade(number: int) -> dict[str, Any]:
    return {
        "id": f"t{number}",
        "order": f"o{number}",
        "timestamp": 1_700_000_000_000 + number,
        "symbol": "ETH/USDT:USDT",
        "side": "buy",
        "amount": "1",
        "price": "1000",
        "fee": {"cost": "0.5", "currency": "USDT"},
        "info": {"n": number},
    }


class Watched:
    """ccxt's watch methods, played by hand: a fill is cached at once, and delivered when somebody awaits."""

    def __init__(self, venue: Any) -> None:
        self.exchange = venue.client.exchange
        put_in(venue.client, lambda method, url, body: NO_POSITION)
        self.exchange.myTrades = []
        self.exchange.has = {"watchMyTrades": True}
        self.exchange.watch_my_trades = self.watch
        self.delivered: asyncio.Queue[Any] = asyncio.Queue()

    async def watch(self) -> Any:
        found = await self.delivered.get()
        if isinstance(found, Exception):
            raise found
        return found

    def cache(self, number: int) -> None:
        self.exchange.myTrades.append(trade(number))

    def deliver(self, number: int) -> None:
        self.cache(number)
        self.delivered.put_nowait([trade(number)])


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", timedelta(milliseconds=20))
    monkeypatch.setattr("positions.venues.transport.websocket.FIRST_WAIT", 0.001)


async def until(events: AsyncIterator[Any], kind: type) -> Any:
    async with asyncio.timeout(60):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind}")


@pytest.mark.usefixtures("quickly")
class TestWatchingACcxtExchange:
    async def test_a_fill_that_was_cached_and_not_delivered_comes_all_the_same(self) -> None:
        venue = venue_of("bybit")
        watched = Watched(venue)
        events = venue.watch()
        await until(events, StreamStart)
        watched.cache(1)
        change = await until(events, AccountUpdate)
        assert [entry.venue_ref for entry in change.entries] == ["bybit:fill:ETH/USDT:USDT:t1:o1"]
        await events.aclose()

    async def test_each_fill_comes_once(self) -> None:
        venue = venue_of("bybit")
        watched = Watched(venue)
        events = venue.watch()
        await until(events, StreamStart)
        watched.deliver(1)
        watched.deliver(2)
        seen = list((await until(events, AccountUpdate)).entries)
        while len(seen) < 2:
            seen += (await until(events, AccountUpdate)).entries
        watched.cache(3)
        seen += (await until(events, AccountUpdate)).entries
        assert [entry.venue_ref[-5:] for entry in seen] == ["t1:o1", "t2:o2", "t3:o3"]
        await events.aclose()

    async def test_a_broken_connection_is_told_and_another_opened(self) -> None:
        venue = venue_of("bybit")
        watched = Watched(venue)
        events = venue.watch()
        await until(events, StreamStart)
        watched.delivered.put_nowait(ConnectionError("reset"))
        lost = await until(events, StreamLoss)
        assert "reset" in lost.reason
        await until(events, StreamStart)
        await events.aclose()

    async def test_a_venue_without_streams_says_so(self) -> None:
        venue = venue_of("bybit")
        venue.client.exchange.has = {}
        with pytest.raises(Unsupported, match="poll it"):
            await until(venue.watch(), StreamStart)
