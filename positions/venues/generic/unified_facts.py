"""ccxt's unified trades, funding payments and transfers as entries. Pure: no network, no ccxt.

Quantities: contracts × the market's contractSize, once, here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from positions.book.entries import Cause, Entry, Kind, Leg, Side
from positions.book.money import negate
from positions.venues.base import VenueInstrument
from positions.venues.fields import (
    InvalidField,
    is_zero,
    moment,
    number,
    optional,
    positive_or_none,
    required,
)
from positions.venues.generic.unified_rows import Row, units

# What ccxt writes into the first or last row of a page: no part of the row.
_CURSORS = frozenset({"nextPageCursor", "next_cursor", "continuation"})


def fill(
    row: Row,
    market: VenueInstrument,
    *,
    venue: str,
    wallet: str,
    leg: Leg = Leg.NET,
    cause: Cause = Cause.TRADE,
    amount_in_units: bool = False,
) -> list[Entry]:
    """Return a unified trade: a fill with its first fee, and one entry per other fee. Raises InvalidField."""
    side = row.get("side")
    if side not in ("buy", "sell"):
        raise InvalidField(f"side is {side!r}, neither buy nor sell")
    ref = f"{venue}:fill:{market.venue_symbol}:{_identity(row, 'order')}"
    time = moment(row.get("timestamp"), "timestamp")
    quantity = units(row, "amount", market, size=Decimal(1) if amount_in_units else market.contract_size)
    first, *others = _fees(row) or [(None, None)]
    entries = []
    if not quantity and not is_zero(row["amount"]):
        # Less than the book can hold: what it cost is all there is to book.
        others = [first, *others]
    else:
        entries.append(
            Entry(
                kind=Kind.FILL,
                cause=cause,
                venue_ref=ref,
                time=time,
                instrument=market.venue_symbol,
                leg=leg,
                side=Side(side),
                quantity=quantity,
                price=positive_or_none(optional(row, "price", step=market.price_tick)),
                fee=first[0],
                fee_currency=first[1],
                wallet=wallet,
            )
        )
    return entries + [
        _further_fee(number, cost, currency, of=ref, time=time, market=market, leg=leg, wallet=wallet)
        for number, (cost, currency) in enumerate(others, start=2)
        if cost
    ]


def _further_fee(
    number: int,
    cost: Decimal,
    currency: str | None,
    *,
    of: str,
    time: datetime,
    market: VenueInstrument,
    leg: Leg,
    wallet: str,
) -> Entry:
    return Entry(
        kind=Kind.FEE,
        venue_ref=f"{of}:fee{number}",
        time=time,
        instrument=market.venue_symbol,
        leg=leg,
        amount=negate(cost),
        currency=currency,
        wallet=wallet,
    )


def without_taker_rebate(row: Row) -> Row:
    """Return a trade without its fee where a taker would be paid: a sign that ccxt turned it round."""
    paid = [cost for cost, _ in _fees(row)]
    if row.get("takerOrMaker") == "taker" and any(cost < 0 for cost in paid if cost is not None):
        return {**row, "fee": None, "fees": []}
    return row


def _fees(row: Row) -> list[tuple[Decimal | None, str | None]]:
    """(cost, currency), positive = paid. A cost without a currency is unknown: it cannot be booked
    as either.
    """
    listed = row.get("fees") or [row.get("fee")]
    found: list[tuple[Decimal | None, str | None]] = []
    for fee in listed:
        if isinstance(fee, Mapping):
            cost, currency = number(fee.get("cost"), "fee"), fee.get("currency")
            if cost is not None and currency:
                found.append((cost, str(currency)))
    return found


def _identity(row: Row, *more: str) -> str:
    """The venue's id; without one, a hash of the raw row, without what ccxt writes into it."""
    if row.get("id") not in (None, ""):
        return ":".join(str(value) for value in (row["id"], *(row.get(name) for name in more)) if value)
    raw = row.get("info", row)
    if isinstance(raw, Mapping):
        raw = {name: value for name, value in raw.items() if name not in _CURSORS}
    return _hash(raw)


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return "h" + hashlib.sha256(text.encode()).hexdigest()[:24]


def _transfer_identity(row: Row) -> str:
    """The venue's id; without one, a hash of what does not change while confirmations go on."""
    if row.get("id") not in (None, "") or not row.get("txid"):
        return _identity(row)
    info = row.get("info")
    index = info.get("txIndex") if isinstance(info, Mapping) else None
    return _hash([row["txid"], index, *(row.get(name) for name in ("address", "tag", "amount", "timestamp"))])


def funding(row: Row, market: VenueInstrument, *, venue: str, wallet: str, leg: Leg | None = None) -> Entry:
    """A unified funding payment; amount > 0 = received."""
    time = moment(row.get("timestamp"), "timestamp")
    return Entry(
        kind=Kind.FUNDING,
        venue_ref=f"{venue}:funding:{market.venue_symbol}:{row.get('timestamp')}:{_identity(row)}",
        time=time,
        instrument=market.venue_symbol,
        leg=leg,
        amount=required(row, "amount"),
        currency=str(row.get("code") or market.contract.settle),
        wallet=wallet,
    )


DONE = frozenset({"ok"})
DEAD = frozenset({"failed", "canceled"})


class UnsettledTransfer(Exception):
    """A transfer that is still under way: neither booked nor forgotten."""


def transfer(row: Row, *, venue: str, wallet: str, incoming: bool) -> list[Entry]:
    """Return a unified deposit or withdrawal and its fee as entries; [] for one that failed.

    Raises UnsettledTransfer and InvalidField.
    """
    status = row.get("status")
    if status in DEAD:
        return []
    if status is None:
        raise InvalidField("status is not known")
    if status not in DONE:
        raise UnsettledTransfer(str(status))
    amount, currency = required(row, "amount"), row.get("currency")
    if not currency:
        raise InvalidField("currency is missing")
    kind = "deposit" if incoming else "withdrawal"
    ref = f"{venue}:{kind}:{currency}:{_transfer_identity(row)}"
    time = moment(row.get("timestamp"), "timestamp")
    cause = Cause.DEPOSIT if incoming else Cause.WITHDRAWAL
    fee = row.get("fee")
    cost = number(fee.get("cost"), "fee") if isinstance(fee, Mapping) else None
    moved, paid = amount.copy_abs(), cost.copy_abs() if cost else None
    moves: list[tuple[Kind, Cause | None, str, Decimal, str]] = [
        (Kind.TRANSFER, cause, ref, moved if incoming else negate(moved), str(currency))
    ]
    if paid is not None and not incoming and isinstance(fee, Mapping):
        moves.append((Kind.FEE, None, f"{ref}:fee", negate(paid), str(fee.get("currency") or currency)))
    return [
        Entry(
            kind=what,
            cause=why,
            venue_ref=name,
            time=time,
            leg=None,
            amount=value,
            currency=asset,
            wallet=wallet,
        )
        for what, why, name, value, asset in moves
    ]
