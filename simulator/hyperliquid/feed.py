"""What Hyperliquid's channels say: subscriptions, snapshots, present values, events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from simulator.engine.exchange import Happening
from simulator.hyperliquid.candles import latest
from simulator.hyperliquid.info import Info, UnknownDex
from simulator.wire import Malformed, address, text

Body = dict[str, Any]
Key = tuple[str, ...]
Frames = Iterable[tuple[Key, str, Any]]
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


class Feed(Protocol):
    """What a hub asks of a venue."""

    def key_of(self, subscription: Any) -> tuple[Key, Body]:
        """What a subscription listens to, and how it is echoed. Raises Malformed and UnknownDex."""

    def snapshots(self, key: Key) -> Iterable[tuple[str, Any]]:
        """What a new subscriber is told at once: (channel, data)."""

    def current(self, key: Key) -> tuple[str, Any] | None:
        """The present value of a channel that repeats itself; None for event channels."""

    def post(self, request: Body) -> Body:
        """The answer to a request that came over the socket."""


class HyperliquidFeed:
    """The channels of the simulated exchange."""

    def __init__(self, info: Info, act: Callable[[Body], Body]) -> None:
        self.info = info
        self.exchange = info.exchange
        self.act = act

    def key_of(self, subscription: Any) -> tuple[Key, Body]:
        """What a subscription listens to, and how it is echoed. Raises Malformed and UnknownDex."""
        key, echo = parsed(subscription, FIELDS)
        self.info.dex(echo)
        if "coin" in echo:
            self.info.market(echo)
        if "interval" in echo:
            latest(self.info.market(echo), echo["interval"], now=self.exchange.now)
        return key, echo

    def post(self, request: Body) -> Body:
        """An action or a read over the socket, in the shape of REST's answer."""
        payload, kind = request["payload"], request["type"]
        try:
            if kind == "action":
                return {"type": "action", "payload": self.act(payload)}
            return {"type": "info", "payload": {"type": payload["type"], "data": self.info.answer(payload)}}
        except (Malformed, UnknownDex) as error:
            return {"type": "error", "payload": f"422 {error}"}

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


def parsed(subscription: Any, fields: dict[str, tuple[str, ...]]) -> tuple[Key, Body]:
    """(key, echo) of a subscription to one of the types in `fields`. Raises Malformed."""
    kind = text(subscription, "type")
    if kind not in fields:
        raise Malformed(kind)
    echo: Body = {"type": kind}
    parts = [kind]
    for field in fields[kind]:
        optional = field in OPTIONAL
        value = (
            address(subscription) if field == "user" else text(subscription, field, "" if optional else None)
        )
        parts.append(value)
        if value or not optional:
            echo[field] = value
    return tuple(parts), echo


def events(happenings: list[Happening]) -> Frames:
    """What happened in a step, one frame per user and kind, as the venue tells per block."""
    groups: dict[tuple[str, str], list[Body]] = {}
    for one in happenings:
        groups.setdefault((one.kind, one.key), []).append(one.row)
    for (kind, key), rows in groups.items():
        yield from event_frames(kind, key, rows)


def flat_funding(row: Body) -> Body:
    """A funding row as the stream tells it: without the delta around it."""
    delta = {name: value for name, value in row["delta"].items() if name != "type"}
    return {"time": row["time"], **delta}


def event_frames(kind: str, key: str, rows: list[Body]) -> Frames:
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
