"""What the live board asks Postgres: everything, single accounts, and each second what no log brings.

In a thread of its own, as the one that requests share may be busy with any of them; some positions at a time,
of which only facts are kept.

Note [One interpreter]: each write to a browser lets go of the interpreter, and a thread that reads takes it
for a while; over two hundred browsers that made a tenth of a second. So the thread stands still while the
event loop moves the board, but for the few positions at hand.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from channels.db import DatabaseSyncToAsync
from django.db.models import QuerySet

from portfolio.live import rows
from portfolio.live.board_position import (
    UNJUDGED,
    BoardPosition,
    Judged,
    Market,
    Owner,
    Price,
    facts_of,
    market_of,
    owner_of,
    said_of,
)
from positions import queries
from positions.ledger import serialise
from positions.models import Mark, Position
from reconciliation.models import Verdict

AT_ONCE = 50
STANDS_STILL_FOR = 0.05  # at most, each time: a loop that never rests must not keep it from reading

Leg = tuple[int, int, str]
"""(account id, instrument id, leg)."""


@dataclass(frozen=True, slots=True)
class Read:
    """Open positions, and their prices by instrument.

    `sequences` are the accounts' last changes, as of before the rest was read.
    """

    positions: list[BoardPosition] = field(default_factory=list)
    prices: dict[int, Price] = field(default_factory=dict)
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
_undisturbed = threading.Event()
_undisturbed.set()


@contextmanager
def standing_still() -> Iterator[None]:
    """What is read meanwhile waits. See Note [One interpreter]."""
    _undisturbed.clear()
    try:
        yield
    finally:
        _undisturbed.set()


@_apart
def everything() -> Read:
    """All open positions of all accounts. Raises DatabaseError."""
    read = Read(sequences=dict(queries.change_sequences()), environments=rows.environments())
    _read(queries.open_positions(), read)
    return read


@_apart
def some(positions: Collection[int], accounts: Collection[int]) -> Read:
    """These positions, where they are open, and all open ones of these accounts. Raises DatabaseError."""
    sequences = {account: last for account, last in queries.change_sequences() if account in accounts}
    open_now = queries.open_positions()
    wanted = open_now.filter(pk__in=positions)
    if accounts:
        wanted = wanted | open_now.filter(account__in=accounts)
    read = Read(sequences=sequences)
    _read(wanted, read)
    return read


@_apart
def pulse(instruments: Collection[int]) -> Pulse:
    """What may have changed without a word on the log. Raises DatabaseError."""
    prices = Mark.objects.filter(instrument__in=instruments).values_list("instrument", "price", "at")
    return Pulse(dict(queries.change_sequences()), {key: (price, at) for key, price, at in prices})


def _read(wanted: QuerySet[Position], read: Read) -> None:
    """A few at a time: rows with all that belongs to them are ten times what is kept of them."""
    last = 0
    owners: dict[int, Owner] = {}
    markets: dict[int, Market] = {}
    while found := list(wanted.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        last = found[-1].pk
        prices = rows.marks(found)
        judgeds = _judged({one.account_id for one in found}, {one.instrument_id for one in found})
        for one in found:
            _undisturbed.wait(STANDS_STILL_FOR)
            facts = _facts(one, owners, markets)
            facts.judged = judgeds.get((one.account_id, one.instrument_id, one.leg), UNJUDGED)
            read.positions.append(facts)
            price = prices[one.pk]
            if price is not None:
                read.prices[one.instrument_id] = price


def _facts(position: Position, owners: dict[int, Owner], markets: dict[int, Market]) -> BoardPosition:
    owner = owners.get(position.account_id)
    if owner is None:
        owner = owners[position.account_id] = owner_of(position.account)
    market = markets.get(position.instrument_id)
    if market is None:
        market = markets[position.instrument_id] = market_of(position.instrument)
    fold = serialise.loads(position.state, contract=market.contract)
    said = said_of(getattr(position, "venue_state", None))
    return facts_of(position, fold=fold, owner=owner, market=market, said=said)


def _judged(accounts: Collection[int], instruments: Collection[int]) -> dict[Leg, Judged]:
    found = Verdict.objects.filter(account__in=accounts, instrument__in=instruments).order_by()
    named = found.values_list("account", "instrument", "leg", "revision", "status", "as_of")
    return {(one[0], one[1] or 0, one[2]): Judged(one[3], one[4], one[5]) for one in named}
