"""Prices of what is held: taken from the streams, asked for where none comes, told and written now and then.

One copy leads each world (venue, environment, base URL), under a lease; there one account asks for prices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from portfolio.stream.price_board import PriceBoard, row
from portfolio.stream.threads import Threads
from positions import live, observe
from positions.book.world import World
from positions.models import Account
from positions.risk.mark_price import Quote
from positions.sync import connections, feed_queries
from positions.venues.base import AccountConfig, Environment, RateLimited, Venue, VenueError, VenueMark
from positions.venues.registry import open_venue
from positions.venues.transport.event_loop import background

TELL_EVERY = 0.1
ASK_EVERY = 0.5
ASK_WITHIN = 5.0
HELD_EVERY = 1.0
WRITE_EVERY = 3.0
WRITE_ALL_EVERY = 30.0  # a fill's par value is that of a price at most a minute old
REFERENCE_EVERY = 5.0
# By then a price is seconds old, and shown with its age; after PRICE_STALENESS_THRESHOLD it is unknown.
TRY_AGAIN_AFTER = (1.0, 2.0, 4.0)

log = structlog.get_logger("prices")


@dataclass(slots=True)
class _PriceLead:
    board: PriceBoard
    account: Account
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    wrote_all_at: float = 0.0


class Prices:
    """The boards of the worlds that this copy leads. Lives on the venues' event loop."""

    def __init__(self, *, threads: Threads) -> None:
        self._threads = threads
        self._leads: dict[World, _PriceLead] = {}
        self._reference: Venue | None = None

    def take(self, account: Account, marks: Collection[VenueMark]) -> None:
        """Prices that an account's stream brought."""
        lead = self._leads.get(account.world)
        if lead is not None:
            lead.board.take(marks)

    def lead(self, worlds: Mapping[World, Account]) -> None:
        """Lead these worlds, each through one of its accounts, and no others."""
        for world in [world for world in self._leads if world not in worlds]:
            for task in self._leads.pop(world).tasks:
                task.cancel()
        for world, account in worlds.items():
            lead = self._leads.get(world)
            if lead is not None:
                lead.account = account
                continue
            board = PriceBoard(unknown_after=timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD))
            self._leads[world] = lead = _PriceLead(board, account)
            lead.tasks = [
                asyncio.get_running_loop().create_task(self._repeat(every, work, world, lead))
                for every, work in (
                    (TELL_EVERY, self._tell),
                    (HELD_EVERY, self._look),
                    (ASK_EVERY, self._ask),
                    (WRITE_EVERY, self._write),
                    (REFERENCE_EVERY, self._ask_reference),
                )
            ]

    async def _repeat(
        self,
        every: float,
        work: Callable[[World, _PriceLead], Awaitable[None]],
        world: World,
        lead: _PriceLead,
    ) -> None:
        """Do it again and again; a failure is logged and waited for, never the end."""
        failures, wait = 0, every
        what = work.__name__.strip("_")
        while True:
            await asyncio.sleep(wait)
            try:
                await work(world, lead)
                failures, wait = 0, every
            except (VenueError, redis.RedisError, DatabaseError, InterfaceError, TimeoutError) as error:
                failures += 1
                wait = max(every, _before_try(failures, error))
                log.warning("prices", world=world.venue, what=what, error=f"{type(error).__name__}: {error}")
            except Exception:
                failures += 1
                wait = max(every, _before_try(failures, None))
                log.exception("prices: a mistake of ours", world=world.venue, what=what)

    async def _look(self, world: World, lead: _PriceLead) -> None:
        """What is held, and the ids of markets."""
        if not lead.ids or lead.board.quotes.keys() - lead.ids.keys():
            lead.ids = await self._threads.ask(feed_queries.instrument_ids, world=world)
        lead.board.held = await self._threads.ask(feed_queries.held_instruments, world=world)

    async def _tell(self, world: World, lead: _PriceLead) -> None:
        now = timezone.now()
        news = lead.board.news(now=now)
        if news:
            rows = [row(instrument, state) for instrument, state in news.items()]
            await self._threads.append(live.append, kind="marks", frame={"marks": rows}, stream=live.MARKS)
            lead.board.tell(news, now=now)

    async def _ask(self, world: World, lead: _PriceLead) -> None:
        """REST where nothing streams, or where the stream has said nothing for a while."""
        now = timezone.now()
        symbols = lead.board.silent(now=now)
        if symbols:
            lead.board.asked_at = now
            venue = await self._threads.ask(connections.connect, account=lead.account)
            async with asyncio.timeout(ASK_WITHIN):
                lead.board.take(await venue.marks(symbols=symbols), streamed=False)

    async def _ask_reference(self, world: World, lead: _PriceLead) -> None:
        """Another venue's price of the same coin, for live accounts whose own venue gives none."""
        if world.environment != Environment.LIVE or not settings.REFERENCE_VENUE:
            return
        lost = [one for one in lead.board.lost(now=timezone.now()) if one.quote in settings.PAR_CURRENCIES]
        if not lost:
            return
        if self._reference is None:
            config = AccountConfig(account="reference prices", venue=settings.REFERENCE_VENUE)
            self._reference = await self._threads.ask(open_venue, config, connections.ports())
            background.on_close(self._reference.close)
        symbols = {f"{one.underlying}/USDT:USDT" for one in lost}
        async with asyncio.timeout(ASK_WITHIN):
            found = {mark.venue_symbol: mark for mark in await self._reference.marks(symbols=symbols)}
        for one in lost:
            mark = found.get(f"{one.underlying}/USDT:USDT")
            if mark is not None and one.priced_by is not None:
                lead.board.quotes.setdefault(one.priced_by, {})["reference"] = Quote(
                    mark.price * one.ratio, settings.REFERENCE_VENUE, mark.time
                )

    async def _write(self, world: World, lead: _PriceLead) -> None:
        """Into Postgres: what is held each time, all markets now and then."""
        at = asyncio.get_running_loop().time()
        everything = at - lead.wrote_all_at >= WRITE_ALL_EVERY
        quotes = {
            symbol: quote
            for symbol, quote in lead.board.unwritten(everything=everything).items()
            if symbol in lead.ids
        }
        prices = [
            observe.MarkPrice(
                instrument=lead.ids[symbol], price=quote.price, source=quote.source, at=quote.at
            )
            for symbol, quote in sorted(quotes.items())
        ]
        await self._threads.ask(observe.marks, prices=prices, now=timezone.now())
        lead.board.written.update(quotes)
        if everything:
            lead.wrote_all_at = at


def _before_try(failures: int, error: Exception | None) -> float:
    """Seconds before the next try after so many failures in a row: 1, 2, 4, and 4 from there on."""
    wait = TRY_AGAIN_AFTER[min(failures, len(TRY_AGAIN_AFTER)) - 1]
    return max(wait, error.for_.total_seconds()) if isinstance(error, RateLimited) else wait
