"""A WebSocket session that ends when the connection does, and a loop that opens the next one.

Frames are taken raw and in order as they arrive (`InstrumentedExchange.handle_message`). ccxt's own watch
methods deliver a fill that came between two awaits only with the next one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from positions.venues.base import Clock, Denied, StreamEvent, StreamLoss, StreamStart, Unsupported, VenueError
from positions.venues.errors import translate
from positions.venues.transport.client import Client

FRAMES_HELD = 20_000
SILENCE = timedelta(seconds=45)
FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
# A venue that does not answer our good-bye: its sockets then close behind our back.
GOODBYE = timedelta(seconds=2)
# A connection that lived this long was a good one: the next dial does not wait.
GOOD_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription: `message` is sent once per connection."""

    name: str
    message: dict[str, Any]


class ConnectionFailure(Exception):
    """The connection ended; the argument is the cause."""


class Session:
    """One connection: it subscribes and gives raw frames until it dies or falls silent (ConnectionFailure).

    `owns(frame)` selects our frames; ccxt's own handlers see only the others: pongs, errors, echoes.
    """

    def __init__(
        self, client: Client, *, url: str, subscriptions: Sequence[Subscription], owns: Callable[[Any], bool]
    ) -> None:
        self._client = client
        self._url = url
        self._subscriptions = subscriptions
        self._owns = owns
        self._frames: asyncio.Queue[Any] = asyncio.Queue(FRAMES_HELD)
        self._socket: Any = None

    async def frames(self) -> AsyncGenerator[Any, None]:
        """Raw frames, oldest first, until a ConnectionFailure."""
        exchange = self._client.exchange
        self._socket = exchange.client(self._url)
        exchange.plumbline_tap = self._tap
        try:
            for subscription in self._subscriptions:
                # Nothing resolves these hashes: the future completes when the connection fails, and only
                # then.
                pending = exchange.watch(
                    self._url, f"plumbline:{subscription.name}", subscription.message, subscription.name
                )
                pending.add_done_callback(self._ended)
            while True:
                frame = await self._next()
                if isinstance(frame, ConnectionFailure):
                    raise frame
                yield frame
        finally:
            if exchange.plumbline_tap == self._tap:
                exchange.plumbline_tap = None
            await hang_up(exchange)

    async def _next(self) -> Any:
        # Not asyncio.wait_for: until Python 3.12 it loses a cancellation that comes together with the frame,
        # and a busy stream could then not be stopped.
        try:
            async with asyncio.timeout(SILENCE.total_seconds()):
                return await self._frames.get()
        except TimeoutError:
            raise ConnectionFailure(f"silent for {SILENCE.total_seconds():g} s") from None

    def _tap(self, socket: Any, frame: Any) -> bool:
        """Runs inside ccxt's receive callback: must not raise, must not wait."""
        if socket is not self._socket:
            return True  # a connection that is being closed
        if self._frames.full():
            self._frames.get_nowait()
            self._put(ConnectionFailure("we read slower than the venue sends"))
        self._put(frame)
        return self._owns(frame)

    def _ended(self, pending: asyncio.Future[Any]) -> None:
        error = None if pending.cancelled() else pending.exception()
        self._put(ConnectionFailure(f"{type(error).__name__}: {error}" if error else "closed"))

    def _put(self, item: Any) -> None:
        if not self._frames.full():
            self._frames.put_nowait(item)


async def hang_up(exchange: Any) -> None:
    """Close every WebSocket of an exchange; what it watches next opens another, however long this takes."""
    sockets = list((exchange.clients or {}).values())
    exchange.clients = {}
    for socket in sockets:
        if socket.connecting:
            # It cannot be closed before it is open; nobody would own it then.
            socket.connected.add_done_callback(lambda _, socket=socket: asyncio.ensure_future(socket.close()))
    closing = [asyncio.ensure_future(socket.close()) for socket in sockets]
    if closing:
        await asyncio.wait(closing, timeout=GOODBYE.total_seconds())


async def reconnecting(
    open_session: Callable[[], AsyncGenerator[StreamEvent, None]],
    *,
    clock: Clock,
    closed: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[StreamEvent]:
    """Events of one session after another, a StreamLoss between them, waits that grow with jitter.

    Ends when the venue is `closed`. Raises Denied and Unsupported.
    """
    failures = 0
    while not closed():
        started = clock()
        try:
            async with aclosing(open_session()) as session:
                async for event in session:
                    yield event
            reason = "closed"
        except (Denied, Unsupported):
            raise
        except ConnectionFailure as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  whatever broke a session, the next one is opened
            translated = translate(error, None, now=clock())
            reason = str(translated if isinstance(translated, VenueError) else error)
        now = clock()
        failures = 0 if now - started >= GOOD_AFTER else failures + 1
        yield StreamLoss(reason=reason, at=now)
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures, 10))
        await sleep(random.uniform(FIRST_WAIT, longest))


def stream_start(clock: Clock) -> StreamStart:
    """The event of a subscription that the venue acknowledged."""
    return StreamStart(at=clock())
