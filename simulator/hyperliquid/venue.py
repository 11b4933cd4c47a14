"""One simulated Hyperliquid: the exchange, the clock that drives it, its streams and its faults."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from simulator.engine.persistence import Keeper
from simulator.engine.records import Archive
from simulator.engine.simulation import Simulation
from simulator.engine.traders import trader_address
from simulator.hyperliquid import mischief
from simulator.hyperliquid.actions import Actions
from simulator.hyperliquid.faults import KINDS, Faults, cause_or_say
from simulator.hyperliquid.feed import HyperliquidFeed, events
from simulator.hyperliquid.info import FILLS_PAGE, Info, UnknownDex
from simulator.hyperliquid.sockets import Hub
from simulator.wire import Malformed, answer, parse_body, refusal, wall_clock

Body = dict[str, Any]
TICK = 0.05
EVERY_SECOND = frozenset({"clearinghouseState", "spotState", "webData2", "openOrders", "activeAssetData"})
WHEN_CHANGED = frozenset({"allMids", "activeAssetCtx", "l2Book", "bbo", "candle"})
KEPT_LOG = 10_000


class Venue:
    """One simulated Hyperliquid: the exchange, its readers and writers, its streams and its faults."""

    def __init__(
        self,
        simulation: Simulation,
        *,
        scheduled: list[Body] | None = None,
        state: Path | None = None,
    ) -> None:
        self.simulation = simulation
        self.keeper = Keeper(simulation, state) if state else None
        self.touched = state is not None
        self.ticking = False
        self.exchange = simulation.exchange
        self.info = Info(self.exchange)
        self.faults = Faults(time.monotonic)
        self.actions = Actions(self.exchange)
        self.hub = Hub(HyperliquidFeed(self.info, self.act), self.faults)
        self.hub.log = lambda entry: self.note("/ws", entry)
        self.log = Archive().records(KEPT_LOG)
        self.scheduled = sorted(scheduled or [], key=lambda fault: float(fault.get("at", 0)))

    # -- requests ------------------------------------------------------------------------------------

    def note(self, path: str, body: Body) -> None:
        """Remember a request, for tests that prove what was and was not sent."""
        self.log.append({"time": wall_clock(), "path": path, "body": body})

    def act(self, body: Body) -> Body:
        """An action, at the time it arrives. Raises Malformed."""
        self.note("/exchange", body)
        self.set_clock()
        reply = self.actions.answer(body)
        self.touched = True
        self.flush()
        return reply

    def set_clock(self) -> None:
        """Bring the exchange's clock to now, so that what a request does carries its own time.

        What was due before happens before: no answer of now may miss a fill that carries an earlier time.
        """
        now = wall_clock()
        if self.ticking:
            self.simulation.skew = self.skew
            self.simulation.advance(now)
        self.exchange.now = max(self.simulation.clock, now) + self.skew

    @property
    def skew(self) -> int:
        """How wrong the venue's clock is (ms)."""
        return int(self.faults.value("clock_skew", "ms", 0))

    async def serve_info(self, request: web.Request) -> web.StreamResponse:
        """POST /info."""
        return await self._serve(request, self._read)

    async def serve_exchange(self, request: web.Request) -> web.StreamResponse:
        """POST /exchange."""
        return await self._serve(request, self.act)

    def _read(self, body: Body) -> Any:
        self.note("/info", body)
        self.set_clock()
        self.info.fills_page = int(self.faults.value("page_cut", "rows", FILLS_PAGE))
        self.info.kept_fills = self.faults.value("history_cut", "rows", None)
        return self.info.answer(body)

    async def _serve(self, request: web.Request, handle: Any) -> web.StreamResponse:
        try:
            body = parse_body(await request.read())

            async def respond() -> web.Response:
                return answer(handle(body))

            return await self.faults.around(request, body, respond)
        except Malformed:
            return refusal()
        except UnknownDex:
            return answer(None, 500)

    # -- time ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Advance with the wall clock and tell the streams."""
        beats = 0
        while True:
            await asyncio.sleep(TICK)
            self.tick(wall_clock())
            beats += 1
            if beats % 5 == 0:
                self.hub.repeat(WHEN_CHANGED, changed_only=True)
            self.keep()
            if beats % 20 == 0:
                self.set_clock()
                self.hub.repeat(EVERY_SECOND, changed_only=False)

    def keep(self) -> None:
        """Write the state down when something came from outside, or when the last snapshot is old."""
        if self.keeper is None:
            return
        if self.touched:
            self.keeper.save()
        else:
            self.keeper.save_if_due()
        self.touched = False

    def tick(self, now: int) -> None:
        """Steps that are due at `now` (ms), faults of the scenario, and the streams."""
        self.simulation.skew = self.skew
        self.simulation.advance(now)
        self.info.values.sample()
        elapsed = (self.simulation.clock - self.simulation.start) / 1000
        while self.scheduled and float(self.scheduled[0].get("at", 0)) <= elapsed:
            cause_or_say(self.cause, self.scheduled.pop(0))
        self.flush()

    def cause(self, spec: Body) -> Any:
        """Switch a fault on, or do a deed; `trader` N names a background trader. Raises BadFault."""
        if isinstance(number := spec.get("trader"), int):
            spec = spec | {"user": trader_address(self.exchange.seed, number)}
        if spec.get("kind") == "cut":
            return self.cut(spec)
        if spec.get("kind") in KINDS:
            self.faults.add(spec)
            return None
        result = mischief.act(self.exchange, spec)
        self.touched = True
        self.flush()
        return result

    def cut(self, spec: Body) -> int:
        """Close every socket with `code`, or without a word when `hard`; how many."""
        connections = list(self.hub.connections)
        for connection in connections:
            transport = connection.transport
            if spec.get("hard"):
                if transport is not None:
                    transport.abort()
            else:
                closing = connection.socket.close(code=int(spec.get("code", 1001)))
                connection.closing = asyncio.get_running_loop().create_task(closing)
        return len(connections)

    def flush(self) -> None:
        """Tell the streams what happened."""
        happened = self.exchange.drain()
        if happened:
            self.hub.publish(events(happened))
