"""The streams of the recorded venue: each fill as it is released, and the account's state every second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from simulator.hyperliquid.faults import Faults
from simulator.hyperliquid.feed import FIELDS, Body, Frames, Key, parsed
from simulator.hyperliquid.sockets import Hub
from simulator.recorded_venue import RecordedVenue
from simulator.wire import Malformed

TICK = 0.1
MARKET = frozenset({"allMids", "activeAssetCtx"})
ACCOUNT = frozenset({"clearinghouseState", "spotState", "openOrders"})
EVENTS = frozenset({"userFills", "userEvents", "userFundings", "userNonFundingLedgerUpdates", "orderUpdates"})
CHANNELS = {kind: fields for kind, fields in FIELDS.items() if kind in MARKET | ACCOUNT | EVENTS}


class RecordedFeed:
    """The channels that a recording can fill."""

    def __init__(self, venue: RecordedVenue) -> None:
        self.venue = venue

    def key_of(self, subscription: Any) -> tuple[Key, Body]:
        """What a subscription listens to, and how it is echoed. Raises Malformed."""
        key, echo = parsed(subscription, CHANNELS)
        if (
            echo.get("dex")
            or echo.get("coin", self.venue.replay.recording.coin) != self.venue.replay.recording.coin
        ):
            raise Malformed("unknown dex or coin")
        return key, echo

    def snapshots(self, key: Key) -> Iterable[tuple[str, Any]]:
        """What a new subscriber is told at once: (channel, data)."""
        kind = key[0]
        snapshot: Body = {"isSnapshot": True, "user": key[1]} if len(key) > 1 else {}
        if kind == "userFills":
            yield kind, snapshot | {"fills": self.venue.fills({"user": key[1]})}
        elif kind == "userFundings":
            yield kind, snapshot | {"fundings": []}
        elif kind == "userNonFundingLedgerUpdates":
            yield kind, snapshot | {"nonFundingLedgerUpdates": self.venue.ledger({"user": key[1]})}
        else:
            present = self.current(key)
            if present is not None:
                yield present

    def current(self, key: Key) -> tuple[str, Any] | None:
        """The present value of a channel that repeats itself; None for event channels."""
        kind, venue = key[0], self.venue
        if kind == "allMids":
            return kind, {"mids": venue.mids()}
        if kind == "activeAssetCtx":
            return kind, {"coin": key[1], "ctx": venue.contexts()[0]}
        if kind == "clearinghouseState":
            return kind, {
                "dex": "",
                "user": key[1],
                "clearinghouseState": venue.clearinghouse({"user": key[1]}),
            }
        if kind == "spotState":
            return kind, {"user": key[1], "spotState": {"balances": []}}
        if kind == "openOrders":
            return kind, {"dex": "", "user": key[1], "orders": []}
        return None

    def post(self, request: Body) -> Body:
        """Reads over the socket; there is nothing to act on."""
        payload = request["payload"]
        try:
            data = self.venue.answer_body(payload)
        except Malformed as error:
            return {"type": "error", "payload": f"422 {error}"}
        return {"type": "info", "payload": {"type": payload["type"], "data": data}}


def told(venue: RecordedVenue, rows: list[Body]) -> Frames:
    """The frames of newly released fills."""
    if rows:
        yield ("userFills", venue.user), "userFills", {"user": venue.user, "fills": rows}
        yield ("userEvents", venue.user), "user", {"fills": rows}


class RecordedStream:
    """Runs the hub: tells what was released since it looked last."""

    def __init__(self, venue: RecordedVenue) -> None:
        self.venue = venue
        self.hub = Hub(RecordedFeed(venue), Faults(time.monotonic))
        self.count = len(venue.released({"user": venue.user}))

    def tell(self) -> None:
        """Publish the fills that have come out."""
        replay = self.venue.replay
        count = replay.schedule.released(now=self.venue.clock(), rows=len(replay.recording.fills))
        if count > self.count:
            rows = self.venue.released({"user": self.venue.user})
            self.hub.publish(told(self.venue, rows[self.count :]))
            self.count = len(rows)

    async def run(self) -> None:
        """Tell for ever."""
        beats = 0
        while True:
            await asyncio.sleep(TICK)
            beats += 1
            if self.hub.connections or beats % 10 == 0:
                self.tell()
            if beats % 5 == 0:
                self.hub.repeat(MARKET, changed_only=True)
            if beats % 10 == 0:
                self.hub.repeat(ACCOUNT, changed_only=False)
