"""The socket as clients meet it: the handshake, commands, and what gets one closed."""

import asyncio
import json

import pytest
from channels.testing import WebsocketCommunicator

from core.api.auth import Principal
from core.security.scopes import Scope
from portfolio.live import access, board_updater, consumer
from portfolio.live import hub as hub_module
from tests.portfolio.live.hub_book import Book, held

HOST = [(b"host", b"localhost")]


@pytest.fixture
def book(monkeypatch):
    book = Book()
    book.install(monkeypatch)
    monkeypatch.setattr(board_updater, "REFRESH_SECONDS", 0.05)

    async def still_valid(credentials, *, now):
        return set(credentials)

    monkeypatch.setattr(access, "still_valid", still_valid)
    return book


@pytest.fixture
def admitted(monkeypatch):
    """Who the handshake speaks for: set `accounts`; None in `who` is nobody."""
    person = {"who": "user:vera", "accounts": None}

    async def admit(scope, now):
        if person["who"] is None:
            return None
        who = Principal(
            name=person["who"], scopes=frozenset({Scope.READ}), accounts=person["accounts"], tier="standard",
            user=None, key=None,
        )  # fmt: skip
        return access.Admission(who, ("session", person["who"]))

    monkeypatch.setattr(access, "admit", admit)
    return person


def client(query="", headers=()):
    path = f"/api/v1/positions/stream{query}"
    return WebsocketCommunicator(consumer.position_stream, path, headers=[*headers, *HOST])


@pytest.fixture
async def connect(book, admitted):
    opened = []

    async def open_one(query="", headers=()):
        one = client(query, headers)
        assert (await one.connect())[0]
        opened.append(one)
        return one

    yield open_one
    for one in opened:
        await one.disconnect()


async def frame(one, kind):
    while True:
        found = json.loads(await one.receive_from(timeout=30))
        if found["type"] == kind:
            return found


async def code(one):
    while True:
        message = await one.receive_output(timeout=30)
        if message["type"] == "websocket.close":
            return message["code"]


class TestTheHandshake:
    async def test_lets_nobody_in_who_is_not_known(self, connect, admitted):
        admitted["who"] = None
        assert await code(await connect()) == 4401

    @pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://localhost.evil.example"])
    async def test_refuses_a_page_of_another_site(self, connect, origin):
        assert await code(await connect(headers=[(b"origin", origin)])) == 4403

    @pytest.mark.parametrize(
        "origin",
        ["http://localhost:9000", "https://localhost:8000", "http://localhost", "http://127.0.0.1:8000",
         "http://localhost:8000.evil.example", "http://localhost:99999", "http://", "file://"],
    )  # fmt: skip
    async def test_refuses_a_page_of_another_program_on_this_host(self, connect, origin):
        headers = [(b"host", b"localhost:8000"), (b"origin", origin.encode())]
        assert await code(await connect(headers=headers)) == 4403

    async def test_refuses_a_host_that_is_not_ours(self, connect):
        headers = [(b"host", b"evil.example"), (b"origin", b"http://evil.example")]
        assert await code(await connect(headers=headers)) == 4403

    async def test_knows_its_own_page_behind_https(self, connect, settings):
        settings.HTTPS = True
        headers = [(b"host", b"localhost"), (b"origin", b"https://localhost")]
        assert await frame(await connect(headers=headers), "hello")

    async def test_takes_a_page_of_a_trusted_origin(self, connect, settings):
        settings.CSRF_TRUSTED_ORIGINS = ["https://desk.example:8443"]
        headers = [(b"host", b"localhost"), (b"origin", b"https://desk.example:8443")]
        assert await frame(await connect(headers=headers), "hello")

    @pytest.mark.parametrize(
        "headers", [[(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")], []]
    )
    async def test_takes_our_own_pages_and_programs(self, connect, headers):
        assert (await frame(await connect(headers=headers), "hello"))["server_time"]

    async def test_has_a_limit_per_person(self, connect, monkeypatch):
        monkeypatch.setattr(hub_module, "SOCKETS_EACH", 1)
        await frame(await connect(), "snapshot")
        assert await code(await connect()) == 4429

    async def test_resumes_where_the_client_says(self, connect, book):
        book[1] = held(1)
        first = await connect()
        token = (await frame(first, "snapshot"))["token"]
        again = await connect(f"?resume={token}")
        await frame(again, "hello")
        assert json.loads(await again.receive_from(timeout=30))["type"] == "portfolio"

    async def test_chooses_the_format(self, connect):
        assert (await frame(await connect("?format=compact"), "hello"))["format"] == "compact"
        assert (await frame(await connect("?format=nonsense"), "hello"))["format"] == "named"


class TestCommands:
    async def test_a_ping_is_answered(self, connect):
        one = await connect()
        await one.send_to(text_data='{"type": "ping"}')
        assert (await frame(one, "pong"))["server_time"]

    @pytest.mark.parametrize("text", ["not json", "[]", '"ping"', "{}", "null", '{"type": []}'])
    async def test_nonsense_is_answered_with_an_error_and_survived(self, connect, text):
        one = await connect()
        await one.send_to(text_data=text)
        assert (await frame(one, "error"))["code"] == "malformed"
        await one.send_to(text_data='{"type": "buy"}')
        assert (await frame(one, "error"))["code"] == "unknown-command"

    async def test_bytes_are_nonsense_too(self, connect):
        one = await connect()
        await one.send_to(bytes_data=b"\xff\x00")
        assert (await frame(one, "error"))["code"] == "malformed"

    async def test_get_summary_is_answered_with_totals(self, connect, book):
        book[1] = held(1)
        one = await connect()
        await one.send_to(text_data='{"type": "get_summary"}')
        assert (await frame(one, "portfolio"))["totals"]["live"]["unrealized"] == "1000"

    async def test_resume_brings_a_snapshot_where_the_place_is_unknown(self, connect):
        one = await connect()
        await frame(one, "snapshot")
        await one.send_to(text_data='{"type": "resume", "token": "gone-1"}')
        await frame(one, "snapshot")

    async def test_a_subscription_narrows_what_is_shown(self, connect, book):
        book.update({1: held(1, account=1), 2: held(2, account=2)})
        one = await connect()
        await frame(one, "snapshot")
        await one.send_to(text_data='{"type": "subscribe", "accounts": [2], "format": "compact"}')
        assert [row["id"] for row in (await frame(one, "snapshot"))["positions"]] == [2]
        await one.send_to(text_data='{"type": "subscribe"}')
        assert len((await frame(one, "snapshot"))["positions"]) == 2

    async def test_a_subscription_never_shows_what_may_not_be_seen(self, connect, book, admitted):
        admitted["accounts"] = frozenset({1})
        book.update({1: held(1, account=1), 2: held(2, account=2)})
        one = await connect()
        await frame(one, "snapshot")
        for asked in ('{"type": "subscribe", "accounts": [2]}', '{"type": "subscribe", "accounts": [1, 2]}'):
            await one.send_to(text_data=asked)
            assert all(row["account_id"] == 1 for row in (await frame(one, "snapshot"))["positions"])

    @pytest.mark.parametrize(
        "given", ['"accounts": "2"', '"accounts": [true]', '"format": "xml"', '"format": []']
    )
    async def test_a_subscription_to_nonsense_is_named(self, connect, given):
        one = await connect()
        await one.send_to(text_data=f'{{"type": "subscribe", {given}}}')
        assert (await frame(one, "error"))["code"] == "malformed"


class TestBounds:
    async def test_a_command_that_is_too_long_closes(self, connect):
        one = await connect()
        await one.send_to(text_data="x" * 5000)
        assert await code(one) == 4413

    async def test_a_command_of_bytes_that_is_too_long_closes(self, connect):
        one = await connect()
        await one.send_to(bytes_data=b"x" * 5000)
        assert await code(one) == 4413

    async def test_commands_too_often_close(self, connect):
        one = await connect()
        for _ in range(60):
            await one.send_to(text_data='{"type": "ping"}')
        assert await code(one) == 4430

    async def test_the_hub_forgets_who_has_gone(self, connect, book):
        one = await connect()
        await frame(one, "snapshot")
        await one.disconnect()
        async with asyncio.timeout(30):
            while hub_module.hub().sockets:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
