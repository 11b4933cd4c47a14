"""What the hub sends to whom, on a book that the test writes by hand."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio import board_reads, changes, reading, rows
from portfolio import hub as hub_module
from portfolio.hub import Hub, TooMany
from positions import feeds, live
from tests.portfolio.hub_book import Book, Browser, Held, held


@pytest.fixture
def book(monkeypatch):
    book = Book()
    book.install(monkeypatch)

    async def standing(credentials: Any, *, now: Any) -> Any:
        return set(credentials)

    monkeypatch.setattr(hub_module.access, "standing", standing)
    monkeypatch.setattr(reading, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(reading, "EVERYTHING_POLLED_SECONDS", 0.0)
    monkeypatch.setattr(reading.feeds, "known", lambda now: {})
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
    async with asyncio.timeout(30):
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
        book.update({1: held(1, account=1), 2: held(2, account=2, mark="98010")})
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

    async def test_is_possible_again_when_others_have_left(self, hub, book):
        browsers = [await joined(hub) for _ in range(hub_module.SOCKETS_EACH)]
        hub.leave(browsers[0].socket)
        hub.leave(browsers[0].socket)
        await joined(hub)
        with pytest.raises(TooMany):
            await joined(hub)

    async def test_waits_while_the_book_cannot_be_read(self, hub, book):
        book.fault = OperationalError("gone")
        joining = asyncio.create_task(joined(hub))
        await asyncio.sleep(0.2)
        assert not joining.done()
        book.fault = None
        assert (await asyncio.wait_for(joining, 30)).kinds()[:2] == ["hello", "snapshot"]

    async def test_the_last_to_leave_stops_the_reading(self, hub, book):
        vera = await joined(hub)
        tasks = {*hub.reading._tasks, hub._watching}
        hub.leave(vera.socket)
        await until(lambda: all(task.done() for task in tasks))

    async def test_all_at_once_makes_one_snapshot(self, hub, book, monkeypatch):
        book[1] = held(1)
        await joined(hub)
        made = []
        snapshot = hub_module.frames.snapshot
        monkeypatch.setattr(
            hub_module.frames, "snapshot", lambda *given, **named: made.append(1) or snapshot(*given, **named)
        )
        monkeypatch.setattr(reading, "REFRESH_SECONDS", 60)
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
        assert rows.BLANK.keys() - {"age", "stale"} <= update["position"].keys()

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
        book.update({1: held(1, account=1), 2: held(2, account=2, mark="98010")})
        await until(lambda: vera.all("portfolio") and bot.all("portfolio"))
        assert vera.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "1005"
        assert bot.all("portfolio")[-1]["totals"]["live"]["unrealized"] == "5"

    async def test_of_totals_are_not_repeated(self, hub, book):
        vera = await joined(hub)
        book[1] = held(1)
        await until(lambda: len(vera.all("heartbeat")) >= 4)
        assert len(vera.all("portfolio")) == 1

    async def test_of_what_no_log_tells_are_found_by_reading(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = held(1, label="renamed", at=book[1].at)
        await until(lambda: vera.all("position_update"))
        assert vera.state()[1]["account"] == "renamed"


async def append(book: Book, *keys: int, **more: Any) -> None:
    """What ingest says of these positions after its commit."""
    frame = book.frame(*keys) | more
    await asyncio.to_thread(live.append, kind="book", account=frame["account"], frame=frame)


class TestTheLiveLog:
    @pytest.fixture(autouse=True)
    def _nobody_reads(self, monkeypatch, book):
        """Whatever is shown came out of the log."""
        monkeypatch.setattr(reading, "REFRESH_SECONDS", 60)

    async def test_shows_a_fill_without_asking_postgres(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        book[1] = book[1].moved(size="0.7")
        await append(book, 1)
        await until(lambda: vera.all("position_update"))
        assert (vera.state()[1]["size"], vera.state()[1]["unrealized"]) == ("0.7", "1400")
        assert book.asked == ["everything"]

    async def test_shows_exactly_what_postgres_would(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].moved(size="0.7", entry="97000")
        await append(book, 1)
        await until(lambda: vera.all("position_update"))
        fresh = await joined(Hub())
        assert vera.state() == fresh.state()

    async def test_shows_a_close_and_the_next_episode_without_asking(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].closed()
        await append(book, 1)
        await until(lambda: vera.state() == {})
        del book[1]
        book[11] = held(11, size="0.2")
        await append(book, 11)
        await until(lambda: vera.state())
        assert vera.state()[11]["liquidation"] == "84100"
        assert book.asked == ["everything"]

    async def test_reads_a_market_that_was_never_seen(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[2] = held(2)
        await append(book, 2)
        await until(lambda: len(vera.state()) == 2)
        assert book.asked == ["everything", "some"]

    async def test_that_repeats_itself_changes_nothing(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        first = book[1].told()
        book[1] = book[1].moved(size="0.7")
        await append(book, 1)
        await append(book, 1, positions=[first])
        await append(book, 1)
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "stale"})
        await until(lambda: vera.all("feed"))
        assert len(vera.all("position_update")) == 1

    async def test_does_not_bring_back_what_was_closed(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        old = book[1].moved(size="0.6").told()
        book[1] = book[1].moved().closed()
        await append(book, 1)
        await append(book, 1, positions=[old])
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "stale"})
        await until(lambda: vera.all("feed"))
        assert vera.state() == {}

    async def test_brings_what_the_venue_says_of_a_leg(self, hub, book):
        book.update({1: held(1), 2: held(2, account=2)})
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        stated = held(2, liquidation="90000", revision=2).stated()
        frame = {"account": 2, "states": [stated]}
        await asyncio.to_thread(live.append, kind="venue_state", account=2, frame=frame)
        await until(lambda: vera.all("position_update"))
        assert [row["liquidation"] for row in vera.state().values()] == ["84100", "90000"]

    async def test_brings_a_verdict(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        verdict = {"instrument_id": 1, "leg": "net", "wallet": "", "asset": "", "status": "DRIFT",
                   "as_of": None, "revision": 2}  # fmt: skip
        frame = {"account": 1, "verdicts": [verdict]}
        await asyncio.to_thread(live.append, kind="verdict", account=1, frame=frame)
        await until(lambda: vera.all("position_update"))
        assert vera.state()[1]["proof"] == "DRIFT"

    async def test_revalues_what_a_price_concerns_without_asking(self, hub, book):
        book.update({1: held(1), 2: held(2)})
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        mark = {"instrument": 1, "price": "101000", "source": "mark", "at": soon().isoformat()}
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
        later = await joined(hub)
        assert later.all("feed") == vera.all("feed")


class TestWhatTheLogLeftOut:
    async def test_is_found_within_two_beats(self, hub, book, monkeypatch):
        """Committed, and the process died before it could say so."""
        monkeypatch.setattr(reading, "EVERYTHING_POLLED_SECONDS", 60)
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].moved(size="0.7")
        book.sequences[1] = 1
        await until(lambda: vera.all("position_update"))
        assert vera.state()[1]["size"] == "0.7"
        assert book.asked.count("everything") == 1

    async def test_is_not_looked_for_when_everything_was_told(self, hub, book, monkeypatch):
        monkeypatch.setattr(reading, "EVERYTHING_POLLED_SECONDS", 60)
        book[1] = held(1)
        vera = await joined(hub)
        for size in ("0.6", "0.7", "0.8"):
            book[1] = book[1].moved(size=size)
            await append(book, 1)
        await until(lambda: vera.state()[1]["size"] == "0.8" and book.asked.count("pulse") > 3)
        assert "some" not in book.asked

    async def test_is_read_when_redis_comes_back(self, hub, book, monkeypatch):
        monkeypatch.setattr(reading, "EVERYTHING_POLLED_SECONDS", 60)
        vera = await joined(hub)
        book[1] = held(1)
        monkeypatch.setattr(reading.LogReader, "hear", gap_once(reading.LogReader.hear))
        await until(lambda: vera.state())

    async def test_that_opened_while_everything_was_read_is_kept(self, hub, book, monkeypatch):
        """The read began before it was committed, and ends after its frame has come."""
        vera = await joined(hub)
        book[1] = held(1)
        await hub.board.refresh(now=book[1].at)
        opened = held(11)
        everything = book.everything

        async def slow() -> Any:
            read = await everything()
            changes, unknown = hub.board.take_positions([opened.told()], account=1, sequence=9, now=opened.at)
            assert (len(changes), unknown) == (1, set())
            return read

        monkeypatch.setattr(board_reads, "everything", slow)
        await hub.board.refresh(now=book[1].at)
        assert set(hub.board._held) == {1, 11}
        assert vera.closed is None


def gap_once(hear: Any) -> Any:
    told = []

    async def wrapped(self: Any, *, within: float) -> Any:
        heard = await hear(self, within=within)
        if told:
            return heard
        told.append(1)
        return type(heard)(heard.marks, heard.news, gap=True)

    return wrapped


class TestFeeds:
    async def test_that_nobody_speaks_of_any_more_are_down(self, hub, book, monkeypatch, now):
        feed = feeds.Feed(account=1, state=feeds.State.LIVE, since=now, at=now)
        known = {1: feed}
        monkeypatch.setattr(reading.feeds, "known", lambda now: known)
        vera = await joined(hub)
        await until(lambda: vera.all("feed"))
        known[1] = feeds._believed(feed, now + feeds.BELIEVED_FOR * 2)
        await until(lambda: len(vera.all("feed")) == 2)
        assert [frame["feed"]["state"] for frame in vera.all("feed")] == ["live", "down"]

    async def test_that_say_the_same_again_are_not_repeated(self, hub, book, monkeypatch, now):
        feed = feeds.Feed(account=1, state=feeds.State.LIVE, since=now, at=now)
        monkeypatch.setattr(reading.feeds, "known", lambda now: {1: feed})
        vera = await joined(hub)
        await until(lambda: len(vera.all("heartbeat")) >= 3)
        assert len(vera.all("feed")) == 1


def soon(seconds: float = 1) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


class TestPrices:
    @staticmethod
    def mark(price: str | None, at: datetime) -> dict[str, Any]:
        return {"instrument": 1, "price": price, "at": at.isoformat()}

    async def test_that_are_older_than_the_one_known_are_passed_over(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        newer = self.mark("101000", at + timedelta(seconds=5))
        assert len(hub.board.take_marks([newer], now=at)) == 1
        older = self.mark("99000", at + timedelta(seconds=4))
        assert hub.board.take_marks([older], now=at) == hub.board.take_marks([newer], now=at) == []
        assert hub.board.row(1)["mark"] == "101000"

    async def test_stay_when_the_book_is_read_with_an_older_one(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark("101000", at + timedelta(seconds=5))], now=at)
        assert await hub.board.refresh(now=at) == []
        assert hub.board.row(1)["mark"] == "101000"

    async def test_give_way_to_a_newer_one_from_the_book(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark("101000", at + timedelta(seconds=5))], now=at)
        book[1] = held(1, mark="102000", at=at + timedelta(seconds=9))
        assert len(await hub.board.refresh(now=at)) == 1
        assert hub.board.row(1)["mark"] == "102000"

    async def test_that_are_unknown_now_say_since_when(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark(None, at)], now=at)
        row = hub.board.row(1)
        assert (row["mark"], row["unrealized"], row["at"]) == (None, None, at.isoformat())

    async def test_that_nobody_renews_become_unknown(self, hub, book, settings):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        seconds = settings.PRICE_STALENESS_THRESHOLD
        changes, _ = await hub.board.pulse(now=at + timedelta(seconds=seconds))
        assert changes == []
        changes, _ = await hub.board.pulse(now=at + timedelta(seconds=seconds + 1))
        assert [(change.position, change.only_price) for change in changes] == [(1, False)]
        row = hub.board.row(1)
        assert (row["mark"], row["unrealized"], row["risk"]) == (None, None, "unknown")
        assert (await hub.board.pulse(now=at + timedelta(seconds=seconds + 2)))[0] == []

    async def test_of_very_many_positions_reach_whole_rows_once_a_second(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "WHOLE_AT_ONCE", 1)
        book.update({1: held(1), 11: held(11)})
        vera, bot = await joined(hub), await joined(hub, form="compact")
        mark = self.mark("101000", soon())
        await asyncio.to_thread(live.append, kind="marks", frame={"marks": [mark]}, stream=live.MARKS)
        await until(lambda: bot.all("rows") and len(vera.all("position_update")) == 2)
        assert {row["mark"] for row in vera.state().values()} == {"101000"}
        back = await joined(hub, resume=vera.all("position_update")[0]["token"], who="user:back")
        assert [one["position"]["mark"] for one in back.all("position_update")] == ["101000"]


class TestTheCompactFormat:
    async def test_sends_a_price_as_a_short_row_and_the_rest_whole(self, hub, book):
        book.update({1: held(1), 2: held(2)})
        bot = await joined(hub, form="compact")
        assert bot.all("snapshot")[0]["columns"] == ["id", "mark_price", "unrealized_pnl", "mark_at_ms"]
        at = soon()
        book.update({1: held(1, mark="100100", at=at), 2: book[2].moved(size="0.7")})
        await until(lambda: bot.all("rows") and bot.all("position_update"))
        assert bot.all("rows")[0]["rows"] == [[1, "100100", "1050", int(at.timestamp() * 1000)]]
        assert [one["id"] for one in bot.all("position_update")] == [2]

    async def test_takes_at_most_60_bytes_for_a_price(self, hub, book):
        book[1] = held(1, size="1.23456", mark="67890.12")
        await hub.board.refresh(now=book[1].at)
        position, price = hub.board.priced(1)
        short = hub_module.frames.compact_row(replace(position, id=123456), price=price)
        assert len(short) + 1 <= 60
        assert json.loads(short)[1] == "67890.12"

    async def test_shows_a_change_of_the_risk_band_whole(self, hub, book):
        book[1] = held(1)
        bot = await joined(hub, form="compact")
        book[1] = held(1, mark="85000", at=soon())
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
        await until(lambda: not hub.reading.is_running)
        book.fault = None
        beats = len(vera.all("heartbeat"))
        await until(lambda: len(vera.all("heartbeat")) > beats)


class TestResuming:
    async def test_brings_exactly_what_was_missed(self, hub, book):
        book.update({1: held(1), 2: held(2), 3: held(3)})
        first, other = await joined(hub), await joined(hub, who="user:stays")
        hub.leave(first.socket)
        book[1] = book[1].moved(size="9")
        del book[3]
        await until(lambda: len(other.all("position_update")) == 2)
        again = await joined(hub, resume=first.token)
        assert again.kinds() == ["hello", "position_update", "position_update", "portfolio"]
        assert sorted((one["id"], one["position"]["open"]) for one in again.all("position_update")) == [
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
        monkeypatch.setattr(changes, "KEEP_GONE", 1)
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
                st.sampled_from(["move", "close", "tick", "leave", "return", "read", "repeat"]),
                st.integers(1, 4),
                st.integers(1, 99),
            ),
            max_size=30,
        ),
        seed=st.randoms(use_true_random=False),
    )
    def test_with_random_disconnects_every_client_ends_with_the_server_s_state(self, steps, seed):
        story = _Story(seed)
        with pytest.MonkeyPatch.context() as monkeypatch:
            story.book.install(monkeypatch)
            asyncio.run(story.play(steps))


class _Story:
    """Clients come and go while positions open, move and close; two see all, one only account 2.

    What happens is told by frames, some twice, some late and some never; now and then everything is read.
    """

    def __init__(self, chance: Any) -> None:
        self.chance = chance
        self.hub = Hub()
        self.hub.reading.loaded.set()
        self.book = Book()
        self.frames: list[dict[str, Any]] = []
        self.begun = timezone.now()
        self.episodes: dict[int, int] = {}
        self.marks = dict.fromkeys(range(1, 5), ("100000", self.begun))
        self.gone: set[int] = set()

    async def play(self, steps: list[tuple[str, int, int]]) -> None:
        self.hub._watching = asyncio.create_task(asyncio.sleep(60))  # the test tells it what changed
        self.clients = [
            await joined(self.hub, who=f"c{n}", accounts=[2] if n == 2 else None, form=form)
            for n, form in enumerate(("named", "compact", "named"))
        ]
        for step in steps:
            await self.step(*step)
        self.hub.tell(await self.hub.board.refresh(now=self.begun))
        for number in sorted(self.gone):
            await self.back(number)
        for client in self.clients:
            self.check(client)
        self.hub._watching.cancel()

    async def step(self, what: str, coin: int, size: int) -> None:
        number = coin % 3
        if what == "leave" and number not in self.gone and len(self.gone) < 2:
            self.gone.add(number)
            self.hub.leave(self.clients[number].socket)
        elif what == "return" and number in self.gone:
            self.gone.discard(number)
            await self.back(number)
        elif what == "read":
            self.hub.tell(await self.hub.board.refresh(now=self.begun))
        elif what == "repeat" and self.frames:
            await self.hear(self.chance.choice(self.frames))
        elif what == "tick":
            at = self.marks[coin][1] + timedelta(milliseconds=1)
            self.marks[coin] = str(90000 + size), at
            for key, one in list(self.book.items()):
                if one.instrument == coin:
                    self.book[key] = replace(one, mark=self.marks[coin][0], at=at)
            mark = {"instrument": coin, "price": self.marks[coin][0], "at": at.isoformat()}
            self.hub.tell(self.hub.board.take_marks([mark], now=self.begun))
        elif what == "close":
            await self.close(coin)
        elif what == "move":
            await self.move(coin, size)

    async def move(self, coin: int, size: int) -> None:
        key = self.episodes.setdefault(coin, coin)
        mark, at = self.marks[coin]
        known = self.book.get(key) or replace(held(key), account=1 + coin % 2, mark=mark, at=at, version=0)
        self.book[key] = known.moved(size=str(size))
        await self.committed(self.book[key])

    async def close(self, coin: int) -> None:
        if (key := self.episodes.get(coin)) in self.book:
            self.episodes[coin] += 10
            await self.committed(self.book.pop(key).closed())

    async def committed(self, one: Held) -> None:
        self.frames.append(one.told())
        if self.chance.random() < 0.8:
            await self.hear(self.frames[-1])

    async def hear(self, row: dict[str, Any]) -> None:
        board = self.hub.board
        told, unknown = board.take_positions(
            [row], account=row["account"], sequence=row["version"], now=self.begun
        )
        self.hub.tell(told)
        self.hub.tell(await board.refresh_some(positions=unknown, now=self.begun) if unknown else [])

    async def back(self, number: int) -> None:
        client = self.clients[number]
        audience = client.socket.audience
        again = Browser(who=f"b{number}", accounts=audience.accounts, form=audience.format)
        again.frames = client.frames
        await self.hub.join(again.socket, resume=client.token)
        self.clients[number] = again

    def check(self, client: Browser) -> None:
        seen = {
            key: (one.size, one.mark)
            for key, one in self.book.items()
            if client.socket.audience.sees(one.account)
        }
        assert {key: (row["size"], row["mark"]) for key, row in client.state().items()} == seen
        numbers = [int(frame["token"].partition("-")[2]) for frame in client.frames if "token" in frame]
        assert numbers == sorted(numbers)


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
