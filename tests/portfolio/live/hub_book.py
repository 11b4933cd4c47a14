"""A book for the hub's tests, written by hand instead of read from Postgres."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.utils import timezone

from portfolio.live import board_reads
from portfolio.live.board_position import BoardPosition
from portfolio.live.board_reads import BookExtract, HeadsAndMarks
from portfolio.live.sockets import Socket, SocketFilter
from positions.book import PositionState as Episode
from positions.book import spot
from positions.ledger import serialise
from positions.models import Account, Instrument, Position

COINS = ("", "BTC", "ETH", "SOL", "HYPE")


@dataclass(frozen=True)
class Holding:
    """A long, entered at 98,000 and marked at 100,000; say what differs. Instrument = id modulo 10."""

    key: int = 1
    account: int = 1
    quantity: str = "0.5"
    entry_price: str = "98000"
    mark_price: str | None = "100000"
    at: datetime = field(default_factory=timezone.now)
    liquidation: str | None = "84100"
    leverage: str = "5"
    revision: int = 1
    version: int = 1
    label: str = "main"
    status: str = "OPEN"

    @property
    def instrument(self) -> int:
        return self.key % 10

    def position(self) -> Position:
        """The row as `queries.board()` returns it."""
        coin = COINS[self.instrument]
        account = Account(pk=self.account, label=self.label, venue="hyperliquid", environment="live")
        instrument = Instrument(
            pk=self.instrument, venue="hyperliquid", environment="live", venue_symbol=coin,
            symbol=f"{coin}/USDC:USDC", kind="linear", base=coin, quote="USDC", settle="USDC",
            underlying=coin, multiplier=Decimal(1), underlying_ratio=Decimal(1),
        )  # fmt: skip
        size = Decimal(self.quantity)
        cost = size * Decimal(self.entry_price)
        episode = Episode(
            contract=spot(coin, par="USDC"),
            instrument=coin,
            size=size,
            open_cost=cost,
            opened_by=f"fill-{self.key}",
        )
        position = Position(
            pk=self.key, account=account, instrument=instrument, leg="net", status=self.status, quantity=size,
            open_cost=cost, entry_price=Decimal(self.entry_price), realized_pnl=Decimal(0),
            net_pnl=Decimal(0), state=serialise.dumps(episode), version=self.version,
            opening_ref=f"fill-{self.key}",
        )  # fmt: skip
        position.venue_state = self.venue_state()
        return position

    def board_position(self) -> BoardPosition:
        """What the board keeps of the position."""
        return board_reads._board_position(self.position(), {}, {})

    def venue_state(self) -> dict[str, Any]:
        """The venue state of the leg."""
        return {
            "instrument_id": self.instrument, "leg": "net", "wallet": "", "revision": self.revision,
            "quantity": self.quantity, "leverage": self.leverage, "liquidation_price": self.liquidation,
        }  # fmt: skip

    def frame_row(self) -> dict[str, Any]:
        """The row as book frames carry it."""
        row: dict[str, Any] = orjson.loads(orjson.dumps(serialise.position_row(self.position())))
        return row

    def moved(self, **facts: Any) -> Holding:
        """The same position after its next fill."""
        return replace(self, version=self.version + 1, **facts)

    def closed(self) -> Holding:
        """The same position when it is flat."""
        return self.moved(quantity="0", status="CLOSED")


def held(key: int = 1, **facts: Any) -> Holding:
    return Holding(key, **facts)


class Book(dict[int, Holding]):
    """{id: position}. Reading it raises `fault`, if there is one, and counts that in `failures`; `asked` has
    the ways of asking.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self.failures = 0
        self.sequences: dict[int, int] = {}
        self.asked: list[str] = []
        self.feeds: dict[int, str] = {}

    def _may_fail(self) -> None:
        if self.fault:
            self.failures += 1
            raise self.fault

    def _read(self, found: list[Holding]) -> BookExtract:
        self._may_fail()
        return BookExtract(
            positions=[one.board_position() for one in found],
            prices={one.instrument: (Decimal(one.mark_price), one.at) for one in found if one.mark_price},
            sequences=dict(self.sequences),
            environments=("live",),
            feeds={one.account: self.feeds.get(one.account, "live") for one in found},
        )

    async def everything(self) -> BookExtract:
        self.asked.append("everything")
        return self._read(list(self.values()))

    async def some(self, positions: Any, accounts: Any) -> BookExtract:
        self.asked.append("some")
        return self._read([one for one in self.values() if one.key in positions or one.account in accounts])

    async def heads_and_marks(self, instruments: Any) -> HeadsAndMarks:
        self.asked.append("heads_and_marks")
        self._may_fail()
        prices = {
            one.instrument: (Decimal(one.mark_price), one.at) for one in self.values() if one.mark_price
        }
        return HeadsAndMarks(dict(self.sequences), prices)

    async def feeds_of(self, accounts: Any) -> dict[int, str]:
        return dict.fromkeys(accounts, "live") | self.feeds

    def install(self, monkeypatch: Any) -> None:
        """Let the board read this book."""
        for name in ("everything", "some", "heads_and_marks", "feeds_of"):
            monkeypatch.setattr(board_reads, name, getattr(self, name))

    def frame(self, *keys: int) -> dict[str, Any]:
        """The book frame that tells of these positions, of one account."""
        rows = [self[key].frame_row() for key in keys]
        account = rows[0]["account"]
        self.sequences[account] = self.sequences.get(account, 0) + 1
        return {"account": account, "sequence": self.sequences[account], "positions": rows, "balances": []}


class Browser:
    """A socket that keeps what it was sent, as parsed frames, and the code it was closed with."""

    def __init__(self, *, accounts: Any = None, form: str = "named", who: str = "user:vera") -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: int | None = None
        seen = None if accounts is None else frozenset(accounts)
        self.socket = Socket(self._take, SocketFilter(seen, form), who, ("session", who))

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
                    known[key] = known[key] | {"mark_price": mark, "unrealized_pnl": unrealized}
        return known
