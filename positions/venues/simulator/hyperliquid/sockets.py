"""The WebSocket side: who listens to what, snapshots, updates, and frames that go out once serialised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import WSMsgType, web

from positions.venues.simulator.engine.exchange import Happening
from positions.venues.simulator.hyperliquid.candles import latest
from positions.venues.simulator.hyperliquid.faults import Faults
from positions.venues.simulator.hyperliquid.info import Info, UnknownDex
from positions.venues.simulator.wire import Malformed, address, text

Body = dict[str, Any]
Key = tuple[str, ...]
MAX_QUEUED = 10_000
# What a subscription names besides its type.
FIELDS: dict[str, tuple[str, ...]] = {
    "allMids": ("dex",),
    "notification": ("user",),
    "webData2": ("user",),
    "candle": ("coin", "interval"),
    "l2Book": ("coin",),
    "trades": ("coin",),
    "bbo": ("coin",),
    "activeAssetCtx": ("coin",),
    "activeAssetData": ("user", "coin"),
    "orderUpdates": ("user",),
    "userEvents": ("user",),
    "userFills": ("user",),
    "userFundings": ("user",),
    "userNonFundingLedgerUpdates": ("user",),
    "clearinghouseState": ("user", "dex"),
    "spotState": ("user",),
    "openOrders": ("user", "dex"),
}
OPTIONAL = {"dex"}


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
        self.queue: asyncio.Queue[str] = asyncio.Queue(MAX_QUEUED)
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
        if self.queue.full():
            # The venue too drops a client that does not read.
            self.closing = asyncio.get_running_loop().create_task(self.socket.close(code=1008))
        else:
            self.queue.put_nowait(message)

    async def pump(self) -> None:
        """Write queued frames until the socket closes."""
        while not self.socket.closed:
            message = await self.queue.get()
            try:
                await self.socket.send_str(message)
            except (ConnectionError, RuntimeError):
                return


class Hub:
    """All connections and what they subscribed to."""

    def __init__(self, info: Info, faults: Faults, act: Callable[[Body], Body]) -> None:
        self.info = info
        self.exchange = info.exchange
        self.faults = faults
        self.act = act
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
                self._post(connection, body)
            elif method in ("subscribe", "unsubscribe"):
                key, echo = self.key_of(body["subscription"])
                self.log({"method": method, "subscription": echo})
                (self._subscribe if method == "subscribe" else self._unsubscribe)(connection, key, echo)
            else:
                raise Malformed(method)
        except (Malformed, UnknownDex, ValueError, KeyError, TypeError, AttributeError):
            text_ = f"Error parsing JSON into valid websocket request: {raw}"
            connection.send("error", frame("error", text_))

    def key_of(self, subscription: Any) -> tuple[Key, Body]:
        """What a subscription listens to, and how it is echoed. Raises Malformed and UnknownDex."""
        kind = text(subscription, "type")
        if kind not in FIELDS:
            raise Malformed(kind)
        echo: Body = {"type": kind}
        parts = [kind]
        for field in FIELDS[kind]:
            if field == "user":
                echo[field] = address(subscription)
            elif field == "dex":
                echo[field] = self.info.dex(subscription)
            else:
                echo[field] = text(subscription, field)
            parts.append(echo[field])
        if "coin" in echo:
            self.info.market(echo)
        if "interval" in echo:
            latest(self.info.market(echo), echo["interval"], now=self.exchange.now)
        shown = {
            name: value for name, value in echo.items() if name not in OPTIONAL or subscription.get(name)
        }
        return tuple(parts), shown

    def _subscribe(self, connection: Connection, key: Key, echo: Body) -> None:
        if key in connection.keys:
            already = f"Already subscribed: {json.dumps(echo)}"
            connection.send("error", frame("error", already))
            return
        connection.keys[key] = echo
        self.listeners.setdefault(key, set()).add(connection)
        self._respond(connection, "subscribe", echo)
        for channel, data in self.snapshots(key):
            connection.send(channel, frame(channel, data), key)

    def _unsubscribe(self, connection: Connection, key: Key, echo: Body) -> None:
        if key not in connection.keys:
            connection.send("error", frame("error", f"Already unsubscribed: {json.dumps(echo)}"))
            return
        self._forget(connection, key)
        self._respond(connection, "unsubscribe", echo)

    def _respond(self, connection: Connection, method: str, echo: Body) -> None:
        data = {"method": method, "subscription": echo}
        connection.send("subscriptionResponse", frame("subscriptionResponse", data))

    def _post(self, connection: Connection, body: Body) -> None:
        request = body["request"]
        payload, kind = request["payload"], request["type"]
        try:
            if kind == "action":
                response = {"type": "action", "payload": self.act(payload)}
            else:
                response = {
                    "type": "info",
                    "payload": {"type": payload["type"], "data": self.info.answer(payload)},
                }
        except (Malformed, UnknownDex) as error:
            response = {"type": "error", "payload": f"422 {error}"}
        connection.send("post", frame("post", {"id": body["id"], "response": response}))

    # -- what is told --------------------------------------------------------------------------------

    def snapshots(self, key: Key) -> Iterable[tuple[str, Any]]:
        """What a new subscriber is told at once: (channel, data)."""
        kind, user = key[0], {"user": key[1]} if len(key) > 1 else {}
        if kind == "userFills":
            yield kind, {"isSnapshot": True} | user | {"fills": self.info.fills(user)}
        elif kind == "userFundings":
            rows = [flat_funding(row) for row in self.info.funding(user | {"startTime": 0})]
            yield kind, {"isSnapshot": True} | user | {"fundings": rows}
        elif kind == "userNonFundingLedgerUpdates":
            rows = self.info.ledger(user)
            yield kind, {"isSnapshot": True} | user | {"nonFundingLedgerUpdates": rows}
        else:
            state = self.current(key)
            if state is not None:
                yield state

    def current(self, key: Key) -> tuple[str, Any] | None:
        """The present value of a channel that repeats itself: (channel, data); None for event channels."""
        kind, info = key[0], self.info
        if kind == "allMids":
            mids = {"mids": info.all_mids({"dex": key[1]})}
            return kind, mids | ({"dex": key[1]} if key[1] else {})
        if kind == "clearinghouseState":
            state = info.clearinghouse({"user": key[1], "dex": key[2]})
            return kind, {"dex": key[2], "user": key[1], "clearinghouseState": state}
        if kind == "spotState":
            return kind, {"user": key[1], "spotState": info.account({"user": key[1]}).spot_state()}
        if kind == "openOrders":
            orders = [order.full() for order in info.orders({"user": key[1], "dex": key[2]})]
            return kind, {"dex": key[2], "user": key[1], "orders": orders}
        if kind == "webData2":
            return kind, self.web_data(key[1])
        if kind == "activeAssetData":
            return kind, info.active_asset({"user": key[1], "coin": key[2]})
        return self._market_current(key)

    def _market_current(self, key: Key) -> tuple[str, Any] | None:
        kind = key[0]
        if kind not in ("activeAssetCtx", "l2Book", "bbo", "candle", "trades"):
            return None
        market = self.info.market({"coin": key[1]})
        coin, now = market.listing.coin, self.exchange.now
        if kind == "activeAssetCtx":
            spot = market.listing.kind == "spot"
            context = market.spot_context() if spot else market.context()
            return ("activeSpotAssetCtx" if spot else kind), {"coin": coin, "ctx": context}
        if kind == "l2Book":
            return kind, self.info.l2_book({"coin": coin})
        if kind == "bbo":
            sides = [market.book.levels(side, 1) for side in (True, False)]
            return kind, {"coin": coin, "time": now, "bbo": [side[0] if side else None for side in sides]}
        if kind == "candle":
            return kind, latest(market, key[2], now=now)
        return kind, list(market.trades)[-10:]

    def web_data(self, user: str) -> Body:
        """webData2: the old interface's everything."""
        info, asked = self.info, {"user": user}
        meta, contexts = info.meta_and_contexts({})
        return {
            "clearinghouseState": info.clearinghouse(asked),
            "leadingVaults": [],
            "totalVaultEquity": "0.0",
            "openOrders": [order.full() for order in info.orders(asked)],
            "agentAddress": None,
            "agentValidUntil": None,
            "cumLedger": "0.0",
            "meta": meta,
            "assetCtxs": contexts,
            "serverTime": self.exchange.now,
            "isVault": False,
            "user": user,
            "twapStates": [],
            "spotState": info.account(asked).spot_state(),
            "spotAssetCtxs": info.spot_contexts(),
            "perpsAtOpenInterestCap": [],
        }

    def repeat(self, kinds: frozenset[str], *, changed_only: bool) -> None:
        """Tell the listeners of repeating channels the present value."""
        for key in [key for key in self.listeners if key[0] in kinds]:
            present = self.current(key)
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

    def publish(self, happenings: list[Happening]) -> None:
        """Tell what happened in a step: one frame per user and kind, as the venue does per block."""
        groups: dict[tuple[str, str], list[Body]] = {}
        for one in happenings:
            groups.setdefault((one.kind, one.key), []).append(one.row)
        for (kind, key), rows in groups.items():
            for listening, channel, data in event_frames(kind, key, rows):
                if listening in self.listeners:
                    self.tell(channel, frame(channel, data), listening)


def flat_funding(row: Body) -> Body:
    """A funding row as the stream tells it: without the delta around it."""
    delta = {name: value for name, value in row["delta"].items() if name != "type"}
    return {"time": row["time"], **delta}


def event_frames(kind: str, key: str, rows: list[Body]) -> Iterable[tuple[Key, str, Any]]:
    """(who listens, channel, data) of the happenings of one kind and user or coin."""
    if kind == "fill":
        yield ("userFills", key), "userFills", {"user": key, "fills": rows}
        yield ("userEvents", key), "user", {"fills": rows}
    elif kind == "order":
        yield ("orderUpdates", key), "orderUpdates", rows
    elif kind == "funding":
        flat = [flat_funding(row) for row in rows]
        yield ("userFundings", key), "userFundings", {"user": key, "fundings": flat}
        for row in flat:
            payment = {name: value for name, value in row.items() if name != "time"}
            yield ("userEvents", key), "user", {"funding": payment}
    elif kind == "ledger":
        data = {"user": key, "nonFundingLedgerUpdates": rows}
        yield ("userNonFundingLedgerUpdates", key), "userNonFundingLedgerUpdates", data
    elif kind == "liquidation":
        for row in rows:
            yield ("userEvents", key), "user", {"liquidation": row}
    elif kind == "trade":
        yield ("trades", key), "trades", rows
