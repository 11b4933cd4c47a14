"""The fold of an episode as canonical JSON, and the columns and frames that repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.db.models import Field

from positions.book import Cause, ChangeKind, Contract, Leg, PositionState, plain
from positions.models import Position as Row

_FIELDS = tuple(field.name for field in fields(PositionState) if field.name != "contract")
_NUMBERS = tuple(field.name for field in fields(PositionState) if field.type in ("Decimal", "Decimal | None"))
_MAPS = ("fees", "funding", "interest")
_TIMES = ("opened_at", "closed_at", "last_time")


def _default(value: object) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a position's state")


def dumps(position: PositionState) -> str:
    """Return the whole state except the contract, which the instrument knows."""
    return orjson.dumps({name: getattr(position, name) for name in _FIELDS}, default=_default).decode()


def loads(text: str, *, contract: Contract) -> PositionState:
    """Return the position that `dumps` wrote."""
    plainly: dict[str, Any] = orjson.loads(text)
    for name in _NUMBERS:
        if plainly[name] is not None:
            plainly[name] = Decimal(plainly[name])
    for name in _MAPS:
        plainly[name] = {currency: Decimal(amount) for currency, amount in plainly[name].items()}
    for name in _TIMES:
        if plainly[name] is not None:
            plainly[name] = datetime.fromisoformat(plainly[name])
    plainly["leg"] = Leg(plainly["leg"])
    plainly["closed_cause"] = Cause(plainly["closed_cause"]) if plainly["closed_cause"] else None
    plainly["last_move"] = ChangeKind(plainly["last_move"]) if plainly["last_move"] else None
    return PositionState(contract=contract, **plainly)


def columns(position: PositionState) -> dict[str, Any]:
    """Return what the Position row repeats of the fold, as JSON types."""
    return {
        **figures_of(position),
        "open_cost": _text(position.open_cost),
        "adjustment_pnl": plain(position.adjustment_pnl),
        "pnl_currency": position.contract.settle,
        "fees": _texts(position.fees),
        "funding": _texts(position.funding),
        "interest": _texts(position.interest),
        "peak_quantity": plain(position.peak_size),
        "fill_count": position.fills,
        "entry_count": position.entries,
        "opening_ref": position.opened_by,
        "opened_at": position.opened_at,
        "closed_at": position.closed_at,
        "last_at": position.last_time,
    }


FIGURES = ("quantity", "entry_price", "exit_price", "realized_pnl", "net_pnl", "unknown_count")


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few figures that a PositionEvent keeps of before and after."""
    return {name: row[name] for name in FIGURES}


def figures_of(position: PositionState) -> dict[str, Any]:
    """Return the same figures from the fold's state."""
    return {
        "quantity": plain(position.size),
        "entry_price": _text(_entry_price(position)),
        "exit_price": _text(position.exit_price),
        "realized_pnl": plain(position.realized_pnl),
        "net_pnl": plain(position.net_pnl),
        "unknown_count": position.incomplete,
    }


def _entry_price(position: PositionState) -> Decimal | None:
    return position.entry_price if position.is_open else position.last_entry_price


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: plain(amount) for currency, amount in amounts.items()}


def voided(position: PositionState) -> dict[str, Any]:
    """Return the columns of an episode that no longer exists: its last figures stay in its event."""
    nothing = PositionState(contract=position.contract, instrument=position.instrument, leg=position.leg)
    return {
        **columns(nothing),
        "opening_ref": position.opened_by,
        "opened_at": position.opened_at,
        "last_at": position.last_time,
        "state": dumps(position),
    }


_NOT_FOLDED = {
    "id", "account", "instrument", "leg", "opening_ref", "version", "sequence", "tags", "strategy", "note",
    "annotation_revision", "superseded_by", "archived_at", "created_at", "updated_at",
}  # fmt: skip
FOLDED: dict[str, Field[Any, Any]] = {
    field.name: field for field in Row._meta.concrete_fields if field.name not in _NOT_FOLDED
}
"""The columns of a Position that its fold fills: all but the key, the annotations and what counts changes."""

FRAME_COLUMNS = (
    "id", "version", "account", "instrument_id", "leg", "opening_ref",
    *(name for name in FOLDED if name not in ("cash", "state")),
)  # fmt: skip
"""What book frames carry of a position, beside `sums`."""

_SUMS = ("fees_value", "funding_value", "interest_value")
_UNKNOWNS = ("unknown_pnl", "unknown_fees")


def frame_row(row: Mapping[str, Any], *, state: PositionState) -> dict[str, Any]:
    """Return the fold's part of a position's row, as book frames carry it (money as strings).

    `sums` are in settle currency; with them a reader can show the position without a query.
    """
    sums: dict[str, Any] = {name: plain(getattr(state, name)) for name in _SUMS}
    sums |= {name: getattr(state, name) for name in _UNKNOWNS}
    return {name: row[name] for name in FRAME_COLUMNS} | {"sums": sums}


def position_row(row: Row) -> dict[str, Any]:
    """Return a stored row as frames carry it: the fold's part, and the annotations with their revision."""
    plainly: dict[str, Any] = {name: getattr(row, name) for name in FRAME_COLUMNS if name != "account"}
    for name, value in plainly.items():
        if isinstance(value, Decimal):
            plainly[name] = plain(value)
    annotation = {
        "revision": row.annotation_revision,
        "tags": row.tags,
        "strategy": row.strategy,
        "note": row.note,
    }
    state = orjson.loads(row.state)
    return {
        "account": row.account_id,
        **plainly,
        "sums": {name: state[name] for name in (*_SUMS, *_UNKNOWNS)},
        "annotation": annotation,
        "archived": row.archived_at is not None,
    }


def balance_row(wallet: str, asset: str, amount: Decimal, unknown_count: int) -> dict[str, Any]:
    """Return a balance as frames carry it."""
    return {"wallet": wallet, "asset": asset, "amount": plain(amount), "unknown_count": unknown_count}
