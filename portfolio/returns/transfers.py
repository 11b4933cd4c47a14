"""PURE: which transfers went from one own account to another: they are no flow, and under way still ours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)


class Transfer(NamedTuple):
    """Cash or coins that came into an account (+) or left it (-). `value` in the display currency, signed."""

    account: int
    at: datetime
    asset: str
    amount: Decimal
    value: Decimal | None
    ref: str


class OwnTransfer(NamedTuple):
    """One transfer seen from both ends. Between them the money is under way, and still ours."""

    sent: Transfer
    received: Transfer


ARRIVES_WITHIN = timedelta(hours=24)
CLOCKS_DIFFER = timedelta(minutes=5)
LOST_ON_THE_WAY = Decimal("0.01")
"""What a network may take of a transfer: more, and the two are not the same money."""


def own_transfers(transfers: Iterable[Transfer]) -> list[OwnTransfer]:
    """Pair what left one own account with what came into another: the same asset, nearly the same amount.

    Received within 24 h (clocks may differ by 5 min), at most 1 % less; each is used once, the nearest in
    amount, then in time.
    """
    known = sorted(transfers, key=lambda one: (one.at, one.ref))
    came = [one for one in known if one.amount > 0]
    found = []
    for sent in (one for one in known if one.amount < 0):
        fitting = [one for one in came if _fits(sent, one)]
        if fitting:
            nearest = min(fitting, key=lambda one: (abs(sent.amount + one.amount), abs(one.at - sent.at)))
            came.remove(nearest)
            found.append(OwnTransfer(sent, nearest))
    return found


def _fits(sent: Transfer, came: Transfer) -> bool:
    lost = -sent.amount - came.amount
    return (
        sent.account != came.account
        and sent.asset == came.asset
        and -CLOCKS_DIFFER <= came.at - sent.at <= ARRIVES_WITHIN
        and ZERO <= lost <= -sent.amount * LOST_ON_THE_WAY
    )


def in_transit(paired: Iterable[OwnTransfer], *, at: datetime) -> Decimal | None:
    """Return what was under way at a moment (negative: arrived before it left); None: of unknown value."""
    total = ZERO
    for sent, received in paired:
        if sent.at <= at < received.at or received.at <= at < sent.at:
            value = received.value if sent.at <= at else sent.value
            if value is None:
                return None
            total += value
    return total
