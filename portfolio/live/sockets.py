"""One browser's socket as the hub sees it: frames go out at once or wait in a bounded queue, and never block.

Note [One step]: awaiting one send after another would let a browser that has stopped reading stop everybody.
So frames are written to the transport where that can be done (see `wires`), else a send is started and taken
one step: nearly always that completes it. One that must wait (its transport is full) is finished by a task of
its own, and frames that come meanwhile are queued.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

from portfolio.live.wires import FrameBatch, Wire, wire_of

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

MOST_WAITING = 1_000_000  # bytes; a browser further behind starts over
TOO_SLOW = 4008


@dataclass(frozen=True, slots=True)
class SocketFilter:
    """What a socket is sent: `accounts` (None: all) in `format`. Equal filters get equal bytes."""

    accounts: frozenset[int] | None
    format: str

    def includes(self, account: int) -> bool:
        """Return whether rows of an account pass."""
        return self.accounts is None or account in self.accounts


@dataclass(slots=True, eq=False)
class Socket:
    """`who` is the person or key it belongs to; it stays open as long as `credential` is valid."""

    raw_send: Send
    filter: SocketFilter
    who: str
    credential: tuple[str, Any]
    closed: bool = False
    joined: bool = False
    pinged_at: float | None = None
    _wire: Wire | None = None
    _patience: int = MOST_WAITING
    _waiting: deque[bytes] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _busy: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._wire = wire_of(self.raw_send)

    def send(self, frames: FrameBatch) -> None:
        """Send frames, now or after those that wait; close a socket that is too far behind."""
        if self.closed:
            return
        if self._busy is None and self._wire is not None and self._wire.write(frames.wire):
            return
        for text in frames.texts:
            self._queue(text)

    def send_one(self, text: bytes) -> None:
        """Send one frame to this socket alone."""
        self.send(FrameBatch([text]))

    def start_over(self, text: bytes) -> None:
        """Send a snapshot; a slow line may take its time over it, and does not count as too far behind."""
        self._patience = MOST_WAITING + len(text)
        self.send_one(text)

    def _queue(self, text: bytes) -> None:
        if self._busy is None and not self.closed:
            self._start({"type": "websocket.send", "text": text.decode()})
            return
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._waiting_bytes > self._patience:
            self.close(TOO_SLOW)

    def close(self, code: int) -> None:
        """Close the socket and drop frames that wait; cut the connection where closing would have to wait."""
        if self.closed:
            return
        self.closed = True
        self._drop_waiting()
        must_wait = self._busy is not None
        if self._busy is not None:
            self._busy.cancel()
        if self._wire is not None and (must_wait or self._wire.unsent() > MOST_WAITING):
            self._wire.cut()
            return
        self._busy = None
        self._start({"type": "websocket.close", "code": code})

    def drop(self) -> None:
        """Drop what waits: the client has gone."""
        self.closed = True
        self._drop_waiting()
        if self._busy is not None:
            self._busy.cancel()

    def is_behind(self) -> bool:
        """Return whether more is unsent than any socket may have."""
        unsent = self.unsent()
        if unsent <= MOST_WAITING:
            self._patience = MOST_WAITING  # the snapshot is through: from here on it must keep up
        return unsent > self._patience

    def unsent(self) -> int:
        """Return the bytes kept for a browser that does not read, here and in the server's transport."""
        return self._waiting_bytes + (self._wire.unsent() if self._wire is not None else 0)

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0

    def _start(self, message: dict[str, Any]) -> None:
        sending = self.raw_send(message)
        try:
            pending = sending.send(None)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  whatever a server raises for a socket that has gone
            self.drop()
            return
        self._busy = asyncio.ensure_future(self._finish(_SendRemainder(sending, pending)))

    async def _finish(self, sending: Awaitable[None]) -> None:
        try:
            await sending
            while self._waiting:
                text = self._waiting.popleft()
                self._waiting_bytes -= len(text)
                await self.raw_send({"type": "websocket.send", "text": text.decode()})
        except Exception:  # noqa: BLE001  as above
            self.drop()
        finally:
            if self._busy is asyncio.current_task():
                self._busy = None


class _SendRemainder:
    """The remaining steps of a coroutine that has taken its first one, to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], pending: Any) -> None:
        self._coroutine, self._pending = coroutine, pending

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._pending
        except BaseException as error:  # noqa: BLE001  it belongs inside the coroutine
            self._coroutine.throw(error)
        return (yield from self._coroutine.__await__())
