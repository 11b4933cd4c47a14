"""A stream's connection: it can always be stopped, and its end takes nothing else along."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from positions.venues.base import StreamLoss
from positions.venues.transport import websocket
from positions.venues.transport.websocket import Session, Subscription, hang_up, reconnecting

URL = "ws://venue/ws"


class Socket:
    """ccxt's client of one WebSocket, without a network."""

    def __init__(self, *, connecting: bool = False, silent: bool = False) -> None:
        self.connecting = connecting
        self.connected: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.closings = 0
        self.silent = silent

    async def close(self) -> None:
        self.closings += 1
        if self.silent:
            await asyncio.sleep(3600)


class Exchange:
    """As much of ccxt as a session uses."""

    def __init__(self) -> None:
        self.clients: dict[str, Socket] = {}
        self.plumbline_tap: Any = None

    def client(self, url: str) -> Socket:
        return self.clients.setdefault(url, Socket())

    def watch(self, url: str, *_: object) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()


class Reader:
    """Reads a session in the background."""

    def __init__(self, exchange: Exchange) -> None:
        self.read: list[Any] = []
        self.session = Session(
            SimpleNamespace(exchange=exchange),
            url=URL,
            subscriptions=[Subscription("fills", {})],
            owns=lambda frame: True,
        )
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self.session.frames():
            self.read.append(frame)

    async def stopped(self) -> bool:
        self.task.cancel()
        ended, _ = await asyncio.wait([self.task], timeout=30)
        return bool(ended)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class TestASession:
    @pytest.mark.parametrize("after", range(6))
    async def test_stops_when_told_together_with_a_frame(self, after: int) -> None:
        exchange = Exchange()
        reader = Reader(exchange)
        await turns(3)
        exchange.plumbline_tap(exchange.clients[URL], {"channel": "userFills"})
        await turns(after)
        assert await reader.stopped()

    async def test_reads_frames_of_its_own_connection_only(self) -> None:
        exchange = Exchange()
        reader = Reader(exchange)
        await turns(3)
        assert exchange.plumbline_tap(Socket(), "a frame of the connection before"), "kept from ccxt too"
        exchange.plumbline_tap(exchange.clients[URL], "ours")
        await turns(3)
        assert reader.read == ["ours"]
        await reader.stopped()

    async def test_leaves_its_successor_alone_when_it_ends_late(self) -> None:
        exchange = Exchange()
        first = Reader(exchange)
        await turns(3)
        exchange.clients.clear()
        second = Reader(exchange)
        await turns(3)
        await first.stopped()
        assert exchange.plumbline_tap is not None
        await second.stopped()
        assert exchange.plumbline_tap is None


class TestHangingUpASocket:
    async def test_does_not_wait_for_a_venue_that_never_says_goodbye(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(websocket, "GOODBYE", websocket.GOODBYE / 100)
        exchange = Exchange()
        exchange.clients[URL] = Socket(silent=True)
        async with asyncio.timeout(60):
            await hang_up(exchange)
        assert exchange.clients == {}, "the next watch opens another"

    async def test_closes_what_is_still_being_dialled_once_it_is_open(self) -> None:
        exchange = Exchange()
        socket = exchange.clients[URL] = Socket(connecting=True)
        await hang_up(exchange)
        closings = socket.closings
        socket.connected.set_result(URL)
        await turns(3)
        assert socket.closings == closings + 1


class TestReconnectingAStream:
    async def test_ends_with_the_account(self) -> None:
        sessions = 0

        async def session():
            nonlocal sessions
            sessions += 1
            yield "event"

        async def at_once(seconds: float) -> None:
            """No wait."""

        events = reconnecting(
            session, clock=lambda: datetime.now(UTC), closed=lambda: sessions == 3, sleep=at_once
        )
        seen = [event async for event in events]
        assert [event for event in seen if not isinstance(event, StreamLoss)] == ["event"] * 3
