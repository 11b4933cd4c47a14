"""What the live board reads from Postgres: everything, single accounts, and each second what no log brings.

Reads run in a thread of their own, as any request may hold the one that requests share. Positions are read
some at a time, and of each only what the board keeps is kept.

Note [One interpreter]: each write to a browser lets go of the interpreter, and a thread that reads takes it
for a while; over two hundred browsers that made a tenth of a second. So the thread pauses while the event
loop moves the board, except for the few positions at hand.
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
from django.utils import timezone

from portfolio.live import rows
from portfolio.live.board_position import (
    NO_VERDICT,
    BoardAccount,
    BoardMarket,
    BoardPosition,
    LegVerdict,
    PriceAt,
    board_account,
    board_market,
    board_position,
    venue_terms,
)
from positions import queries
from positions.ledger import serialise
from positions.models import Mark, Position
from positions.sync import feed_words
from reconciliation.models import Verdict

AT_ONCE = 50
LONGEST_PAUSE = 0.05  # seconds, each time: a loop that is always busy must not keep the thread from reading

Leg = tuple[int, int, str]
"""(account id, instrument id, leg)."""


@dataclass(frozen=True, slots=True)
class BookExtract:
    """Open positions, their prices by instrument, and how the feeds of their accounts stand.

    `sequences` are the accounts' last changes, as of before the rest was read.
    """

    positions: list[BoardPosition] = field(default_factory=list)
    prices: dict[int, PriceAt] = field(default_factory=dict)
    sequences: Mapping[int, int] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    feeds: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadsAndMarks:
    """Each account's last change, and the newest marks in Postgres by instrument."""

    sequences: Mapping[int, int]
    prices: Mapping[int, PriceAt]


def _in_own_thread(read: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    wrapped: Callable[..., Awaitable[Any]] = DatabaseSyncToAsync(
        read, thread_sensitive=False, executor=_reader
    )
    return wrapped


_reader = ThreadPoolExecutor(1, "board")
_may_read = threading.Event()
_may_read.set()


@contextmanager
def paused() -> Iterator[None]:
    """Pause the reading thread. See Note [One interpreter]."""
    _may_read.clear()
    try:
        yield
    finally:
        _may_read.set()


@_in_own_thread
def everything() -> BookExtract:
    """Read all open positions of all accounts. Raises DatabaseError."""
    extract = BookExtract(sequences=dict(queries.change_sequences()), environments=rows.environments())
    _read_into(extract, queries.open_positions())
    return extract


@_in_own_thread
def some(positions: Collection[int], accounts: Collection[int]) -> BookExtract:
    """Read those of these positions that are open, and all of these accounts. Raises DatabaseError."""
    sequences = {account: last for account, last in queries.change_sequences() if account in accounts}
    open_now = queries.open_positions()
    wanted = open_now.filter(pk__in=positions)
    if accounts:
        wanted = wanted | open_now.filter(account__in=accounts)
    extract = BookExtract(sequences=sequences)
    _read_into(extract, wanted)
    return extract


@_in_own_thread
def heads_and_marks(instruments: Collection[int]) -> HeadsAndMarks:
    """Read what may have changed without a frame on the log. Raises DatabaseError."""
    prices = Mark.objects.filter(instrument__in=instruments).values_list("instrument", "price", "at")
    return HeadsAndMarks(dict(queries.change_sequences()), {key: (price, at) for key, price, at in prices})


@_in_own_thread
def feeds_of(accounts: Mapping[int, bool]) -> dict[int, str]:
    """Read how the feeds of accounts stand ({id: is kept by hand})."""
    return feed_words.of(accounts, now=timezone.now())


def _read_into(extract: BookExtract, wanted: QuerySet[Position]) -> None:
    """Read some at a time: rows with all that belongs to them are ten times what is kept of them."""
    last = 0
    accounts: dict[int, BoardAccount] = {}
    markets: dict[int, BoardMarket] = {}
    while batch := list(wanted.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        last = batch[-1].pk
        prices = rows.marks(batch)
        verdicts = _verdicts({row.account_id for row in batch}, {row.instrument_id for row in batch})
        for row in batch:
            _may_read.wait(LONGEST_PAUSE)
            position = _board_position(row, accounts, markets)
            position.verdict = verdicts.get((row.account_id, row.instrument_id, row.leg), NO_VERDICT)
            extract.positions.append(position)
            price = prices[row.pk]
            if price is not None:
                extract.prices[row.instrument_id] = price
    by_hand = {account.id: account.is_by_hand for account in accounts.values()}
    extract.feeds.update(feed_words.of(by_hand, now=timezone.now()))


def _board_position(
    row: Position, accounts: dict[int, BoardAccount], markets: dict[int, BoardMarket]
) -> BoardPosition:
    account = accounts.get(row.account_id)
    if account is None:
        account = accounts[row.account_id] = board_account(row.account)
    market = markets.get(row.instrument_id)
    if market is None:
        market = markets[row.instrument_id] = board_market(row.instrument)
    fold = serialise.loads(row.state, contract=market.contract)
    terms = venue_terms(getattr(row, "venue_state", None))
    return board_position(row, fold=fold, account=account, market=market, terms=terms)


def _verdicts(accounts: Collection[int], instruments: Collection[int]) -> dict[Leg, LegVerdict]:
    verdicts = Verdict.objects.filter(account__in=accounts, instrument__in=instruments).order_by()
    columns = verdicts.values_list("account", "instrument", "leg", "revision", "status", "as_of")
    return {
        (account, instrument or 0, leg): LegVerdict(revision, status, as_of)
        for account, instrument, leg, revision, status, as_of in columns
    }
