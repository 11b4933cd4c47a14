"""What the live log says reaches browsers without asking Postgres, and what it left out is found."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from portfolio.live import board_reads, board_updater
from portfolio.live import hub as hub_module
from portfolio.live.hub import Hub
from positions import live
from positions.sync import feeds
from tests.portfolio.live.hub_book import held
from tests.portfolio.live.hub_stage import append, joined, soon, until


class TestTheLiveLog:
    @pytest.fixture(autouse=True)
    def _nobody_reads(self, monkeypatch, book):
        """Whatever is shown came out of the log."""
        monkeypatch.setattr(board_updater, "REFRESH_SECONDS", 60)

    async def test_shows_a_fill_without_a_query(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        book[1] = book[1].moved(quantity="0.7")
        await append(book, 1)
        await until(lambda: vera.all("position_update"))
        assert (vera.state()[1]["size"], vera.state()[1]["unrealized"]) == ("0.7", "1400")
        assert book.asked == ["everything"]

    async def test_shows_exactly_what_postgres_would(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].moved(quantity="0.7", entry_price="97000")
        await append(book, 1)
        await until(lambda: vera.all("position_update"))
        fresh = await joined(Hub())
        assert vera.state() == fresh.state()

    async def test_shows_a_close_and_the_next_episode_without_a_query(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].closed()
        await append(book, 1)
        await until(lambda: vera.state() == {})
        del book[1]
        book[11] = held(11, quantity="0.2")
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
        first = book[1].frame_row()
        book[1] = book[1].moved(quantity="0.7")
        await append(book, 1)
        await append(book, 1, positions=[first])
        await append(book, 1)
        await asyncio.to_thread(live.append, kind="feed", account=9, frame={"account": 9, "state": "stale"})
        await until(lambda: vera.all("feed"))
        assert len(vera.all("position_update")) == 1

    async def test_does_not_bring_back_what_was_closed(self, hub, book):
        book[1] = held(1)
        vera = await joined(hub)
        old = book[1].moved(quantity="0.6").frame_row()
        book[1] = book[1].moved().closed()
        await append(book, 1)
        await append(book, 1, positions=[old])
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "stale"})
        await until(lambda: vera.all("feed"))
        assert vera.state() == {}

    async def test_brings_the_venues_terms_of_a_leg(self, hub, book):
        book.update({1: held(1), 2: held(2, account=2)})
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        stated = held(2, liquidation="90000", revision=2).venue_state()
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

    async def test_brings_the_time_of_a_proof_to_rows_whose_feed_is_not_live(self, hub, book):
        book.update({1: held(1), 2: held(2, account=2)})
        book.feeds = {1: "down"}
        vera = await joined(hub)
        at = "2026-01-15T12:00:00+00:00"
        verdict = {"instrument_id": 1, "leg": "net", "wallet": "", "asset": "", "status": "SYNCED",
                   "as_of": at, "revision": 2}  # fmt: skip
        frame = {"account": 1, "verdicts": [verdict]}
        await asyncio.to_thread(live.append, kind="verdict", account=1, frame=frame)
        later = (soon() - timedelta(seconds=60)).isoformat()
        again = {"account": 1, "verdicts": [], "proven": [{"as_of": later, "legs": [[1, "net", 2]]}]}
        await asyncio.to_thread(live.append, kind="verdict", account=1, frame=again)
        await until(lambda: vera.state()[1]["proof_at"] == later)
        row = vera.state()[1]
        assert (row["proof"], row["feed"]) == ("SYNCED", "down")
        assert row["proof_label"].startswith("Synced at ")

    async def test_brings_a_proofs_age_with_its_feed_and_the_word_alone_when_that_is_back(self, hub, book):
        book.update({1: held(1), 2: held(2, account=2)})
        vera = await joined(hub)
        now = timezone.now().isoformat()
        verdict = {"instrument_id": 1, "leg": "net", "wallet": "", "asset": "", "status": "SYNCED",
                   "as_of": now, "revision": 2}  # fmt: skip
        frame = {"account": 1, "verdicts": [verdict]}
        await asyncio.to_thread(live.append, kind="verdict", account=1, frame=frame)
        await until(lambda: vera.state()[1]["proof_label"] == "Synced")
        book.feeds = {1: "stale"}
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "stale"})
        await until(lambda: vera.state()[1]["feed"] == "stale")
        assert vera.state()[1]["proof_label"].startswith("Synced at ")
        assert vera.state()[2]["feed"] == "live"
        assert hub.totals.of(None)["live"]["proof_note"] == "1 synced earlier"
        book.feeds = {}
        await asyncio.to_thread(live.append, kind="feed", account=1, frame={"account": 1, "state": "live"})
        await until(lambda: vera.state()[1]["proof_label"] == "Synced")

    async def test_revalues_what_a_price_concerns_without_a_query(self, hub, book):
        book.update({1: held(1), 2: held(2)})
        vera = await joined(hub)
        book.fault = OperationalError("nobody asks")
        mark = {"instrument": 1, "price": "101000", "source": "mark", "at": soon().isoformat()}
        await asyncio.to_thread(live.append, kind="marks", frame={"marks": [mark]}, stream=live.MARKS)
        await until(lambda: vera.all("position_update"))
        assert [(one["id"], one["position"]["mark_price"]) for one in vera.all("position_update")] == [
            (1, "101000")
        ]

    async def test_sends_feeds_to_those_who_may_see_the_account(self, hub, book):
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
        monkeypatch.setattr(board_updater, "EVERYTHING_POLLED_SECONDS", 60)
        book[1] = held(1)
        vera = await joined(hub)
        book[1] = book[1].moved(quantity="0.7")
        book.sequences[1] = 1
        await until(lambda: vera.all("position_update"))
        assert vera.state()[1]["size"] == "0.7"
        assert book.asked.count("everything") == 1

    async def test_is_not_looked_for_when_nothing_is_missing(self, hub, book, monkeypatch):
        monkeypatch.setattr(board_updater, "EVERYTHING_POLLED_SECONDS", 60)
        book[1] = held(1)
        vera = await joined(hub)
        for size in ("0.6", "0.7", "0.8"):
            book[1] = book[1].moved(quantity=size)
            await append(book, 1)
        await until(lambda: vera.state()[1]["size"] == "0.8" and book.asked.count("heads_and_marks") > 3)
        assert "some" not in book.asked

    async def test_is_read_when_redis_comes_back(self, hub, book, monkeypatch):
        monkeypatch.setattr(board_updater, "EVERYTHING_POLLED_SECONDS", 60)
        vera = await joined(hub)
        book[1] = held(1)
        monkeypatch.setattr(board_updater.LogReader, "read", gap_once(board_updater.LogReader.read))
        await until(lambda: vera.state())

    async def test_never_costs_a_position_that_opened_while_everything_was_read(self, hub, book, monkeypatch):
        """The read began before it was committed, and ends after its frame has come."""
        vera = await joined(hub)
        book[1] = held(1)
        await hub.board.refresh(now=book[1].at)
        opened = held(11)
        everything = book.everything

        async def slow() -> Any:
            read = await everything()
            changes, unknown = hub.board.take_positions(
                [opened.frame_row()], account=1, sequence=9, now=opened.at
            )
            assert (len(changes), unknown) == (1, set())
            return read

        monkeypatch.setattr(board_reads, "everything", slow)
        await hub.board.refresh(now=book[1].at)
        assert set(hub.board._open) == {1, 11}
        assert vera.closed is None


class TestAFullRead:
    """Whoever can write into Redis can send a false frame; it is gone with the next full read."""

    @pytest.fixture
    async def board(self, hub, book):
        book[1] = held(1)
        book.sequences = {1: 3}
        await hub.board.refresh(now=book[1].at)
        return hub.board

    @staticmethod
    def say(board, number, **row):
        return board.take_positions(
            [held(1).frame_row() | row], account=1, sequence=number, now=timezone.now()
        )

    async def test_wins_over_a_row_of_a_later_version(self, board, book):
        self.say(board, 4, version=10**9, quantity="77")
        assert board.row(1)["quantity"] == "77"
        assert len(await board.refresh(now=book[1].at)) == 1
        assert board.row(1)["quantity"] == "0.5"

    async def test_brings_back_what_was_said_to_have_closed(self, board, book):
        self.say(board, 4, version=10**9, status="CLOSED")
        assert board.row(1) is None
        await board.refresh(now=book[1].at)
        assert board.row(1)["quantity"] == "0.5"

    async def test_wins_over_a_false_row_of_the_version_that_is_next(self, board, book):
        book[1] = book[1].moved(quantity="0.7")
        self.say(board, 4, version=book[1].version, quantity="77")
        await board.refresh(now=book[1].at)
        assert board.row(1)["quantity"] == "0.7"

    async def test_ends_a_position_that_is_not_in_the_book(self, board, book):
        self.say(board, 4, id=99, version=1)
        assert board.row(99) is not None
        await board.refresh(now=book[1].at)
        assert board.row(99) is None

    async def test_sets_the_sequence_back(self, board, book):
        for number in range(4, 9):
            board.take_positions([], account=1, sequence=number, now=timezone.now())
        assert board.sequences == {1: 8}
        await board.refresh(now=book[1].at)
        assert board.sequences == {1: 3}

    async def test_is_not_waited_for_by_prices_of_the_future(self, board, book):
        later = book[1].at + timedelta(days=365)
        board.take_marks([TestPrices.mark("1", later)], now=book[1].at)
        assert board.row(1)["mark_price"] == "100000"


def gap_once(hear: Any) -> Any:
    told = []

    async def wrapped(self: Any, *, within: float) -> Any:
        heard = await hear(self, within=within)
        if told:
            return heard
        told.append(1)
        return type(heard)(heard.marks, heard.other, gap=True)

    return wrapped


class TestFeeds:
    async def test_that_no_process_reports_any_more_are_down(self, hub, book, monkeypatch, now):
        feed = feeds.Feed(account=1, state=feeds.State.LIVE, since=now, at=now)
        known = {1: feed}
        monkeypatch.setattr(board_updater.feeds, "known", lambda now: known)
        vera = await joined(hub)
        await until(lambda: vera.all("feed"))
        known[1] = feeds._believed(feed, now + feeds.BELIEVED_FOR * 2)
        await until(lambda: len(vera.all("feed")) == 2)
        assert [frame["feed"]["state"] for frame in vera.all("feed")] == ["live", "down"]

    async def test_that_have_not_changed_are_not_sent_again(self, hub, book, monkeypatch, now):
        feed = feeds.Feed(account=1, state=feeds.State.LIVE, since=now, at=now)
        monkeypatch.setattr(board_updater.feeds, "known", lambda now: {1: feed})
        vera = await joined(hub)
        await until(lambda: len(vera.all("heartbeat")) >= 3)
        assert len(vera.all("feed")) == 1


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
        assert hub.board.row(1)["mark_price"] == "101000"

    async def test_stay_when_the_book_is_read_with_an_older_one(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark("101000", at + timedelta(seconds=5))], now=at)
        assert await hub.board.refresh(now=at) == []
        assert hub.board.row(1)["mark_price"] == "101000"

    async def test_give_way_to_a_newer_one_from_the_book(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark("101000", at + timedelta(seconds=5))], now=at)
        book[1] = held(1, mark_price="102000", at=at + timedelta(seconds=9))
        assert len(await hub.board.refresh(now=at)) == 1
        assert hub.board.row(1)["mark_price"] == "102000"

    async def test_that_became_unknown_carry_the_time_since(self, hub, book):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        hub.board.take_marks([self.mark(None, at)], now=at)
        row = hub.board.row(1)
        assert (row["mark_price"], row["unrealized_pnl"], row["mark_at"]) == (None, None, at.isoformat())

    async def test_that_nobody_renews_become_unknown(self, hub, book, settings):
        book[1] = held(1)
        at = book[1].at
        await hub.board.refresh(now=at)
        seconds = settings.PRICE_STALENESS_THRESHOLD
        changes, _ = await hub.board.check_postgres(now=at + timedelta(seconds=seconds))
        assert changes == []
        changes, _ = await hub.board.check_postgres(now=at + timedelta(seconds=seconds + 1))
        assert [(change.position, change.only_price) for change in changes] == [(1, False)]
        row = hub.board.row(1)
        assert (row["mark_price"], row["unrealized_pnl"], row["risk"]) == (None, None, "unknown")
        assert (await hub.board.check_postgres(now=at + timedelta(seconds=seconds + 2)))[0] == []

    async def test_of_very_many_positions_reach_whole_rows_once_a_second(self, hub, book, monkeypatch):
        monkeypatch.setattr(hub_module, "WHOLE_AT_ONCE", 1)
        book.update({1: held(1), 11: held(11)})
        vera, bot = await joined(hub), await joined(hub, form="compact")
        mark = self.mark("101000", soon())
        await asyncio.to_thread(live.append, kind="marks", frame={"marks": [mark]}, stream=live.MARKS)
        await until(lambda: bot.all("rows") and len(vera.all("position_update")) == 2)
        assert {row["mark_price"] for row in vera.state().values()} == {"101000"}
        back = await joined(hub, resume=vera.all("position_update")[0]["token"], who="user:back")
        assert [one["position"]["mark_price"] for one in back.all("position_update")] == ["101000"]
