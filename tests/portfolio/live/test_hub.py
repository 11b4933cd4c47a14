"""What the hub sends to whom, on a book that the test writes by hand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from portfolio.live import board_updater
from portfolio.live import hub as hub_module
from portfolio.live.hub import TooManySockets
from portfolio.live.schema import PAINTED, blank_row
from tests.portfolio.live.hub_book import held
from tests.portfolio.live.hub_stage import joined, soon, until


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
        book.update({1: held(1, account=1), 2: held(2, account=2, mark_price="98010")})
        bot = await joined(hub, accounts=[2])
        snapshot = bot.all("snapshot")[0]
        assert [row["id"] for row in snapshot["positions"]] == [2]
        assert snapshot["totals"]["live"]["unrealized"] == "5"

    async def test_with_too_many_sockets_is_refused(self, hub, book):
        for _ in range(hub_module.SOCKETS_EACH):
            await joined(hub)
        with pytest.raises(TooManySockets):
            await joined(hub)
        await joined(hub, who="user:tom")

    async def test_is_possible_again_when_others_have_left(self, hub, book):
        browsers = [await joined(hub) for _ in range(hub_module.SOCKETS_EACH)]
        hub.leave(browsers[0].socket)
        hub.leave(browsers[0].socket)
        await joined(hub)
        with pytest.raises(TooManySockets):
            await joined(hub)

    async def test_waits_while_the_book_cannot_be_read(self, hub, book):
        book.fault = OperationalError("gone")
        joining = asyncio.create_task(joined(hub))
        await until(lambda: book.failures >= 2)
        assert not joining.done()
        book.fault = None
        assert (await asyncio.wait_for(joining, 30)).kinds()[:2] == ["hello", "snapshot"]

    async def test_is_followed_by_reading_until_the_last_socket_leaves(self, hub, book):
        vera = await joined(hub)
        tasks = {*hub.updater._tasks, hub._watching}
        hub.leave(vera.socket)
        await until(lambda: all(task.done() for task in tasks))

    async def test_all_at_once_builds_one_snapshot(self, hub, book, monkeypatch):
        book[1] = held(1)
        await joined(hub)
        made = []
        snapshot = hub_module.frames.snapshot
        monkeypatch.setattr(
            hub_module.frames, "snapshot", lambda *given, **named: made.append(1) or snapshot(*given, **named)
        )
        monkeypatch.setattr(board_updater, "REFRESH_SECONDS", 60)
        browsers = [await joined(hub, who=f"user:{n}") for n in range(50)]
        assert len(made) <= 1
        assert all(set(one.state()) == {1} for one in browsers)


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
        assert blank_row().keys() - PAINTED.keys() <= update["position"].keys()

    async def test_are_sent_once(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: len(vera.all("heartbeat")) >= 3)
        assert len(vera.all("position_update")) == 1

    async def test_of_a_closed_position_show_that_it_is_not_open(self, hub, book):
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
        book.update({1: held(1, account=1), 2: held(2, account=2, mark_price="98010")})
        await until(lambda: vera.all("portfolio") and bot.all("portfolio"))
        assert vera.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "1005"
        assert bot.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "5"

    async def test_of_totals_are_not_repeated(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: len(vera.all("heartbeat")) >= 4)
        assert len(vera.all("portfolio")) == 1

    async def test_that_are_on_no_log_are_found_by_reading(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = held(1, label="renamed", at=book[1].at)
        await until(lambda: vera.all("position_update"))
        assert vera.state()[1]["account"] == "renamed"


class TestTheCompactFormat:
    async def test_sends_a_price_as_a_short_row_and_the_rest_whole(self, hub, book):
        book.update({1: held(1), 2: held(2)})
        bot = await joined(hub, form="compact")
        assert bot.all("snapshot")[0]["columns"] == ["id", "mark_price", "unrealized_pnl", "mark_at_ms"]
        at = soon()
        book.update({1: held(1, mark_price="100100", at=at), 2: book[2].moved(quantity="0.7")})
        await until(lambda: bot.all("rows") and bot.all("position_update"))
        assert bot.all("rows")[0]["rows"] == [[1, "100100", "1050", int(at.timestamp() * 1000)]]
        assert [one["id"] for one in bot.all("position_update")] == [2]

    async def test_takes_at_most_60_bytes_for_a_price(self, hub, book):
        book[1] = held(1, quantity="1.23456", mark_price="67890.12")
        await hub.board.refresh(now=book[1].at)
        position, price = hub.board.priced(1)
        short = hub_module.frames.compact_row(replace(position, id=123456), price=price)
        assert len(short) + 1 <= 60
        assert json.loads(short)[1] == "67890.12"

    async def test_shows_a_change_of_the_risk_band_whole(self, hub, book):
        book[1] = held(1)
        bot = await joined(hub, form="compact")
        book[1] = held(1, mark_price="85000", at=soon())
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
        await until(lambda: book.failures)
        beats = len(vera.all("heartbeat"))
        await until(lambda: book.failures >= 4)
        assert len(vera.all("heartbeat")) == beats
        book.fault = None
        await until(lambda: len(vera.all("heartbeat")) > beats)

    async def test_come_back_after_an_error_of_the_hub(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "RESTART_SECONDS", 0.05)
        vera = await joined(hub)
        book.fault = ZeroDivisionError("a bug")
        await until(lambda: not hub.updater.is_running)
        book.fault = None
        beats = len(vera.all("heartbeat"))
        await until(lambda: len(vera.all("heartbeat")) > beats)


class TestASocketOfTheHub:
    async def test_that_pinged_must_go_on_pinging(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "PING_SECONDS", 0.2)
        pings, silent = await joined(hub), await joined(hub)
        pings.socket.pinged_at = asyncio.get_running_loop().time()
        await until(lambda: pings.closed == hub_module.TOO_SLOW)
        assert silent.closed is None

    async def test_whose_owner_may_no_longer_watch_is_closed_within_5_seconds(self, hub, book, monkeypatch):
        assert hub_module.ACCESS_SECONDS + hub_module.WATCH_SECONDS < 5
        monkeypatch.setattr(hub_module, "ACCESS_SECONDS", 0.1)

        async def still_valid(credentials: Any, *, now: Any) -> Any:
            return {("session", "user:tom")}

        vera, tom = await joined(hub), await joined(hub, who="user:tom")
        monkeypatch.setattr(hub_module.access, "still_valid", still_valid)
        await until(lambda: vera.closed == hub_module.NO_LONGER_ALLOWED)
        assert tom.closed is None

    async def test_stays_open_while_access_cannot_be_checked(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "ACCESS_SECONDS", 0.1)

        checks = []

        async def still_valid(credentials: Any, *, now: Any) -> Any:
            checks.append(now)
            raise OperationalError("gone")

        monkeypatch.setattr(hub_module.access, "still_valid", still_valid)
        vera = await joined(hub)
        await until(lambda: len(checks) >= 3)
        assert vera.closed is None

    async def test_that_leaves_much_unsent_is_closed(self, hub, book, monkeypatch):
        slow = await joined(hub)
        monkeypatch.setattr(type(slow.socket), "unsent", lambda self: 2_000_000 if self is slow.socket else 0)
        quick = await joined(hub)
        await until(lambda: slow.socket.closed)
        assert not quick.socket.closed
