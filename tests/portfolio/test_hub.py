"""What the hub sends to whom, on a book that the test writes by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio import hub as hub_module
from portfolio import live_board, rows
from portfolio.hub import Hub, TooMany
from portfolio.live_board import Change
from positions import live
from tests.portfolio.hub_book import Book, Browser, held


@pytest.fixture
def book(monkeypatch):
    book = Book()
    monkeypatch.setattr(live_board, "_everything", book.everything)
    monkeypatch.setattr(live_board, "_some", book.some)

    async def standing(credentials: Any, *, now: Any) -> Any:
        return set(credentials)

    monkeypatch.setattr(hub_module.access, "standing", standing)
    monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "TOTALS_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.1)
    return book


@pytest.fixture
async def hub(book):
    hub = Hub()
    yield hub
    for socket in hub.sockets:
        hub.leave(socket)


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  what is waited for is many things
            await asyncio.sleep(0.01)


async def joined(hub: Hub, resume: str | None = None, **given: Any) -> Browser:
    browser = Browser(**given)
    await hub.join(browser.socket, resume=resume)
    return browser


class TestJoining:
    async def test_begins_with_hello_and_everything(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        assert vera.kinds()[:2] == ["hello", "snapshot"]
        snapshot = vera.all("snapshot")[0]
        (position,) = snapshot["positions"]
        assert (position["symbol"], position["unrealized_pnl"], position["quantity"]) == (
            "BTC/USDC:USDC", "1000", "0.5",
        )  # fmt: skip
        assert snapshot["totals"]["live"]["unrealized"] == "1000"

    async def test_shows_only_what_may_be_seen_and_sums_of_only_that(self, hub, book):
        book.update({1: held(1, account=1), 2: held(2, account=2, unrealized="5")})
        bot = await joined(hub, accounts=[2])
        snapshot = bot.all("snapshot")[0]
        assert [row["id"] for row in snapshot["positions"]] == [2]
        assert snapshot["totals"]["live"]["unrealized"] == "5"

    async def test_more_often_than_anyone_may_is_refused(self, hub, book):
        for _ in range(hub_module.SOCKETS_EACH):
            await joined(hub)
        with pytest.raises(TooMany):
            await joined(hub)
        await joined(hub, who="user:tom")

    async def test_waits_while_the_book_cannot_be_read(self, hub, book):
        book.fault = OperationalError("gone")
        joining = asyncio.create_task(joined(hub))
        await asyncio.sleep(0.2)
        assert not joining.done()
        book.fault = None
        assert (await asyncio.wait_for(joining, 3)).kinds()[:2] == ["hello", "snapshot"]

    async def test_the_last_to_leave_stops_the_reading(self, hub, book):
        vera = await joined(hub)
        tasks = hub._tasks
        hub.leave(vera.socket)
        await until(lambda: all(task.done() for task in tasks))


class TestChanges:
    async def test_arrive_as_whole_positions(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: vera.all("position_update"))
        update = vera.all("position_update")[0]
        assert (update["id"], update["symbol"], update["position"]["unrealized_pnl"]) == (
            1,
            "BTC/USDC:USDC",
            "1000",
        )
        assert rows.BLANK.keys() <= update["position"].keys()

    async def test_are_sent_once(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: len(vera.all("heartbeat")) >= 3)
        assert len(vera.all("position_update")) == 1

    async def test_of_a_closed_position_say_that_it_is_not_open(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        del book[1]
        await until(lambda: vera.all("position_update"))
        assert vera.all("position_update")[0]["position"]["open"] is False
        assert vera.state() == {}

    async def test_go_only_to_those_who_may_see_them(self, hub, book):
        bot, vera = await joined(hub, accounts=[2]), await joined(hub)
        book.update({1: held(1, account=1), 2: held(2, account=2)})
        await until(lambda: len(vera.state()) == 2)
        assert set(bot.state()) == {2}

    async def test_are_serialised_once_for_all(self, hub, book, monkeypatch):
        browsers = [await joined(hub, who=f"user:{n}") for n in range(50)]
        counted = []
        serialise = hub_module.frames.position
        monkeypatch.setattr(hub_module.frames, "position", lambda row: counted.append(row) or serialise(row))
        book[1] = held(1)
        await until(lambda: all(one.all("position_update") for one in browsers))
        assert len(counted) == 1

    async def test_bring_new_totals_a_moment_later(self, hub, book):
        bot, vera = await joined(hub, accounts=[2]), await joined(hub)
        book.update({1: held(1, account=1), 2: held(2, account=2, unrealized="5")})
        await until(lambda: vera.all("portfolio") and bot.all("portfolio"))
        assert vera.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "1005"
        assert bot.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "5"

    async def test_of_totals_are_not_repeated(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: len(vera.all("heartbeat")) >= 4)
        assert len(vera.all("portfolio")) == 1


class TestTheLiveLog:
    async def test_brings_a_booked_change_without_waiting_for_the_clock(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 60)
        vera = await joined(hub)
        book.update({1: held(1), 2: held(2)})
        await asyncio.to_thread(
            live.append, kind="book", account=1, frame={"account": 1, "positions": [{"id": 1}]}
        )
        await until(lambda: vera.all("position_update"))
        assert set(vera.state()) == {1}

    async def test_brings_what_else_changed_of_an_account(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 60)
        vera = await joined(hub)
        book.update({1: held(1), 2: held(2, account=2)})
        await asyncio.to_thread(
            live.append, kind="venue_state", account=2, frame={"account": 2, "states": []}
        )
        await until(lambda: vera.all("position_update"))
        assert set(vera.state()) == {2}

    async def test_revalues_what_a_price_concerns_without_reading(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "REFRESH_SECONDS", 60)
        monkeypatch.setattr(rows, "row", lambda position, price, proof: held(position.pk, mark=str(price[0])))
        book.update({1: held(1), 2: held(2)})
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        mark = {"instrument": 1, "price": "101000", "source": "mark", "at": "2026-01-15T12:00:01+00:00"}
        await asyncio.to_thread(live.append, kind="marks", frame={"marks": [mark]}, stream=live.MARKS)
        await until(lambda: vera.all("position_update"))
        assert [(one["id"], one["position"]["mark"]) for one in vera.all("position_update")] == [
            (1, "101000")
        ]

    async def test_tells_of_feeds_to_those_who_may_see_the_account(self, hub, book):
        bot, vera = await joined(hub, accounts=[2]), await joined(hub)
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "stale"})
        await until(lambda: vera.all("feed"))
        assert vera.all("feed")[0]["feed"]["state"] == "stale"
        assert bot.all("feed") == []


class TestPrices:
    @pytest.fixture(autouse=True)
    def _valued(self, monkeypatch):
        def row(position: Any, price: Any, proof: Any) -> Any:
            mark, at = price or (None, None)
            return held(position.pk, mark=mark and str(mark), at=at and at.isoformat())

        monkeypatch.setattr(rows, "row", row)

    @staticmethod
    def mark(price: str | None, second: int) -> dict[str, Any]:
        return {"instrument": 1, "price": price, "at": f"2026-01-15T12:00:{second:02}+00:00"}

    async def test_that_are_older_than_the_one_known_are_passed_over(self, hub, book):
        book[1] = held(1)
        await hub.board.refresh(now=None)
        assert len(hub.board.take_marks([self.mark("101", 5)])) == 1
        assert hub.board.take_marks([self.mark("99", 4), self.mark("101", 5)]) == []
        assert hub.board.row(1)["mark"] == "101"

    async def test_stay_when_the_book_is_read_with_an_older_one(self, hub, book):
        book[1] = held(1)
        await hub.board.refresh(now=None)
        hub.board.take_marks([self.mark("101", 5)])
        assert await hub.board.refresh(now=None) == []
        assert hub.board.row(1)["mark"] == "101"

    async def test_give_way_to_a_newer_one_from_the_book(self, hub, book):
        book[1] = held(1)
        await hub.board.refresh(now=None)
        hub.board.take_marks([self.mark("101", 5)])
        book[1] = held(1, mark="102", at="2026-01-15T12:00:09+00:00")
        assert len(await hub.board.refresh(now=None)) == 1
        assert hub.board.row(1)["mark"] == "102"

    async def test_that_are_unknown_now_are_none(self, hub, book):
        book[1] = held(1)
        await hub.board.refresh(now=None)
        hub.board.take_marks([self.mark(None, 5)])
        assert (hub.board.row(1)["mark"], hub.board.row(1)["at"]) == (None, None)


class TestTheCompactFormat:
    async def test_sends_a_price_as_a_short_row_and_the_rest_whole(self, hub, book):
        book.update({1: held(1), 2: held(2)})
        bot = await joined(hub, form="compact")
        assert bot.all("snapshot")[0]["columns"] == ["id", "mark_price", "unrealized_pnl", "mark_at_ms"]
        book.update({1: held(1, mark="100100", unrealized="1050"), 2: held(2, size="0.7")})
        await until(lambda: bot.all("rows") and bot.all("position_update"))
        assert bot.all("rows")[0]["rows"] == [[1, "100100", "1050", 1768478400000]]
        assert [one["id"] for one in bot.all("position_update")] == [2]

    def test_takes_at_most_60_bytes_for_a_price(self):
        row = held(123456, mark="67890.12", unrealized="-12345.678901")
        short = hub_module.frames.compact_row(Change(row, only_price=True))
        assert len(short) + 1 <= 60
        assert json.loads(short)[1] == "67890.12"

    async def test_shows_a_change_of_the_risk_band_whole(self, hub, book):
        book[1] = held(1)
        bot = await joined(hub, form="compact")
        book[1] = held(1, mark="85000", risk="critical")
        await until(lambda: bot.all("position_update"))
        assert bot.all("rows") == []


class TestHeartbeats:
    async def test_come_while_nothing_changes(self, hub, book):
        vera = await joined(hub)
        await until(lambda: len(vera.all("heartbeat")) >= 2)
        assert vera.all("heartbeat")[0]["server_time"]

    async def test_stop_when_the_book_cannot_be_read_and_come_back(self, hub, book):
        vera = await joined(hub)
        await until(lambda: vera.all("heartbeat"))
        book.fault = OperationalError("the database is gone")
        await asyncio.sleep(0.2)
        beats = len(vera.all("heartbeat"))
        await asyncio.sleep(0.3)
        assert len(vera.all("heartbeat")) == beats
        book.fault = None
        await until(lambda: len(vera.all("heartbeat")) > beats)

    async def test_come_back_after_a_mistake_of_ours(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "RESTART_SECONDS", 0.05)
        vera = await joined(hub)
        book.fault = ZeroDivisionError("a bug")
        await until(lambda: any(task.done() for task in hub._tasks))
        book.fault = None
        beats = len(vera.all("heartbeat"))
        await until(lambda: len(vera.all("heartbeat")) > beats)


class TestResuming:
    async def test_brings_exactly_what_was_missed(self, hub, book):
        book.update({1: held(1), 2: held(2), 3: held(3)})
        first, other = await joined(hub), await joined(hub, who="user:stays")
        hub.leave(first.socket)
        book[1] = held(1, size="9")
        del book[3]
        await until(lambda: len(other.all("position_update")) == 2)
        again = await joined(hub, resume=first.token)
        assert again.kinds() == ["hello", "position_update", "position_update", "portfolio"]
        assert [(one["id"], one["position"]["open"]) for one in again.all("position_update")] == [
            (1, True),
            (3, False),
        ]

    async def test_of_nothing_missed_brings_nothing(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        again = await joined(hub, resume=vera.token)
        assert again.kinds() == ["hello", "portfolio"]

    @pytest.mark.parametrize("token", ["", "x", "0-0", "abc-1", "-1", None])
    async def test_from_a_place_unknown_here_starts_over(self, hub, book, token):
        assert (await joined(hub, resume=token)).kinds() == ["hello", "snapshot"]

    async def test_from_the_future_starts_over(self, hub, book):
        vera = await joined(hub)
        epoch = vera.token.partition("-")[0]
        assert (await joined(hub, resume=f"{epoch}-999")).kinds() == ["hello", "snapshot"]

    async def test_from_longer_ago_than_is_kept_starts_over(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "KEEP_GONE", 1)
        book.update({1: held(1), 2: held(2)})
        first, other = await joined(hub), await joined(hub, who="user:stays")
        hub.leave(first.socket)
        book.clear()
        await until(lambda: other.state() == {})
        assert (await joined(hub, resume=first.token)).kinds() == ["hello", "snapshot"]

    @settings(max_examples=60, deadline=None)
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["open", "move", "close", "leave", "return"]),
                st.integers(1, 4),
                st.integers(1, 99),
            ),
            max_size=30,
        )
    )
    def test_with_random_disconnects_every_client_ends_with_the_server_s_state(self, steps):
        asyncio.run(_story(steps))


async def _story(steps: list[tuple[str, int, int]]) -> None:
    """Clients come and go while positions open, move and close; two see all, one only account 2."""
    hub = Hub()
    hub._loaded.set()
    hub._tasks = [asyncio.create_task(asyncio.sleep(60))]  # the test tells it what changed
    book = Book()
    clients = [await joined(hub, who=f"c{n}", accounts=[2] if n == 2 else None) for n in range(3)]
    gone: set[int] = set()
    for what, key, size in steps:
        client = clients[key % 3]
        if what == "leave" and key % 3 not in gone and len(gone) < 2:
            gone.add(key % 3)
            hub.leave(client.socket)
        elif what == "return" and key % 3 in gone:
            gone.discard(key % 3)
            back = Browser(who=f"b{key}{size}", accounts=client.socket.audience.accounts)
            back.frames = client.frames
            await hub.join(back.socket, resume=client.token)
            clients[key % 3] = back
        elif what == "close":
            book.pop(key, None)
        elif what in ("open", "move"):
            book[key] = held(key, account=1 + key % 2, size=str(size))
        found, _ = await book.everything(None)
        missing = hub.board._held.keys() - book.keys()
        hub.tell(hub.board._take(found, gone=missing))
    for number in sorted(gone):
        back = Browser(who=f"z{number}", accounts=clients[number].socket.audience.accounts)
        back.frames = clients[number].frames
        await hub.join(back.socket, resume=clients[number].token)
        clients[number] = back
    for client in clients:
        seen = {key: row for key, row in book.items() if client.socket.audience.sees(row["account_id"])}
        assert {key: row["size"] for key, row in client.state().items()} == {
            key: row["size"] for key, row in seen.items()
        }
        numbers = [int(frame["token"].partition("-")[2]) for frame in client.frames if "token" in frame]
        assert numbers == sorted(numbers)
    for task in hub._tasks:
        task.cancel()


class TestGuardRails:
    async def test_who_pings_must_go_on(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "PING_SECONDS", 0.2)
        pings, silent = await joined(hub), await joined(hub)
        pings.socket.pinged_at = asyncio.get_running_loop().time()
        await until(lambda: pings.closed == hub_module.TOO_SLOW)
        assert silent.closed is None

    async def test_who_may_no_longer_watch_is_closed_within_5_seconds(self, hub, book, monkeypatch):
        assert hub_module.ACCESS_SECONDS + hub_module.WATCH_SECONDS < 5
        monkeypatch.setattr(hub_module, "ACCESS_SECONDS", 0.1)

        async def standing(credentials: Any, *, now: Any) -> Any:
            return {("session", "user:tom")}

        vera, tom = await joined(hub), await joined(hub, who="user:tom")
        monkeypatch.setattr(hub_module.access, "standing", standing)
        await until(lambda: vera.closed == hub_module.NO_LONGER_ALLOWED)
        assert tom.closed is None

    async def test_nobody_is_closed_because_it_could_not_be_checked(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "ACCESS_SECONDS", 0.1)

        async def standing(credentials: Any, *, now: Any) -> Any:
            raise OperationalError("gone")

        monkeypatch.setattr(hub_module.access, "standing", standing)
        vera = await joined(hub)
        await asyncio.sleep(0.4)
        assert vera.closed is None

    async def test_one_that_leaves_much_unsent_is_closed(self, hub, book, monkeypatch):
        slow = await joined(hub)
        monkeypatch.setattr(type(slow.socket), "unsent", lambda self: 2_000_000 if self is slow.socket else 0)
        quick = await joined(hub)
        await until(lambda: slow.socket.closed)
        assert not quick.socket.closed
