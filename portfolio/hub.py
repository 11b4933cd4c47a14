"""One reader of the live log per web process; every browser's socket hangs on it.

The hub keeps the board in memory, hears from the live log what changed, and sends each change, serialised
once, to the sockets that may see it. A heartbeat leaves only while reading works: a board that cannot be
refreshed must not look alive.

Note [Resuming]: a token is `epoch-number`. The number counts changes of this hub, and each row remembers the
one that last touched it; the epoch is random and new with each hub. So who comes back with a token gets every
row that changed since, as it is now and in order, once; with a token of another epoch, a snapshot.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from portfolio import access, frames, rollup
from portfolio.live_board import Change, LiveBoard
from portfolio.log_reader import Frame, LogReader
from portfolio.rows import Row
from portfolio.sockets import Audience, Socket

REFRESH_SECONDS = 1.0
REFRESH_STREAMED_SECONDS = 3.0  # where prices stream, reading everything only catches what was missed
STREAMED_WITHIN = 5.0
HEARTBEAT_SECONDS = 2.0
TOTALS_SECONDS = 1.0
ACCESS_SECONDS = 3.0
WATCH_SECONDS = 1.0
PING_SECONDS = 10.0
MOST_UNSENT = 1_000_000
SOCKETS_EACH = 20
RESTART_SECONDS = 1.0
KEEP_GONE = 10_000

NO_LONGER_ALLOWED = 4401
TOO_SLOW = 4008

log = structlog.get_logger("hub")


class TooMany(Exception):
    """This person or key has as many sockets as anyone may have."""


class Hub:
    """The board, and the sockets by audience. Lives in one event loop."""

    def __init__(self) -> None:
        self.board = LiveBoard()
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._changed: dict[int, int] = {}  # position → number of its last change
        self._gone: dict[int, Row] = {}  # rows that left, the last to leave last
        self._forgotten = 0
        self._bytes: dict[int, bytes] = {}
        self._audiences: dict[Audience, set[Socket]] = defaultdict(set)
        self._totals: dict[frozenset[int] | None, bytes] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._loaded = asyncio.Event()
        self._told_at = self._totals_at = self._refreshed_at = 0.0
        self._streamed_at = float("-inf")
        self._is_fresh = False

    # Sockets ------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """Where the board stands."""
        return f"{self._epoch}-{self._number}"

    @property
    def sockets(self) -> list[Socket]:
        """All that are open."""
        return [socket for sockets in self._audiences.values() for socket in sockets]

    async def join(self, socket: Socket, *, resume: str | None = None) -> None:
        """Say hello, show what the socket has not seen, and send it every change from here on.

        Nothing is lost or repeated in between: no other task runs from the first frame to the last line.
        Raises TooMany.
        """
        if Counter(other.who for other in self.sockets)[socket.who] >= SOCKETS_EACH:
            raise TooMany
        self._audiences[socket.audience].add(socket)  # counts from here, also while it waits
        if not self._tasks:
            self._start()
        await self._loaded.wait()
        if socket.closed:
            return
        # Without a token: what is shown next has not arrived yet.
        socket.send(frames.frame("hello", server_time=_now(), format=socket.audience.format))
        self.show(socket, resume=resume)
        socket.joined = True

    def leave(self, socket: Socket) -> None:
        """Forget a socket; with the last one the reading stops."""
        socket.drop()
        sockets = self._audiences.get(socket.audience, set())
        sockets.discard(socket)
        if not sockets:
            self._audiences.pop(socket.audience, None)
        if not self._audiences:
            self._stop()

    def move(self, socket: Socket, audience: Audience) -> None:
        """Show a socket something else from here on, beginning with a snapshot."""
        self._audiences[socket.audience].discard(socket)
        if not self._audiences[socket.audience]:
            del self._audiences[socket.audience]
        socket.audience = audience
        self._audiences[audience].add(socket)
        self.show(socket)

    def show(self, socket: Socket, *, resume: str | None = None) -> None:
        """Send what changed since a token, or a snapshot where that is not known (any more)."""
        audience = socket.audience
        since = self._since(resume)
        if since is None:
            rows = [row for row in self.board.rows if audience.sees(row["account_id"])]
            totals = self.totals(audience)
            self._totals.setdefault(audience.accounts, orjson.dumps(totals))
            socket.send(
                frames.snapshot(
                    (self._serialised(row) for row in rows),
                    token=self.token,
                    totals=totals,
                    columns=audience.format == frames.COMPACT,
                )
            )
            return
        missed = sorted((number, key) for key, number in self._changed.items() if number > since)
        for number, key in missed:
            row = self.board.row(key) or self._gone.get(key)
            if row is not None and audience.sees(row["account_id"]):
                socket.send(
                    frames.update(row, position=self._serialised(row), token=f"{self._epoch}-{number}")
                )
        socket.send(frames.frame("portfolio", token=self.token, totals=self.totals(audience)))

    def _since(self, token: str | None) -> int | None:
        epoch, _, number = (token or "").rpartition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit()):
            return None
        since = int(number)
        return since if self._forgotten <= since <= self._number else None

    def totals(self, audience: Audience) -> dict[str, dict[str, Any]]:
        """Return sums over what an audience sees, by environment."""
        if audience.accounts is None:
            return rollup.totals(rows=self.board.rows, environments=self.board.environments)
        return rollup.totals(rows=[row for row in self.board.rows if audience.sees(row["account_id"])])

    # What changed -------------------------------------------------------------------------------------------

    def tell(self, changes: Iterable[Change]) -> None:
        """Send changes to those who may see them, each position once and serialised once.

        Prices go first: a compact client gets them in one frame, and no frame may carry a number beyond
        something that has not been sent.
        """
        latest: dict[int, Change] = {}
        for change in changes:
            earlier = latest.pop(change.row["id"], None)
            only_price = change.only_price and (earlier is None or earlier.only_price)
            latest[change.row["id"]] = Change(change.row, only_price=only_price)
        prices = [change for change in latest.values() if change.only_price]
        for change in prices:
            self._tell(change, skip=frames.COMPACT)
        if prices:
            self._tell_prices(prices)
        for change in latest.values():
            if not change.only_price:
                self._tell(change)

    def _tell(self, change: Change, *, skip: str = "") -> None:
        row = change.row
        self._number += 1
        self._note(row["id"], row)
        text: str | None = None
        for audience, sockets in list(self._audiences.items()):
            if audience.format != skip and audience.sees(row["account_id"]):
                text = text or frames.update(row, position=self._serialised(row), token=self.token)
                _send(sockets, text)

    def _tell_prices(self, changes: Sequence[Change]) -> None:
        short: list[tuple[int, bytes]] = []
        for audience, sockets in list(self._audiences.items()):
            if audience.format == frames.COMPACT:
                short = short or [(one.row["account_id"], frames.compact_row(one)) for one in changes]
                seen = [row for account, row in short if audience.sees(account)]
                if seen:
                    _send(sockets, frames.compact(seen, token=self.token))

    def _note(self, key: int, row: Row) -> None:
        self._changed[key] = self._number
        self._bytes.pop(key, None)
        self._gone.pop(key, None)
        if not row["open"]:
            self._gone[key] = row
            if len(self._gone) > KEEP_GONE:
                oldest = next(iter(self._gone))
                del self._gone[oldest]
                self._forgotten = max(self._forgotten, self._changed.pop(oldest))

    def _serialised(self, row: Row) -> bytes:
        found = self._bytes.get(row["id"])
        if found is None:
            found = self._bytes[row["id"]] = frames.position(row)
        return found

    # Reading ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._stop()
        self._loaded.clear()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A mistake of ours must not leave a board that nobody refreshes."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the hub stopped reading; it starts again", exc_info=error)
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self._audiences:
            self._start()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _read(self) -> None:
        log_reader = LogReader()
        try:
            while not _is_cancelled():
                # Before everything is read: what happens meanwhile comes out of the log afterwards.
                await log_reader.begin()
                await self._refresh()
                self._beat()
                until = self._refreshed_at + self._refresh_seconds()
                if self._is_fresh:
                    until = min(until, self._told_at + HEARTBEAT_SECONDS)
                while (left := until - time.monotonic()) > 0 and not _is_cancelled():
                    self._tell_totals()
                    heard = await log_reader.hear(within=min(left, TOTALS_SECONDS))
                    for frame in heard.marks:
                        self._streamed_at = time.monotonic()
                        self.tell(self.board.take_marks(frame.body["marks"]))
                    await self._take_news(heard.news)
        finally:
            await log_reader.close()

    def _refresh_seconds(self) -> float:
        streamed = time.monotonic() - self._streamed_at < STREAMED_WITHIN
        return REFRESH_STREAMED_SECONDS if streamed else REFRESH_SECONDS

    async def _refresh(self) -> None:
        """Read everything, if it is time."""
        started = time.monotonic()
        if self._is_fresh and started - self._refreshed_at < self._refresh_seconds():
            return
        self._refreshed_at = started
        try:
            self.tell(await self.board.refresh(now=timezone.now()))
        except (DatabaseError, InterfaceError) as error:
            self._is_fresh = False
            log.warning("the board cannot be read", error=str(error))
            return
        self._is_fresh = True
        self._loaded.set()

    async def _take_news(self, news: Iterable[Frame]) -> None:
        """Read again what the log says has changed, all of it in one go."""
        positions: set[int] = set()
        accounts: set[int] = set()
        for frame in news:
            if frame.kind == "feed":
                self._tell_feed(frame)
            elif "positions" in frame.body:
                positions.update(row["id"] for row in frame.body["positions"])
            elif frame.account is not None:
                accounts.add(frame.account)
        if not positions and not accounts:
            return
        try:
            self.tell(
                await self.board.refresh_some(positions=positions, accounts=accounts, now=timezone.now())
            )
        except (DatabaseError, InterfaceError) as error:
            self._is_fresh = False
            log.warning("positions cannot be read", error=str(error))

    def _tell_feed(self, frame: Frame) -> None:
        text = frames.frame("feed", feed=frame.body)
        for audience, sockets in list(self._audiences.items()):
            if frame.account is not None and audience.sees(frame.account):
                _send(sockets, text)

    def _beat(self) -> None:
        if self._is_fresh and time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._told_at = time.monotonic()
            text = frames.frame("heartbeat", server_time=_now(), token=self.token)
            for sockets in list(self._audiences.values()):
                _send(sockets, text)

    def _tell_totals(self) -> None:
        """At most once a second, and only what changed."""
        if time.monotonic() - self._totals_at < TOTALS_SECONDS:
            return
        self._totals_at = time.monotonic()
        fresh: dict[frozenset[int] | None, bytes] = {}
        for audience, sockets in list(self._audiences.items()):
            if audience.accounts not in fresh:
                fresh[audience.accounts] = orjson.dumps(self.totals(audience))
            totals = fresh[audience.accounts]
            if self._totals.get(audience.accounts) not in (None, totals):
                _send(sockets, f'{{"type":"portfolio","token":"{self.token}","totals":{totals.decode()}}}')
        self._totals = fresh

    # Watching -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Close what must not stay open: too far behind, silent after pings, no longer allowed."""
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for socket in self.sockets:
                silent = socket.pinged_at is not None and now - socket.pinged_at > PING_SECONDS
                if silent or socket.unsent() > MOST_UNSENT:
                    socket.close(TOO_SLOW)
            if now - checked_at >= ACCESS_SECONDS:
                checked_at = now
                await self._check_access()

    async def _check_access(self) -> None:
        sockets = self.sockets
        try:
            standing = await access.standing({one.credential for one in sockets}, now=timezone.now())
        except (DatabaseError, InterfaceError) as error:
            log.warning("who may watch could not be checked", error=str(error))
            return
        for socket in sockets:
            if socket.credential not in standing:
                socket.close(NO_LONGER_ALLOWED)


def hub() -> Hub:
    """Return this event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def _is_cancelled() -> bool:
    """Whether this task was told to stop: redis-py may swallow the exception that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _send(sockets: Iterable[Socket], text: str) -> None:
    for socket in list(sockets):
        if socket.joined:
            socket.send(text)


def _now() -> str:
    return datetime.isoformat(timezone.now())
