"""One hub per web process: every browser's socket hangs on it, and one reader of the live log moves its
board.

Each change is serialised once, for all who may see it, and changes that come together leave together. A
heartbeat leaves only while reading works: a board that cannot be read must not look alive.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import structlog
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from portfolio.live import access, frames
from portfolio.live.board import LiveBoard, RowChange
from portfolio.live.board_updater import BoardUpdater
from portfolio.live.changes import Changes
from portfolio.live.sockets import Audience, Socket
from portfolio.live.totals import Totals
from portfolio.live.wires import Frames

HEARTBEAT_SECONDS = 2.0
TOTALS_SECONDS = 1.0
ACCESS_SECONDS = 3.0
WATCH_SECONDS = 1.0
PING_SECONDS = 10.0
SOCKETS_EACH = 20
RESTART_SECONDS = 1.0
WHOLE_AT_ONCE = 100  # prices of more positions than this reach whole rows once a second

NO_LONGER_ALLOWED = 4401
TOO_SLOW = 4008

log = structlog.get_logger("hub")


class _Made(NamedTuple):
    account: int
    symbol: str
    bytes: bytes


class TooMany(Exception):
    """This person or key has as many sockets as anyone may have."""


class Hub:
    """The board, and the sockets by audience. Lives in one event loop."""

    def __init__(self) -> None:
        self.board = LiveBoard()
        self.changes = Changes()
        self.totals = Totals(self.board, self.changes)
        self.reading = BoardUpdater(
            self.board, tell=self.tell, tell_feed=self.tell_feed, beat=self._beat, failed=self._failed
        )
        self._made: dict[int, _Made] = {}  # rows as they are sent, for a moment
        self._audiences: dict[Audience, set[Socket]] = defaultdict(set)
        self._of_whom: Counter[str] = Counter()
        self._snapshots: dict[Audience, tuple[int, dict[str, Any], bytes]] = {}
        self._feeds: dict[int, dict[str, Any]] = {}
        self._waiting: dict[Audience, list[bytes]] = defaultdict(list)
        self._later: set[int] = set()
        self._watching: asyncio.Task[None] | None = None
        self._told_at = self._totals_at = 0.0

    # Sockets ------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """Where the board stands."""
        return self.changes.token

    @property
    def sockets(self) -> list[Socket]:
        """All that are open."""
        return [socket for sockets in self._audiences.values() for socket in sockets]

    async def join(self, socket: Socket, *, resume: str | None = None) -> None:
        """Say hello, show what the socket has not seen, and send it every change from here on.

        Nothing is lost or repeated in between: no other task runs from the first frame to the last line.
        Raises TooMany.
        """
        if self._of_whom[socket.who] >= SOCKETS_EACH:
            raise TooMany
        self._audiences[socket.audience].add(socket)  # counts from here, also while it waits
        self._of_whom[socket.who] += 1
        if self._watching is None:
            self._start()
        await self.reading.loaded.wait()
        if socket.closed:
            return
        # Without a token: what is shown next has not arrived yet.
        socket.say(frames.frame("hello", server_time=_now(), format=socket.audience.format))
        self.show(socket, resume=resume)
        socket.joined = True

    def leave(self, socket: Socket) -> None:
        """Forget a socket; with the last one the reading stops."""
        socket.drop()
        sockets = self._audiences.get(socket.audience, set())
        if socket in sockets:
            sockets.discard(socket)
            self._of_whom[socket.who] -= 1
            self._of_whom += Counter()  # those at zero are forgotten
        self._forget_empty(socket.audience)
        if not self._audiences:
            self._stop()

    def move(self, socket: Socket, audience: Audience) -> None:
        """Show a socket something else from here on, beginning with a snapshot."""
        old = socket.audience
        self._audiences[old].discard(socket)
        socket.audience = audience
        self._audiences[audience].add(socket)
        self._forget_empty(old)
        self.show(socket)

    def _forget_empty(self, audience: Audience) -> None:
        if not self._audiences.get(audience):
            self._audiences.pop(audience, None)
            self._snapshots.pop(audience, None)

    def show(self, socket: Socket, *, resume: str | None = None) -> None:
        """Send what changed since a token, or a snapshot where that is not known (any more)."""
        audience = socket.audience
        missed = self.changes.since(resume)
        if missed is None:
            socket.start_over(self._snapshot(audience))
        else:
            texts = []
            for number, key in missed:
                row = self._row(key)
                if row is not None and audience.sees(row.account):
                    texts.append(
                        frames.update(key, row.symbol, row.bytes, token=self.changes.token_of(number))
                    )
            texts.append(
                frames.frame("portfolio", token=self.token, totals=self.totals.of(audience.accounts))
            )
            socket.send(Frames(texts))
        for account, feed in self._feeds.items():
            if audience.sees(account):
                socket.say(frames.frame("feed", feed=feed))

    def _snapshot(self, audience: Audience) -> bytes:
        """Made once for all who come together, as after a restart."""
        totals = self.totals.of(audience.accounts)
        known = self._snapshots.get(audience)
        if known is not None and known[:2] == (self.changes.number, totals):
            return known[2]
        rows = [row for key in self.board.keys(audience.accounts) if (row := self._row(key)) is not None]
        self.totals.shown(audience.accounts, totals)
        made = frames.snapshot(
            (row.bytes for row in rows),
            token=self.token,
            totals=totals,
            columns=audience.format == frames.COMPACT,
        )
        self._snapshots[audience] = self.changes.number, totals, made
        return made

    # What changed -------------------------------------------------------------------------------------------

    def tell(self, changes: Iterable[RowChange]) -> float | None:
        """Send what waits, and changes to those who may see them, each position once and serialised once.

        Returns when sending began (time.perf_counter); None: there was nothing to send.

        Prices go first: a compact client gets them in one frame, and no frame may carry a number beyond
        something that has not been sent.
        """
        latest: dict[int, RowChange] = {}
        for change in changes:
            earlier = latest.pop(change.position, None)
            only_price = change.only_price and (earlier is None or earlier.only_price)
            latest[change.position] = change._replace(only_price=only_price) if earlier else change
        out = {audience: self._waiting.pop(audience, []) for audience in self._audiences}
        prices = [change for change in latest.values() if change.only_price]
        self._tell_prices(prices, out)
        self._tell_whole([change for change in latest.values() if not change.only_price], out)
        began = time.perf_counter()
        self._send(out)
        return began if any(out.values()) else None

    def _tell_prices(self, prices: list[RowChange], out: dict[Audience, list[bytes]]) -> None:
        if len(prices) > WHOLE_AT_ONCE:
            for change in prices:
                self._note(change)
            self._later.update(change.position for change in prices)
        else:
            self._tell_whole(prices, out, skip=frames.COMPACT)
        short: list[tuple[int, bytes]] = []
        for audience, texts in out.items():
            if audience.format == frames.COMPACT and prices:
                short = short or [(one.account, self._short(one.position)) for one in prices]
                seen = [row for account, row in short if audience.sees(account)]
                if seen:
                    texts.append(frames.compact(seen, token=self.token))

    def _short(self, key: int) -> bytes:
        held, price = self.board.priced(key)
        return frames.compact_row(held, price=price)

    def _tell_whole(
        self, changes: Iterable[RowChange], out: dict[Audience, list[bytes]], *, skip: str = ""
    ) -> None:
        for change in changes:
            self._note(change)
            text: bytes | None = None
            for audience, texts in out.items():
                if audience.format != skip and audience.sees(change.account):
                    row = self._row(change.position)
                    if row is not None and text is None:
                        text = frames.update(change.position, row.symbol, row.bytes, token=self.token)
                    texts += [text] if text else []

    async def _tell_later(self) -> None:
        """Prices that whole rows did not get at once; with new numbers, as later frames have passed them.

        Some at a time: what is news meanwhile need not wait for all of them.
        """
        waiting = list(self._later)
        for start in range(0, len(waiting), WHOLE_AT_ONCE):
            some = self._later.intersection(waiting[start : start + WHOLE_AT_ONCE])
            held = [(key, account) for key in some if (account := self.board.account_of(key)) is not None]
            out: dict[Audience, list[bytes]] = {audience: [] for audience in self._audiences}
            self._tell_whole(
                [RowChange(key, account, only_price=True) for key, account in held], out, skip=frames.COMPACT
            )
            self._later -= some
            self._send(out)
            await asyncio.sleep(0)

    def _note(self, change: RowChange) -> None:
        self._made.pop(change.position, None)
        self._later.discard(change.position)
        self.changes.note(change.position, left=change.left)

    def _row(self, key: int) -> _Made | None:
        """A row as every frame that has it carries it: of a position that is open, or that has left."""
        made = self._made.get(key)
        if made is None:
            row = self.board.row(key) or self.changes.gone(key)
            if row is None:
                return None
            made = self._made[key] = _Made(row["account_id"], row["symbol"], frames.position(row))
        return made

    def _send(self, out: dict[Audience, list[bytes]]) -> None:
        for audience, texts in out.items():
            if texts:
                self._send_to(audience, Frames(texts))

    def _send_to(self, audience: Audience, sent: Frames) -> None:
        for socket in tuple(self._audiences.get(audience, ())):
            if socket.joined:
                socket.send(sent)

    def tell_feed(self, account: int, feed: dict[str, Any]) -> None:
        """Tell how an account's feed stands, if that is news, together with the next changes."""
        known = self._feeds.get(account)
        self._feeds[account] = feed
        if known is not None and _gist(known) == _gist(feed):
            return
        sent = frames.frame("feed", feed=feed)
        for audience in self._audiences:
            if audience.sees(account):
                self._waiting[audience].append(sent)

    # By the clock -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._stop()
        self.reading.start()
        self._watching = asyncio.create_task(self._watch())

    def _stop(self) -> None:
        self.reading.stop()
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _failed(self, error: BaseException) -> None:
        """A mistake of ours must not leave a board that nobody refreshes."""
        log.error("the hub stopped reading; it starts again", exc_info=error)
        self.reading.stop()
        asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self._audiences and not self.reading.is_running:
            self.reading.start()

    async def _beat(self, is_fresh: bool) -> None:
        await self._tell_later()
        self._made.clear()
        self._snapshots.clear()
        if time.monotonic() - self._totals_at >= TOTALS_SECONDS:
            self._totals_at = time.monotonic()
            self._tell_totals()
        if is_fresh and time.monotonic() - self._told_at >= HEARTBEAT_SECONDS:
            self._told_at = time.monotonic()
            sent = Frames([frames.frame("heartbeat", server_time=_now(), token=self.token)])
            for audience in list(self._audiences):
                self._send_to(audience, sent)

    def _tell_totals(self) -> None:
        """At most once a second, and only what changed."""
        news = self.totals.news(audience.accounts for audience in self._audiences)
        for audience in list(self._audiences):
            if audience.accounts in news:
                told = frames.totals(news[audience.accounts], token=self.token)
                self._send_to(audience, Frames([told]))

    async def _watch(self) -> None:
        """Close what must not stay open: too far behind, silent after pings, no longer allowed."""
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = time.monotonic()
            for socket in self.sockets:
                silent = socket.pinged_at is not None and now - socket.pinged_at > PING_SECONDS
                if silent or socket.is_behind():
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


def _gist(feed: dict[str, Any]) -> tuple[Any, ...]:
    """What of a feed's state is worth a frame: not that it was said again."""
    return (
        feed["state"],
        feed.get("since"),
        feed.get("reason"),
        feed.get("streams"),
        str(feed.get("progress")),
    )


def _now() -> str:
    return datetime.isoformat(timezone.now())
