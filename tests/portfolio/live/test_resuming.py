"""Who comes back with a token gets what was missed, once and in order, or a snapshot."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.live import changes
from portfolio.live.hub import Hub
from tests.portfolio.live.hub_book import Book, Browser, Holding, held
from tests.portfolio.live.hub_stage import joined, until


class TestResuming:
    async def test_brings_exactly_what_was_missed(self, hub, book):
        book.update({1: held(1), 2: held(2), 3: held(3)})
        first, other = await joined(hub), await joined(hub, who="user:stays")
        hub.leave(first.socket)
        book[1] = book[1].moved(quantity="9")
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

    @settings(max_examples=60)
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

    Frames report what happens, some twice, some late and some never; now and then everything is read.
    """

    def __init__(self, chance: Any) -> None:
        self.chance = chance
        self.hub = Hub()
        self.hub.updater.loaded.set()
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
        self.hub.send(await self.hub.board.refresh(now=self.begun))
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
            self.hub.send(await self.hub.board.refresh(now=self.begun))
        elif what == "repeat" and self.frames:
            await self.hear(self.chance.choice(self.frames))
        elif what == "tick":
            at = self.marks[coin][1] + timedelta(milliseconds=1)
            self.marks[coin] = str(90000 + size), at
            for key, one in list(self.book.items()):
                if one.instrument == coin:
                    self.book[key] = replace(one, mark_price=self.marks[coin][0], at=at)
            mark = {"instrument": coin, "price": self.marks[coin][0], "at": at.isoformat()}
            self.hub.send(self.hub.board.take_marks([mark], now=self.begun))
        elif what == "close":
            await self.close(coin)
        elif what == "move":
            await self.move(coin, size)

    async def move(self, coin: int, size: int) -> None:
        key = self.episodes.setdefault(coin, coin)
        mark, at = self.marks[coin]
        known = self.book.get(key) or replace(
            held(key), account=1 + coin % 2, mark_price=mark, at=at, version=0
        )
        self.book[key] = known.moved(quantity=str(size))
        await self.committed(self.book[key])

    async def close(self, coin: int) -> None:
        if (key := self.episodes.get(coin)) in self.book:
            self.episodes[coin] += 10
            await self.committed(self.book.pop(key).closed())

    async def committed(self, one: Holding) -> None:
        self.frames.append(one.frame_row())
        if self.chance.random() < 0.8:
            await self.hear(self.frames[-1])

    async def hear(self, row: dict[str, Any]) -> None:
        board = self.hub.board
        changes, unknown = board.take_positions(
            [row], account=row["account"], sequence=row["version"], now=self.begun
        )
        self.hub.send(changes)
        self.hub.send(await board.refresh_some(positions=unknown, now=self.begun) if unknown else [])

    async def back(self, number: int) -> None:
        client = self.clients[number]
        shown = client.socket.filter
        again = Browser(who=f"b{number}", accounts=shown.accounts, form=shown.format)
        again.frames = client.frames
        await self.hub.join(again.socket, resume=client.token)
        self.clients[number] = again

    def check(self, client: Browser) -> None:
        seen = {
            key: (one.quantity, one.mark_price)
            for key, one in self.book.items()
            if client.socket.filter.includes(one.account)
        }
        assert {key: (row["quantity"], row["mark_price"]) for key, row in client.state().items()} == seen
        numbers = [int(frame["token"].partition("-")[2]) for frame in client.frames if "token" in frame]
        assert numbers == sorted(numbers)
