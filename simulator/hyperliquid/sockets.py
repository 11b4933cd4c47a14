"""The WebSocket side: connections, who listens to what, and frames that go out once serialised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from simulator.hyperliquid.faults import Faults
from simulator.hyperliquid.feed import Body, Feed, Frames, Key
from simulator.hyperliquid.info import UnknownDex
from simulator.wire import Malformed

# Characters that wait for one client; a snapshot of 2,000 fills is one million.
MAX_QUEUED = 8_000_000


def frame(channel: str, data: Any) -> str:
    """A message as it goes over the wire."""
    return json.dumps({"channel": channel, "data": data}, separators=(",", ":"))


class Connection:
    """One client. Frames queue here, so that a slow one delays nobody else."""

    def __init__(
        self, socket: web.WebSocketResponse, faults: Faults, transport: asyncio.Transport | None = None
    ) -> None:
        self.socket = socket
        self.transport = transport
        self.closing: asyncio.Task[bool] | None = None
        self.faults = faults
        self.keys: dict[Key, Body] = {}
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.queued = 0
        self.swapped: str | None = None

    def send(self, channel: str, message: str, key: Key = ()) -> None:
        """Queue a frame, unless a fault loses, repeats, delays or swaps it."""
        fault = self.faults.take_stream(channel, key)
        if fault is None:
            self._put(message)
            if self.swapped is not None:
                self._put(self.swapped)
                self.swapped = None
        elif fault.kind == "duplicate":
            self._put(message)
            self._put(message)
        elif fault.kind == "delay":
            asyncio.get_running_loop().call_later(fault.seconds, self._put, message)
        elif fault.kind == "shuffle":
            if self.swapped is not None:
                self._put(self.swapped)
            self.swapped = message

    def _put(self, message: str) -> None:
        if self.queued + len(message) > MAX_QUEUED:
            # The venue too drops a client that does not read.
            self.closing = self.closing or asyncio.get_running_loop().create_task(
                self.socket.close(code=1008)
            )
        else:
            self.queued += len(message)
            self.queue.put_nowait(message)

    async def pump(self) -> None:
        """Write queued frames until the socket closes."""
        while not self.socket.closed:
            message = await self.queue.get()
            self.queued -= len(message)
            try:
                await self.socket.send_str(message)
            except (ConnectionError, RuntimeError):
                return


class Hub:
    """All connections and what they subscribed to."""

    def __init__(self, feed: Feed, faults: Faults) -> None:
        self.feed = feed
        self.faults = faults
        self.connections: set[Connection] = set()
        self.listeners: dict[Key, set[Connection]] = {}
        self.sent: dict[Key, str] = {}
        self.log: Callable[[Body], None] = lambda entry: None

    # -- a connection's life -------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One client from handshake to close."""
        socket = web.WebSocketResponse(timeout=1.0, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = Connection(socket, self.faults, request.transport)
        self.connections.add(connection)
        pump = asyncio.get_running_loop().create_task(connection.pump())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self.receive(connection, message.data)
        finally:
            pump.cancel()
            self.drop(connection)
        return socket

    def drop(self, connection: Connection) -> None:
        """Forget a client."""
        self.connections.discard(connection)
        for key in list(connection.keys):
            self._forget(connection, key)

    def _forget(self, connection: Connection, key: Key) -> None:
        connection.keys.pop(key, None)
        listeners = self.listeners.get(key, set())
        listeners.discard(connection)
        if not listeners:
            self.listeners.pop(key, None)
            self.sent.pop(key, None)

    def receive(self, connection: Connection, raw: str) -> None:
        """One message of a client."""
        try:
            body = json.loads(raw)
            method = body["method"]
            if method == "ping":
                if not self.faults.silent:
                    connection._put('{"channel":"pong"}')
            elif method == "post":
                answer = {"id": body["id"], "response": self.feed.post(body["request"])}
                connection.send("post", frame("post", answer))
            elif method in ("subscribe", "unsubscribe"):
                key, echo = self.feed.key_of(body["subscription"])
                self.log({"method": method, "subscription": echo})
                (self._subscribe if method == "subscribe" else self._unsubscribe)(connection, key, echo)
            else:
                raise Malformed(method)
        except (Malformed, UnknownDex, ValueError, KeyError, TypeError, AttributeError):
            text_ = f"Error parsing JSON into valid websocket request: {raw}"
            connection.send("error", frame("error", text_))

    def _subscribe(self, connection: Connection, key: Key, echo: Body) -> None:
        if key in connection.keys:
            already = f"Already subscribed: {json.dumps(echo)}"
            connection.send("error", frame("error", already))
            return
        limit = self.faults.value("user_limit", "limit", None)
        if limit is not None and "user" in echo and len(self._users() | {echo["user"]}) > limit:
            connection.send("error", frame("error", f"Cannot track more than {limit} total users."))
            return
        connection.keys[key] = echo
        self.listeners.setdefault(key, set()).add(connection)
        self._respond(connection, "subscribe", echo)
        for channel, data in self.feed.snapshots(key):
            connection.send(channel, frame(channel, data), key)

    def _users(self) -> set[str]:
        return {echo["user"] for one in self.connections for echo in one.keys.values() if "user" in echo}

    def _unsubscribe(self, connection: Connection, key: Key, echo: Body) -> None:
        if key not in connection.keys:
            connection.send("error", frame("error", f"Already unsubscribed: {json.dumps(echo)}"))
            return
        self._forget(connection, key)
        self._respond(connection, "unsubscribe", echo)

    def _respond(self, connection: Connection, method: str, echo: Body) -> None:
        data = {"method": method, "subscription": echo}
        connection.send("subscriptionResponse", frame("subscriptionResponse", data))

    def repeat(self, kinds: frozenset[str], *, changed_only: bool) -> None:
        """Tell the listeners of repeating channels the present value."""
        for key in [key for key in self.listeners if key[0] in kinds]:
            present = self.feed.current(key)
            if present is None:
                continue
            message = frame(*present)
            if changed_only and self.sent.get(key) == message:
                continue
            self.sent[key] = message
            self.tell(present[0], message, key)

    def tell(self, channel: str, message: str, key: Key) -> None:
        """Send one frame to all listeners of a key."""
        for connection in self.listeners.get(key, ()):
            connection.send(channel, message, key)

    def publish(self, frames: Frames) -> None:
        """Tell events: (who listens, channel, data). What nobody listens to is never serialised."""
        for key, channel, data in frames:
            if key in self.listeners:
                self.tell(channel, frame(channel, data), key)

    async def close(self) -> None:
        """Hang up on everybody."""
        closing = [one.socket.close(code=1001) for one in self.connections]
        await asyncio.gather(*closing, return_exceptions=True)
