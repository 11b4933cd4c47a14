"""Entries in few words: `fill("buy 2 @ 60000 fee 1.2 USDC", at=5)` is a fill 5 seconds after noon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from positions.book import Cause, Entry, Kind, Leg, Side
from tests.positions.conftest import PERP

NOON = datetime(2026, 1, 15, 11, 0, tzinfo=UTC)
_numbers = count(1)


def moment(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def fill(text: str, *, at: float, ref: str = "", instrument: str = PERP, **fields: Any) -> Entry:
    """`buy 2 @ 60000 fee 1.2 USDC`; the price may be `?` (unknown), the fee left out (unknown)."""
    words = text.split()
    given: dict[str, Any] = {"leg": Leg.NET, "cause": Cause.TRADE, **fields}
    if "fee" in words:
        given |= {"fee": Decimal(words[5]), "fee_currency": words[6]}
    return Entry(
        kind=Kind.FILL,
        venue_ref=ref or f"fill-{next(_numbers)}",
        time=moment(at),
        instrument=instrument,
        side=Side(words[0]),
        quantity=Decimal(words[1]),
        price=None if words[3] == "?" else Decimal(words[3]),
        **given,
    )


def cash(kind: Kind, text: str, *, at: float, ref: str = "", **fields: Any) -> Entry:
    """`-1.5 USDC`."""
    amount, currency = text.split()
    return Entry(
        kind=kind,
        venue_ref=ref or f"{kind}-{next(_numbers)}",
        time=moment(at),
        amount=Decimal(amount),
        currency=currency,
        **fields,
    )


def funding(text: str, *, at: float, instrument: str | None = PERP, **fields: Any) -> Entry:
    return cash(Kind.FUNDING, text, at=at, instrument=instrument, **fields)


def transfer(text: str, *, at: float, cause: Cause = Cause.DEPOSIT, **fields: Any) -> Entry:
    return cash(Kind.TRANSFER, text, at=at, cause=cause, **fields)


def bust(target: str, *, at: float, ref: str = "", **fields: Any) -> Entry:
    return Entry(kind=Kind.BUST, venue_ref=ref or f"bust-{target}", time=moment(at), target=target, **fields)


def amend(target: str, *, at: float, ref: str = "", **fields: Any) -> Entry:
    own = ref or f"amend-{target}"
    return Entry(kind=Kind.AMEND, venue_ref=own, time=moment(at), target=target, **fields)
