"""The stream process: watches the accounts whose leases it holds, and shares them with its other copies.

The main thread is the supervisor: twice a second it says that this copy lives, takes and gives back leases,
starts and ends watchers, and writes the state of their feeds. It never waits for a venue.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import redis
import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db import connections as databases
from django.utils import timezone

from core.storage.leases import LeaseLost, Leases, with_server_settings
from portfolio.stream import sharing
from portfolio.stream.prices import Prices
from portfolio.stream.threads import Threads, backoff
from portfolio.stream.watcher import Watcher
from positions import live
from positions.book.world import World
from positions.models import Account
from positions.sync import backfills, connections, feed_queries, feeds
from positions.sync.feeds import Feed
from positions.venues.transport.event_loop import background

ROUND_EVERY = 0.5
REPAIR_EVERY = 1.0
DRAIN_WITHIN = 2.0
WATCHERS_END_WITHIN = 1.0
FREED_AFTER_MS = 5000
HANGS_AFTER = 60.0  # longer than any time-out of Postgres or Redis
REPAIRER = "live log repairer"

log = structlog.get_logger("stream")


@dataclass(frozen=True, slots=True)
class _AccountWatch:
    """An account that this copy watches, as it was when its watcher was started."""

    account: Account
    watcher: Watcher
    running: Future[None]


class Stream:
    """One copy. `run` returns after `stop()`."""

    def __init__(self) -> None:
        self.name = sharing.new_name()
        _name_sessions(self.name)
        self._stopping = threading.Event()
        self._loop = background.loop
        self._threads = Threads.start()
        self._prices = Prices(threads=self._threads)
        self._leases: Leases | None = None
        self._watched: dict[int, _AccountWatch] = {}
        self._lock = threading.Lock()
        self._living = frozenset({self.name})
        self._last_round = time.monotonic()

    def stop(self) -> None:
        """End soon: what was received is booked, then the leases are given back. Not for signal handlers."""
        self._stopping.set()

    @property
    def holds_nothing(self) -> bool:
        """Whether nothing is watched, booked or held, so that nothing needs to be given back."""
        return self._leases is None and not self._watched

    def hangs(self) -> bool:
        """Whether the supervisor has hung for so long that only a new process can help."""
        return time.monotonic() - self._last_round > HANGS_AFTER

    def run(self) -> None:
        """Watch until `stop`. Whatever fails is tried again; only programming errors end it."""
        repairer = threading.Thread(target=self._repair, name="repairer", daemon=True)
        repairer.start()
        log.info("stream starts", copy=self.name)
        failures = 0
        while not self._stopping.is_set():
            self._last_round = time.monotonic()
            try:
                self._round()
                failures = 0
            except (DatabaseError, InterfaceError, psycopg.Error, LeaseLost) as error:
                failures += 1
                connection.close()
                log.warning("round failed", failures=failures, error=f"{type(error).__name__}: {error}")
                self._stopping.wait(backoff(failures, first=0.2, longest=1.0))
            self._stopping.wait(ROUND_EVERY)
        self._end()

    # One round

    def _round(self) -> None:
        leases = self._have_leases()
        accounts = {account.pk: account for account in feed_queries.watchable_accounts(now=timezone.now())}
        leases.confirm()
        self._announce()
        held = leases.held()
        for pk, watched in list(self._watched.items()):
            unleased = f"stream {pk}" not in held
            gone = pk not in accounts or watched.running.done()
            if unleased or gone or _is_changed(watched.account, accounts[pk]):
                self._give_back([pk], leases)
        self._give_back(
            sharing.surplus(held=self._watched, accounts=len(accounts), copies=len(self._living)), leases
        )
        share = sharing.fair_share(accounts=len(accounts), copies=len(self._living))
        for pk, account in accounts.items():
            if len(self._watched) >= share:
                break
            if pk not in self._watched and leases.acquire(f"stream {pk}"):
                self._end_transactions_of_the_gone()
                self._start(account)
        self._lead_prices(leases)
        self._hand_over_requests()
        self._write_feed_states()

    def _announce(self) -> None:
        """Announce that this copy lives, once Postgres has answered: the others leave it its share.

        Without Redis, the copies that were known last count.
        """
        with contextlib.suppress(redis.RedisError):
            self._living = sharing.alive(me=self.name)

    def _end_transactions_of_the_gone(self) -> None:
        ended = sharing.end_transactions_of_the_gone(living=self._living | {self.name})
        if ended:
            log.warning("ended transactions of a copy that is gone", sessions=ended)

    def _have_leases(self) -> Leases:
        if self._leases is None:
            self._leases = Leases(on_lost=self._lost)
        return self._leases

    def _start(self, account: Account) -> None:
        watcher = Watcher(
            account=account, copy=self.name, threads=self._threads, prices=self._prices, tell=self._tell
        )
        running = asyncio.run_coroutine_threadsafe(watcher.run(), self._loop)
        with self._lock:
            self._watched[account.pk] = _AccountWatch(account, watcher, running)
        log.info("watching", account=account.label, copy=self.name)

    def _tell(self, feed: Feed) -> None:
        """Write a changed feed to the hash and the live log, in order; without Redis, the next round does."""

        def append() -> None:
            try:
                feeds.tell(feed=feed)
            except redis.RedisError as error:
                log.warning("feed state was not told", account=feed.account, error=str(error))

        with contextlib.suppress(RuntimeError):  # ended meanwhile: there is nobody left to tell
            self._threads.redis.submit(append)

    def _hand_over_requests(self) -> None:
        """Give requested backfills to the watchers of their accounts."""
        with contextlib.suppress(redis.RedisError):
            due = backfills.due(now=timezone.now())
            for pk, one in self._watched.items():
                self._call(
                    partial(one.watcher.backfills.take, [asked for asked in due if asked.account == pk])
                )

    def _write_feed_states(self) -> None:
        now = timezone.now()
        with contextlib.suppress(redis.RedisError):
            feeds.keep(feeds=[one.watcher.state.as_of(now) for one in self._watched.values()])

    def _lead_prices(self, leases: Leases) -> None:
        """Let the first account of each world whose lease this copy holds ask for prices."""
        first: dict[World, Watcher] = {}
        for _, one in sorted(self._watched.items()):
            first.setdefault(one.account.world, one.watcher)
        led = {world: watcher for world, watcher in first.items() if leases.acquire(f"prices {world}")}
        for name in leases.held():
            if name.startswith("prices ") and name not in {f"prices {world}" for world in led}:
                leases.release(name)
        for one in self._watched.values():
            asks = led.get(one.account.world) is one.watcher
            self._call(partial(one.watcher.ask_prices, asks))
        worlds = {world: watcher.account for world, watcher in led.items()}
        self._call(lambda: self._prices.lead(worlds))

    def _call(self, work: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(work)

    # Ending

    def _give_back(self, accounts: list[int], leases: Leases) -> None:
        """End these watchers, book what they received, then let others have them."""
        ended = self._end_watchers(accounts)
        deadline = time.monotonic() + DRAIN_WITHIN
        for one in ended:
            one.watcher.writer.drained(seconds=max(0.0, deadline - time.monotonic()))
            one.watcher.writer.stop()
            connections.forget(one.account.pk)
            leases.release(f"stream {one.account.pk}")
            log.info("no longer watching", account=one.account.label, copy=self.name)

    def _end_watchers(self, accounts: list[int]) -> list[_AccountWatch]:
        with self._lock:
            ended = [found for pk in accounts if (found := self._watched.pop(pk, None)) is not None]
        for one in ended:
            one.running.cancel()
        deadline = time.monotonic() + WATCHERS_END_WITHIN
        for one in ended:
            try:
                one.running.result(max(0.0, deadline - time.monotonic()))
            except (CancelledError, TimeoutError):
                pass
            except Exception:
                log.exception("a watcher ended by itself", account=one.account.label)
        return ended

    def _lost(self) -> None:
        """Stop watching and booking at once: the leases are gone. Called from the leases' thread."""
        with self._lock:
            lost, self._watched = self._watched, {}
        for one in lost.values():
            one.watcher.writer.stop()
            one.running.cancel()
        self._call(lambda: self._prices.lead({}))
        self._leases = None
        log.warning("leases lost: nothing is watched", accounts=len(lost))
        with contextlib.suppress(redis.RedisError):
            sharing.leave(me=self.name)

    def _end(self) -> None:
        """Drain, give everything back, leave: a few seconds at most."""
        leases = self._leases
        ended = self._end_watchers(list(self._watched))
        self._call(lambda: self._prices.lead({}))
        deadline = time.monotonic() + DRAIN_WITHIN
        for one in ended:
            one.watcher.writer.drained(seconds=max(0.0, deadline - time.monotonic()))
            one.watcher.writer.stop()
        if leases is not None:
            leases.close()
        self._threads.stop()
        with contextlib.suppress(redis.RedisError):
            sharing.leave(me=self.name)
        log.info("stream ends", copy=self.name)

    # The live log's repairer

    def _repair(self) -> None:
        while not self._stopping.wait(REPAIR_EVERY):
            try:
                leases = self._leases
                if leases is None or not leases.acquire(REPAIRER):
                    continue
                repaired = live.repair()
                if repaired:
                    log.warning("live log repaired", accounts=repaired)
            except (DatabaseError, InterfaceError, redis.RedisError, LeaseLost) as error:
                log.warning("live log was not repaired", error=f"{type(error).__name__}: {error}")
            finally:
                connection.close()


def _name_sessions(copy: str) -> None:
    """A copy that lost the network in the middle of a booking must not keep the account's lock: whoever takes
    the account over ends what it finds under the name, and the server what nobody has found. Only here:
    elsewhere a long fold may stand between two statements.
    """
    options = databases.settings["default"]["OPTIONS"]
    options["options"] = with_server_settings(
        options.get("options"), idle_in_transaction_session_timeout=FREED_AFTER_MS
    )
    options["application_name"] = sharing.session_name(copy)


def _is_changed(known: Account, now: Account) -> bool:
    """Whether the account is to be connected anew."""
    names = ("venue", "environment", "base_url", "address", "credentials", "options", "label")
    return any(getattr(known, name) != getattr(now, name) for name in names)
