"""Frames as browsers read them: one JSON object each, serialised once and shared by all who may see it.

`named` is the default: every update is a whole position, with some fields repeated under earlier names.
`compact` is for clients that keep rows themselves: where only a price moved, an update is a short array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from core.values.money import fixed
from portfolio.live.board_position import BoardPosition, BoardPrice, Row
from portfolio.live.fields import PREDECESSOR_NAMES

NAMED, COMPACT = "named", "compact"
FORMATS = (NAMED, COMPACT)
COLUMNS = ("id", "mark_price", "unrealized_pnl", "mark_at_ms")
"""What a compact row has. Notional and distance to liquidation follow from the position and the mark."""


def frame(kind: str, **parts: Any) -> bytes:
    """Return a frame as it is sent."""
    return orjson.dumps({"type": kind, **parts})


def totals(serialised: bytes, *, token: str) -> bytes:
    """Return the frame of totals that were serialised already."""
    return b'{"type":"portfolio","token":"%s","totals":%s}' % (token.encode(), serialised)


def position(row: Row) -> bytes:
    """Return a position as every frame that has it carries it: the row, and its aliases."""
    return orjson.dumps(row | {alias: row[name] for alias, name in PREDECESSOR_NAMES.items()})


def update(key: int, symbol: str, position: bytes, *, token: str) -> bytes:
    """Return the frame of one position that changed."""
    head = orjson.dumps({"type": "position_update", "id": key, "symbol": symbol, "token": token})
    return head[:-1] + b',"position":' + position + b"}"


def snapshot(
    positions: Iterable[bytes], *, token: str, totals: Mapping[str, Any], columns: bool = False
) -> bytes:
    """Return the frame that starts over, from positions as they were serialised already."""
    head = {"type": "snapshot", "token": token, "totals": totals}
    if columns:
        head["columns"] = COLUMNS
    return orjson.dumps(head)[:-1] + b',"positions":[' + b",".join(positions) + b"]}"


def compact_row(position: BoardPosition, *, price: BoardPrice) -> bytes:
    """Return what a price changed, in the order of COLUMNS."""
    mark_price = "null" if price.text is None else f'"{price.text}"'
    unrealized_pnl = "null" if position.unrealized_pnl is None else f'"{fixed(position.unrealized_pnl)}"'
    mark_at = "null" if price.at_ms is None else price.at_ms
    return f"[{position.id},{mark_price},{unrealized_pnl},{mark_at}]".encode()


def compact(rows: Iterable[bytes], *, token: str) -> bytes:
    """Return the frame of prices that changed."""
    head = orjson.dumps({"type": "rows", "token": token})
    return head[:-1] + b',"rows":[' + b",".join(rows) + b"]}"
