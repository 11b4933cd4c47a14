"""The browser's socket, driven as a browser would, on a book that the test writes by hand."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError

from portfolio import hub as hub_module
from portfolio.consumers import NOT_SIGNED_IN, PositionStream, still_signed_in
from tests.portfolio.test_rollup import held


@pytest.fixture
def book(monkeypatch):
    """What the hub reads: {id: row}. Raises what `book["fault"]` holds, if anything."""
    positions: dict[Any, Any] = {}

    async def read(now):
        if "fault" in positions:
            raise positions["fault"]
        return dict(positions), ("live",)

    monkeypatch.setattr(hub_module, "_read", read)
    monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.2)

    async def wait(reader, last):
        await asyncio.sleep(0.05)
        return last

    monkeypatch.setattr(hub_module, "_wait_for_news", wait)
    return positions


def browser(user: Any) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(PositionStream.as_asgi(), "/api/v1/positions/stream")
    communicator.scope["user"] = user
    return communicator


@pytest.fixture
async def socket(book):
    communicator = browser(User(username="vera"))
    assert (await communicator.connect())[0]
    yield communicator
    await communicator.disconnect()


async def frame(communicator: WebsocketCommunicator, *, kind: str | None = None) -> dict[str, Any]:
    while True:
        found = json.loads(await communicator.receive_from(timeout=3))
        if kind is None or found["type"] == kind:
            return found


class TestConnecting:
    async def test_without_a_session_is_closed_with_4401(self, book):
        communicator = browser(AnonymousUser())
        await communicator.connect()
        closed = await communicator.receive_output(timeout=3)
        assert (closed["type"], closed["code"]) == ("websocket.close", NOT_SIGNED_IN)

    async def test_says_hello_then_shows_everything(self, book, socket):
        assert (await frame(socket))["type"] == "hello"
        snapshot = await frame(socket)
        assert (snapshot["type"], snapshot["positions"]) == ("snapshot", [])
        assert snapshot["totals"]["live"]["unrealized"] == "0"


class TestASession:
    """Checked while the socket is open, since nobody asks to leave it."""

    @pytest.fixture
    def key(self, as_viewer):
        return as_viewer.session.session_key

    def test_stands_while_its_person_is_signed_in(self, key):
        assert still_signed_in(key)

    def test_ends_with_the_log_out(self, key, as_viewer):
        as_viewer.post("/logout/")
        assert not still_signed_in(key)

    def test_ends_with_a_new_password(self, key, viewer):
        viewer.set_password("another plumb line")
        viewer.save()
        assert not still_signed_in(key)

    def test_ends_when_its_person_is_switched_off(self, key, viewer):
        viewer.is_active = False
        viewer.save()
        assert not still_signed_in(key)

    async def test_that_has_ended_closes_the_socket(self, book, monkeypatch):
        monkeypatch.setattr("portfolio.consumers.SESSION_CHECK_SECONDS", 0.1)
        monkeypatch.setattr("portfolio.consumers.still_signed_in", lambda key: False)
        communicator = browser(User(username="vera"))
        communicator.scope["session"] = SimpleNamespace(session_key="abc")
        await communicator.connect()
        while (output := await communicator.receive_output(timeout=3))["type"] != "websocket.close":
            pass
        assert output["code"] == NOT_SIGNED_IN


class TestChanges:
    async def test_arrive_as_complete_rows_with_totals(self, book, socket):
        await frame(socket, kind="snapshot")
        book[1] = held()
        update = await frame(socket, kind="position_update")
        assert (update["id"], update["position"]) == (1, held())
        assert update["totals"]["live"]["unrealized"] == "1000"

    async def test_of_one_refresh_carry_their_totals_once(self, book, socket):
        await frame(socket, kind="snapshot")
        book.update({1: held(id=1), 2: held(id=2)})
        first = await frame(socket, kind="position_update")
        second = await frame(socket, kind="position_update")
        assert first["totals"]["live"]["unrealized"] == "2000"
        assert "totals" not in second

    async def test_are_sent_once(self, book, socket):
        book[1] = held()
        await frame(socket, kind="position_update")
        assert (await frame(socket))["type"] == "heartbeat"

    async def test_a_closed_position_leaves_as_not_open(self, book, socket):
        book[1] = held()
        await frame(socket, kind="position_update")
        del book[1]
        update = await frame(socket, kind="position_update")
        assert (update["id"], update["position"]["open"]) == (1, False)
        assert update["totals"]["live"]["positions"] == 0


class TestHeartbeats:
    async def test_come_while_nothing_changes(self, book, socket):
        assert (await frame(socket, kind="heartbeat"))["server_time"]

    async def test_stop_when_the_book_cannot_be_read(self, book, socket):
        await frame(socket, kind="heartbeat")
        book["fault"] = OperationalError("the database is gone")
        await asyncio.sleep(0.1)
        while not await socket.receive_nothing(timeout=0.01):
            await socket.receive_from()
        assert await socket.receive_nothing(timeout=0.5)
        del book["fault"]
        await frame(socket, kind="heartbeat")


class TestCommands:
    async def test_a_ping_is_answered(self, book, socket):
        await socket.send_to(text_data='{"type": "ping"}')
        assert (await frame(socket, kind="pong"))["server_time"]

    @pytest.mark.parametrize("text", ["not json", "[]", '"ping"', "{}", "null"])
    async def test_nonsense_is_named_and_survived(self, book, socket, text):
        await socket.send_to(text_data=text)
        assert (await frame(socket, kind="error"))["code"] == "malformed"
        await socket.send_to(text_data='{"type": "buy"}')
        assert (await frame(socket, kind="error"))["code"] == "unknown-command"


class TestASlowBrowser:
    async def test_starts_over_and_stops_nobody(self, book, monkeypatch):
        monkeypatch.setattr(hub_module, "WAITING_FRAMES", 3)
        shared = hub_module.hub()
        slow, quick = await shared.subscribe(), await shared.subscribe()
        seen = []
        for size in range(1, 6):
            book[1] = held(size=str(size))
            while not (seen and seen[-1].get("position", {}).get("size") == str(size)):
                seen.append(json.loads(await asyncio.wait_for(quick.get(), 3)))
        last = None
        while not slow.empty():
            last = slow.get_nowait()
            if last is None:
                break
        assert last is None
        shared.unsubscribe(slow)
        shared.unsubscribe(quick)

    async def test_the_last_to_leave_stops_the_reading(self, book):
        shared = hub_module.hub()
        queue = await shared.subscribe()
        shared.unsubscribe(queue)
        assert shared._task is None
