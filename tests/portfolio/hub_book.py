"""A book for the hub's tests, written by hand instead of read from Postgres."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from portfolio import rows
from portfolio.sockets import Audience, Socket
from tests.portfolio.test_rollup import held as total_row


def held(key: int = 1, *, account: int = 1, **facts: Any) -> dict[str, Any]:
    """A row of the board: a long of 0.5 BTC; say what differs."""
    return (
        rows.BLANK
        | total_row(id=key)
        | {
            "open": True,
            "version": 1,
            "account_id": account,
            "symbol": "BTC/USDC:USDC",
            "order": f"BTC|{key:012}",
            "size": "0.5",
            "entry": "98000",
            "mark": "100000",
            "at": "2026-01-15T12:00:00+00:00",
            "net": "1000",
            "unrealized_pct": "2",
            "liquidation": "84100",
        }
        | facts
    )


class Book(dict[int, dict[str, Any]]):
    """{id: row}. Reading it raises `fault`, if there is one."""

    fault: Exception | None = None

    async def everything(self, now: Any) -> Any:
        if self.fault:
            raise self.fault
        return [(_position(row), row) for row in self.values()], ("live",)

    async def some(self, positions: Any, accounts: Any, now: Any) -> Any:
        found, _ = await self.everything(now)
        return [
            (position, row)
            for position, row in found
            if position.pk in positions or position.account_id in accounts
        ]


def _position(row: dict[str, Any]) -> Any:
    return SimpleNamespace(pk=row["id"], account_id=row["account_id"], instrument_id=row["id"] % 10)


class Browser:
    """A socket that keeps what it was sent, as parsed frames, and the code it was closed with."""

    def __init__(self, *, accounts: Any = None, form: str = "named", who: str = "user:vera") -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: int | None = None
        seen = None if accounts is None else frozenset(accounts)
        self.socket = Socket(self._take, Audience(seen, form), who, ("session", who))

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close":
            self.closed = message["code"]
        else:
            self.frames.append(json.loads(message["text"]))

    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def token(self) -> str:
        return next(frame["token"] for frame in reversed(self.frames) if "token" in frame)

    def state(self) -> dict[int, dict[str, Any]]:
        """What this client believes is open, from all the frames it got."""
        known: dict[int, dict[str, Any]] = {}
        for frame in self.frames:
            if frame["type"] == "snapshot":
                known = {row["id"]: row for row in frame["positions"]}
            elif frame["type"] == "position_update" and frame["position"]["open"]:
                known[frame["id"]] = frame["position"]
            elif frame["type"] == "position_update":
                known.pop(frame["id"], None)
            elif frame["type"] == "rows":
                for key, mark, unrealized, _ in frame["rows"]:
                    known[key] = known[key] | {"mark": mark, "unrealized": unrealized}
        return known
