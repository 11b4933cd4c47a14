"""What the live board asks Postgres: everything, single accounts, and each second what no log brings.

In a thread of its own, as the one that requests share may be busy with any of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from channels.db import DatabaseSyncToAsync

from portfolio import rows
from portfolio.rows import Price
from positions import queries
from positions.models import Mark, Position
from reconciliation.models import Verdict

Leg = tuple[int, int | None, str]
"""(account id, instrument id, leg)."""


@dataclass(frozen=True, slots=True)
class Read:
    """Open positions by `queries.board()`, their prices by position, the verdicts of the accounts asked for.

    `sequences` are the accounts' last changes, as of before the rest was read.
    """

    positions: list[Position] = field(default_factory=list)
    prices: Mapping[int, Price | None] = field(default_factory=dict)
    verdicts: Mapping[Leg, Verdict] = field(default_factory=dict)
    sequences: Mapping[int, int] = field(default_factory=dict)
    environments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pulse:
    """What each account's last change is, and the newest prices in Postgres by instrument."""

    sequences: Mapping[int, int]
    prices: Mapping[int, Price]


def _apart(read: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    found: Callable[..., Awaitable[Any]] = DatabaseSyncToAsync(read, thread_sensitive=False, executor=_reader)
    return found


_reader = ThreadPoolExecutor(1, "board")


@_apart
def everything() -> Read:
    """All open positions of all accounts. Raises DatabaseError."""
    sequences = dict(queries.change_sequences())
    positions = list(queries.open_positions())
    return Read(positions, rows.marks(positions), _verdicts(None), sequences, rows.environments())


@_apart
def some(positions: Collection[int], accounts: Collection[int]) -> Read:
    """These positions, where they are open, and all open ones of these accounts. Raises DatabaseError."""
    sequences = {account: last for account, last in queries.change_sequences() if account in accounts}
    open_now = queries.open_positions()
    wanted = open_now.filter(pk__in=positions)
    if accounts:
        wanted = wanted | open_now.filter(account__in=accounts)
    found = list(wanted)
    return Read(found, rows.marks(found), _verdicts({one.account_id for one in found}), sequences)


@_apart
def pulse(instruments: Collection[int]) -> Pulse:
    """What may have changed without a word on the log. Raises DatabaseError."""
    prices = Mark.objects.filter(instrument__in=instruments).values_list("instrument", "price", "at")
    return Pulse(dict(queries.change_sequences()), {key: (price, at) for key, price, at in prices})


def _verdicts(accounts: Collection[int] | None) -> dict[Leg, Verdict]:
    found = Verdict.objects.filter(instrument__isnull=False)
    if accounts is not None:
        found = found.filter(account__in=accounts)
    return {(one.account_id, one.instrument_id, one.leg): one for one in found}
