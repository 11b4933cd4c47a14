"""Faults on a switch: what the network, the venue's front or its records do wrong while a fault is on.

A fault is a JSON object: `kind`, and what it needs of: `times` (how many matches), `for` (seconds it stays),
`path`, `type` (request type), `channel`, `user`, `status`, `seconds`, `rows`, `ms`, `limit`, `code`, `hard`.
Absent `times` and `for`: until cleared. See docs/simulator.md.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulator.wire import answer

Body = dict[str, Any]
REQUEST_KINDS = {"status", "timeout", "delay_reply", "truncate", "empty", "stale", "lose_reply"}
STREAM_KINDS = {"drop", "duplicate", "delay", "shuffle"}
STANDING_KINDS = {"page_cut", "history_cut", "clock_skew", "weight_limit", "user_limit", "silence"}
KINDS = REQUEST_KINDS | STREAM_KINDS | STANDING_KINDS
LIGHT = {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
LONG = 120.0


class BadFault(ValueError):
    """A fault that makes no sense; the message says why."""


def cause_or_say(cause: Callable[[Body], Any], spec: Body) -> None:
    """Do what a scenario says; what cannot be done is said and left, the venue goes on."""
    try:
        cause(spec)
    except BadFault as problem:
        sys.stderr.write(f"simulator: scenario: {problem}\n")


@dataclass(slots=True)
class Fault:
    """One fault that is on."""

    kind: str
    spec: Body
    times: int | None
    until: float | None
    memory: dict[str, bytes] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it delays or hangs."""
        return float(self.spec.get("seconds", LONG if self.kind == "timeout" else 1.0))

    def concerns(self, **facts: str | None) -> bool:
        """Whether every limit that the fault names agrees with the facts of a request or frame."""
        return all(self.spec.get(name) in (None, value) for name, value in facts.items())


class Faults:
    """The faults that are on. `clock` gives seconds, any origin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.on: list[Fault] = []
        self.weights: deque[tuple[float, int]] = deque()

    def add(self, spec: Body) -> None:
        """Switch a fault on. Raises BadFault."""
        kind = spec.get("kind")
        if kind not in KINDS:
            raise BadFault(f"unknown kind {kind!r}: one of {', '.join(sorted(KINDS))}")
        times, lasting = spec.get("times"), spec.get("for")
        for name in ("times", "for", "seconds", "rows", "limit"):
            value = spec.get(name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or value < 0
            ):
                raise BadFault(f"{name} must be a number, not negative")
        until = None if lasting is None else self.clock() + float(lasting)
        self.on.append(Fault(str(kind), spec, None if times is None else int(times), until))

    def clear(self) -> None:
        """Switch everything off."""
        self.on.clear()
        self.weights.clear()

    def listed(self) -> list[Body]:
        """What is on."""
        return [fault.spec | {"left": fault.times} for fault in self._live()]

    def _live(self) -> list[Fault]:
        now = self.clock()
        self.on = [
            fault for fault in self.on if fault.times != 0 and (fault.until is None or fault.until > now)
        ]
        return self.on

    def _take(self, kinds: set[str], **facts: str | None) -> Fault | None:
        for fault in self._live() if self.on else ():
            if fault.kind in kinds and fault.concerns(**facts):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def take_stream(self, channel: str, key: tuple[str, ...]) -> Fault | None:
        """The fault that befalls a frame of a channel; silence loses all."""
        if not self.on:
            return None
        user = key[1] if len(key) > 1 else None
        return self._take(STREAM_KINDS, channel=channel, user=user) or self._take(
            {"silence"}, channel=channel
        )

    @property
    def silent(self) -> bool:
        """Whether even pings stay unanswered (a silence of no particular channel)."""
        return any(fault.kind == "silence" and "channel" not in fault.spec for fault in self._live())

    def value(self, kind: str, name: str, default: Any) -> Any:
        """What a standing fault says, else `default`."""
        for fault in self._live() if self.on else ():
            if fault.kind == kind:
                return fault.spec.get(name, default)
        return default

    async def around(
        self, request: web.Request, body: Body, respond: Callable[[], Awaitable[web.Response]]
    ) -> web.StreamResponse:
        """Answer a request, or do to it what a fault says."""
        if not self.on:
            return await respond()
        kind = body.get("type") or (body.get("action") or {}).get("type")
        if self._too_heavy(str(kind)):
            return answer(None, 429)
        facts = {"path": request.path, "type": kind, "user": body.get("user")}
        fault = self._take(REQUEST_KINDS, **facts)
        return await (respond() if fault is None else befall(fault, request, body, respond))

    def _too_heavy(self, kind: str) -> bool:
        limit = self.value("weight_limit", "limit", None)
        if limit is None:
            return False
        now = self.clock()
        while self.weights and self.weights[0][0] < now - 60:
            self.weights.popleft()
        weight = 2 if kind in LIGHT else 60 if kind == "userRole" else 20
        if sum(spent for _, spent in self.weights) + weight > limit:
            return True
        self.weights.append((now, weight))
        return False


async def befall(
    fault: Fault, request: web.Request, body: Body, respond: Callable[[], Awaitable[web.Response]]
) -> web.StreamResponse:
    """What a fault makes of a request."""
    if fault.kind == "status":
        status = int(fault.spec.get("status", 500))
        return (
            web.Response(status=status, text=HTML, content_type="text/html")
            if status == 502
            else answer(None, status)
        )
    if fault.kind == "empty":
        return answer([])
    if fault.kind == "timeout":
        await asyncio.sleep(fault.seconds)
        return _hang_up(request)
    if fault.kind == "delay_reply":
        await asyncio.sleep(fault.seconds)
        return await respond()
    response = await respond()
    content = bytes(response.body) if isinstance(response.body, bytes) else b""
    if fault.kind == "lose_reply":
        return _hang_up(request)
    if fault.kind == "truncate":
        content = content[: len(content) // 2]
    else:
        content = fault.memory.setdefault(repr(sorted(body.items(), key=repr)), content)
    return web.Response(body=content, status=response.status, content_type="application/json")


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
