"""One browser's socket as the hub sees it: frames go out at once, or wait in a bounded line, and never block.

Note [One step]: awaiting one send after another would let a browser that has stopped reading stop everybody.
So a send is started and taken one step: nearly always that completes it. One that must wait (its transport is
full) is finished by a task of its own, and what comes meanwhile stands in line.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

MOST_WAITING = 1_000_000  # bytes; a browser further behind starts over
TOO_SLOW = 4008


@dataclass(frozen=True, slots=True)
class Audience:
    """What a socket is shown: `accounts` (None: all) in `format`. Sockets of one audience get equal bytes."""

    accounts: frozenset[int] | None
    format: str

    def sees(self, account: int) -> bool:
        """Whether rows of an account are for it."""
        return self.accounts is None or account in self.accounts


@dataclass(slots=True, eq=False)
class Socket:
    """`who` and `credential` say whose it is and what must go on standing for it to stay open."""

    raw_send: Send
    audience: Audience
    who: str
    credential: tuple[str, Any]
    closed: bool = False
    joined: bool = False
    pinged_at: float | None = None
    _waiting: deque[str] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _busy: asyncio.Task[None] | None = None

    def send(self, text: str) -> None:
        """Send a frame, now or after those that wait. One that is too far behind is closed."""
        if self.closed:
            return
        if self._busy is None:
            self._start({"type": "websocket.send", "text": text})
            return
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._waiting_bytes > MOST_WAITING:
            self.close(TOO_SLOW)

    def close(self, code: int) -> None:
        """Close it; frames that wait are dropped. Cut off where even that would have to wait."""
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        if self._busy is not None:
            self._busy.cancel()
        if self.unsent() > MOST_WAITING:
            self._cut()
            return
        self._busy = None
        self._start({"type": "websocket.close", "code": code})

    def drop(self) -> None:
        """Forget what waits: the other side has gone."""
        self.closed = True
        self._waiting.clear()
        if self._busy is not None:
            self._busy.cancel()

    def unsent(self) -> int:
        """Bytes that the transport holds for a browser that does not read; 0 where it cannot be asked."""
        transport = self._transport()
        if transport is None:
            return 0
        held = len(getattr(transport, "dataBuffer", b"")) - int(getattr(transport, "offset", 0))
        return held + int(getattr(transport, "_tempDataLen", 0))

    def _transport(self) -> Any:
        """Daphne's: it buffers without bound and tells nobody. Other servers make a send wait instead."""
        if isinstance(self.raw_send, functools.partial) and self.raw_send.args:
            return getattr(self.raw_send.args[0], "transport", None)
        return None

    def _cut(self) -> None:
        transport = self._transport()
        if transport is not None:
            transport.abortConnection()

    def _start(self, message: dict[str, Any]) -> None:
        sending = self.raw_send(message)
        try:
            pending = sending.send(None)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  whatever a server raises for a socket that has gone
            self.drop()
            return
        self._busy = asyncio.ensure_future(self._finish(_Rest(sending, pending)))

    async def _finish(self, sending: Awaitable[None]) -> None:
        try:
            await sending
            while self._waiting:
                text = self._waiting.popleft()
                self._waiting_bytes -= len(text)
                await self.raw_send({"type": "websocket.send", "text": text})
        except Exception:  # noqa: BLE001  as above
            self.drop()
        finally:
            if self._busy is asyncio.current_task():
                self._busy = None


class _Rest:
    """A coroutine that has taken its first step, awaitable for the others."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], pending: Any) -> None:
        self._coroutine, self._pending = coroutine, pending

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._pending
        except BaseException as error:  # noqa: BLE001  it belongs inside the coroutine
            self._coroutine.throw(error)
        return (yield from self._coroutine.__await__())
