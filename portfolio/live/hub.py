"""One hub per web process: it has every browser's socket and one board, which follows the live log.

Each change is serialised once, for all who may see it, and changes that come together are sent together. A
heartbeat is sent only while the board can be read: one that cannot must not look alive.
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
from portfolio.live.alert_frames import AlertFrames, may_see_alert
from portfolio.live.board import LiveBoard, RowChange
from portfolio.live.board_updater import BoardUpdater
from portfolio.live.changes import ChangeNumbers
from portfolio.live.sockets import Socket, SocketFilter
from portfolio.live.totals import Totals
from portfolio.live.wires import FrameBatch

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


class _SerialisedRow(NamedTuple):
    account: int
    symbol: str
    bytes: bytes


class TooManySockets(Exception):
    """This person or key has as many sockets as anyone may have."""


class Hub:
    """The board, and the sockets by filter. Lives in one event loop."""

    def __init__(self) -> None:
        self.board = LiveBoard()
        self.changes = ChangeNumbers()
        self.totals = Totals(self.board, self.changes)
        self.updater = BoardUpdater(
            self.board,
            send=self.send,
            send_feed=self.send_feed,
            send_alert=self.send_alert,
            beat=self._beat,
            failed=self._failed,
        )
        self.alerts = AlertFrames()
        self._serialised: dict[int, _SerialisedRow] = {}  # rows as they are sent, kept for a moment
        self._sockets: dict[SocketFilter, set[Socket]] = defaultdict(set)
        self._socket_counts: Counter[str] = Counter()
        self._snapshots: dict[SocketFilter, tuple[int, dict[str, Any], bytes]] = {}
        self._feeds: dict[int, dict[str, Any]] = {}
        self._waiting: dict[SocketFilter, list[bytes]] = defaultdict(list)
        self._later: set[int] = set()
        self._watching: asyncio.Task[None] | None = None
        self._heartbeat_at = self._totals_at = 0.0

    # Sockets ------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """Return the token of the board's last change."""
        return self.changes.token

    @property
    def sockets(self) -> list[Socket]:
        """Return all open sockets."""
        return [socket for sockets in self._sockets.values() for socket in sockets]

    async def join(self, socket: Socket, *, resume: str | None = None) -> None:
        """Send hello, what the socket has not seen, and every change from here on.

        Nothing is lost or repeated in between: no other task runs from the first frame to the last line.
        Raises TooManySockets.
        """
        if self._socket_counts[socket.who] >= SOCKETS_EACH:
            raise TooManySockets
        self._sockets[socket.filter].add(socket)  # counts from here, also while it waits
        self._socket_counts[socket.who] += 1
        if self._watching is None:
            self._start()
        await self.updater.loaded.wait()
        if socket.closed:
            return
        # Without a token: what is shown next has not arrived yet.
        socket.send_one(frames.frame("hello", server_time=_now(), format=socket.filter.format))
        self.show(socket, resume=resume)
        socket.joined = True

    def leave(self, socket: Socket) -> None:
        """Remove a socket; with the last one, reading stops."""
        socket.drop()
        sockets = self._sockets.get(socket.filter, set())
        if socket in sockets:
            sockets.discard(socket)
            self._socket_counts[socket.who] -= 1
            self._socket_counts += Counter()  # those at zero are forgotten
        self._forget_empty(socket.filter)
        if not self._sockets:
            self._stop()

    def move(self, socket: Socket, wanted: SocketFilter) -> None:
        """Give a socket another filter, beginning with a snapshot."""
        old = socket.filter
        self._sockets[old].discard(socket)
        socket.filter = wanted
        self._sockets[wanted].add(socket)
        self._forget_empty(old)
        self.show(socket)

    def _forget_empty(self, wanted: SocketFilter) -> None:
        if not self._sockets.get(wanted):
            self._sockets.pop(wanted, None)
            self._snapshots.pop(wanted, None)

    def show(self, socket: Socket, *, resume: str | None = None) -> None:
        """Send what changed since a token, or a snapshot where that is not known (any more)."""
        wanted = socket.filter
        missed = self.changes.since(resume)
        if missed is None:
            socket.start_over(self._snapshot(wanted))
        else:
            texts = []
            for number, key in missed:
                row = self._row(key)
                if row is not None and wanted.includes(row.account):
                    texts.append(
                        frames.update(key, row.symbol, row.bytes, token=self.changes.token_of(number))
                    )
            texts.append(frames.frame("portfolio", token=self.token, totals=self.totals.of(wanted.accounts)))
            socket.send(FrameBatch(texts))
        for account, feed in self._feeds.items():
            if wanted.includes(account):
                socket.send_one(frames.frame("feed", feed=feed))
        for text in self.alerts.open_for(wanted):
            socket.send_one(text)

    def _snapshot(self, wanted: SocketFilter) -> bytes:
        """Return a snapshot, built once for all sockets that come together, as after a restart."""
        totals = self.totals.of(wanted.accounts)
        known = self._snapshots.get(wanted)
        if known is not None and known[:2] == (self.changes.number, totals):
            return known[2]
        rows = [row for key in self.board.keys(wanted.accounts) if (row := self._row(key)) is not None]
        self.totals.shown(wanted.accounts, totals)
        snapshot = frames.snapshot(
            (row.bytes for row in rows),
            token=self.token,
            totals=totals,
            columns=wanted.format == frames.COMPACT,
        )
        self._snapshots[wanted] = self.changes.number, totals, snapshot
        return snapshot

    # What changed -------------------------------------------------------------------------------------------

    def send(self, changes: Iterable[RowChange]) -> float | None:
        """Send what waits, and changes to the sockets that may see them; each position is serialised once.

        Returns when sending began (time.perf_counter), None if there was nothing to send. Prices go first: a
        compact client gets them in one frame, and a frame's number may not be beyond a change that was not
        sent yet.
        """
        latest: dict[int, RowChange] = {}
        for change in changes:
            earlier = latest.pop(change.position, None)
            only_price = change.only_price and (earlier is None or earlier.only_price)
            latest[change.position] = change._replace(only_price=only_price) if earlier else change
        out = {wanted: self._waiting.pop(wanted, []) for wanted in self._sockets}
        prices = [change for change in latest.values() if change.only_price]
        self._add_prices(prices, out)
        self._add_whole([change for change in latest.values() if not change.only_price], out)
        began = time.perf_counter()
        self._send_all(out)
        return began if any(out.values()) else None

    def _add_prices(self, prices: list[RowChange], out: dict[SocketFilter, list[bytes]]) -> None:
        if len(prices) > WHOLE_AT_ONCE:
            for change in prices:
                self._note(change)
            self._later.update(change.position for change in prices)
        else:
            self._add_whole(prices, out, skip=frames.COMPACT)
        short: list[tuple[int, bytes]] = []
        for wanted, texts in out.items():
            if wanted.format == frames.COMPACT and prices:
                short = short or [(one.account, self._compact_row(one.position)) for one in prices]
                seen = [row for account, row in short if wanted.includes(account)]
                if seen:
                    texts.append(frames.compact(seen, token=self.token))

    def _compact_row(self, key: int) -> bytes:
        held, price = self.board.priced(key)
        return frames.compact_row(held, price=price)

    def _add_whole(
        self, changes: Iterable[RowChange], out: dict[SocketFilter, list[bytes]], *, skip: str = ""
    ) -> None:
        for change in changes:
            self._note(change)
            text: bytes | None = None
            for wanted, texts in out.items():
                if wanted.format != skip and wanted.includes(change.account):
                    row = self._row(change.position)
                    if row is not None and text is None:
                        text = frames.update(change.position, row.symbol, row.bytes, token=self.token)
                    texts += [text] if text else []

    async def _send_later(self) -> None:
        """Send whole rows whose prices were put off, with new numbers, as later frames have overtaken them.

        They go some at a time, so that what changes meanwhile need not wait for all of them.
        """
        waiting = list(self._later)
        for start in range(0, len(waiting), WHOLE_AT_ONCE):
            some = self._later.intersection(waiting[start : start + WHOLE_AT_ONCE])
            held = [(key, account) for key in some if (account := self.board.account_of(key)) is not None]
            out: dict[SocketFilter, list[bytes]] = {wanted: [] for wanted in self._sockets}
            self._add_whole(
                [RowChange(key, account, only_price=True) for key, account in held], out, skip=frames.COMPACT
            )
            self._later -= some
            self._send_all(out)
            await asyncio.sleep(0)

    def _note(self, change: RowChange) -> None:
        self._serialised.pop(change.position, None)
        self._later.discard(change.position)
        self.changes.note(change.position, left=change.left)

    def _row(self, key: int) -> _SerialisedRow | None:
        """Return the row of a position that is open or has left, as frames carry it."""
        serialised = self._serialised.get(key)
        if serialised is None:
            row = self.board.row(key) or self.changes.gone(key)
            if row is None:
                return None
            serialised = self._serialised[key] = _SerialisedRow(
                row["account_id"], row["symbol"], frames.position(row)
            )
        return serialised

    def _send_all(self, out: dict[SocketFilter, list[bytes]]) -> None:
        for wanted, texts in out.items():
            if texts:
                self._send_to(wanted, FrameBatch(texts))

    def _send_to(self, wanted: SocketFilter, batch: FrameBatch) -> None:
        for socket in tuple(self._sockets.get(wanted, ())):
            if socket.joined:
                socket.send(batch)

    def send_feed(self, account: int, feed: dict[str, Any]) -> None:
        """Send an account's feed with the next changes, if it differs from what was last sent."""
        known = self._feeds.get(account)
        self._feeds[account] = feed
        if known is not None and _essence(known) == _essence(feed):
            return
        sent = frames.frame("feed", feed=feed)
        for wanted in self._sockets:
            if wanted.includes(account):
                self._waiting[wanted].append(sent)

    def send_alert(self, account: int | None, alert: dict[str, Any]) -> None:
        """Send an alert with the next changes, if it differs from what was last sent."""
        sent = self.alerts.take(account, alert)
        if sent is not None:
            for wanted in self._sockets:
                if may_see_alert(wanted, account, alert):
                    self._waiting[wanted].append(sent)

    # By the clock -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._stop()
        self.updater.start()
        self._watching = asyncio.create_task(self._watch())

    def _stop(self) -> None:
        self.updater.stop()
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _failed(self, error: BaseException) -> None:
        """Start again after an error of ours: a board must not stay up that nobody refreshes."""
        log.error("the hub stopped reading; it starts again", exc_info=error)
        self.updater.stop()
        asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if self._sockets and not self.updater.is_running:
            self.updater.start()

    async def _beat(self, is_fresh: bool) -> None:
        await self._send_later()
        self._serialised.clear()
        self._snapshots.clear()
        if time.monotonic() - self._totals_at >= TOTALS_SECONDS:
            self._totals_at = time.monotonic()
            self._send_totals()
        if is_fresh and time.monotonic() - self._heartbeat_at >= HEARTBEAT_SECONDS:
            self._heartbeat_at = time.monotonic()
            batch = FrameBatch([frames.frame("heartbeat", server_time=_now(), token=self.token)])
            for wanted in list(self._sockets):
                self._send_to(wanted, batch)

    def _send_totals(self) -> None:
        """Send totals, at most once a second, and only those that changed."""
        news = self.totals.news(wanted.accounts for wanted in self._sockets)
        for wanted in list(self._sockets):
            if wanted.accounts in news:
                frame = frames.totals(news[wanted.accounts], token=self.token)
                self._send_to(wanted, FrameBatch([frame]))

    async def _watch(self) -> None:
        """Close sockets that are too far behind, that stopped pinging, or that are no longer allowed."""
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
            valid = await access.still_valid({one.credential for one in sockets}, now=timezone.now())
        except (DatabaseError, InterfaceError) as error:
            log.warning("who may watch could not be checked", error=str(error))
            return
        for socket in sockets:
            if socket.credential not in valid:
                socket.close(NO_LONGER_ALLOWED)


def hub() -> Hub:
    """Return this event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def _essence(feed: dict[str, Any]) -> tuple[Any, ...]:
    """Return what of a feed's state is worth a frame: its times of observation are not."""
    return (
        feed["state"],
        feed.get("since"),
        feed.get("reason"),
        feed.get("streams"),
        str(feed.get("progress")),
    )


def _now() -> str:
    return datetime.isoformat(timezone.now())
