"""The only writer of snapshots: positions, accounts and the portfolio as of now, from what is known already.

Note [One moment]: positions, balances and marks are read in one read-only transaction that sees one state of
the book (REPEATABLE READ). A fill that is booked meanwhile is in all figures or in none. The rows are written
by COPY in a transaction of their own: all of a moment's rows are there, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import connection, transaction

from portfolio.models import AccountSnapshot, PortfolioSnapshot, PositionSnapshot
from portfolio.snapshots import figures, partitions
from portfolio.snapshots.figures import Figures
from portfolio.totals import account_summaries
from positions.models import Position

_LOCK = "plumbline snapshots"

log = structlog.get_logger("snapshots")


class Taken(NamedTuple):
    """How many rows a snapshot wrote."""

    positions: int
    accounts: int
    environments: int


NOTHING = Taken(0, 0, 0)


def take(*, now: datetime, at_most_every: timedelta = timedelta(0)) -> Taken:
    """Write a row of each open position, each account in use and each environment; return how many.

    Nothing is written where there are rows of this moment already, or later ones than `at_most_every` ago:
    two schedulers write one row. An account whose figures cannot be computed has no rows then, its line in
    the log, and makes the portfolio's row incomplete. Raises DatabaseError.
    """
    feeds = account_summaries.feed_states(now=now)  # asks Redis, so before the transaction
    with _one_moment():
        found = figures.compute(now=now, feeds=feeds)
    partitions.ensure([partitions.month_of(now)])
    # One transaction: a minute has all of its rows or none. The lock makes two schedulers take turns.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        if _taken_since(now - at_most_every, found):
            return NOTHING
        write(found)
    return Taken(len(found.positions), len(found.accounts), len(found.environments))


def take_position(position: Position, *, now: datetime) -> PositionSnapshot | None:
    """Write and return one position's row of now; None if it is not open. Raises DatabaseError,
    ArithmeticError.
    """
    with _one_moment():
        rows = figures.of_account(position.account, now=now)
    row = next((row for row in rows if row.position_id == position.pk), None)
    if row is None:
        return None
    found = PositionSnapshot(**row._asdict())
    partitions.ensure([partitions.month_of(now)])
    # By hand, twice in the same microsecond: the first one stays.
    PositionSnapshot.objects.bulk_create([found], ignore_conflicts=True)
    return found


@contextmanager
def _one_moment() -> Iterator[None]:
    """Read one state of the database. Inside somebody's transaction (tests) it is that one's."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():  # see Note [One moment]
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _taken_since(since: datetime, found: Figures) -> bool:
    return PortfolioSnapshot.objects.filter(
        environment__in=[one.environment for one in found.environments], at__gte=since
    ).exists()


def write(found: Figures) -> None:
    """Copy all rows, of months whose partitions are there. Raises DatabaseError.

    The statements name their tables in full, so that who writes what can be searched.
    """
    _copy(
        "COPY portfolio_positionsnapshot (position_id, at, quality, quantity, mark_price, unrealized_pnl,"
        " realized_pnl, net_pnl, unrealized_pnl_pct, time_held_minutes, position_size_norm) FROM STDIN",
        [
            (one.position_id, one.at, one.quality, one.quantity, one.mark_price, one.unrealized_pnl,
             one.realized_pnl, one.net_pnl, one.unrealized_pnl_pct, one.time_held_minutes,
             one.position_size_norm)
            for one in found.positions
        ],
    )  # fmt: skip
    AccountSnapshot.objects.bulk_create(found.accounts, batch_size=500)
    PortfolioSnapshot.objects.bulk_create(found.environments, batch_size=500)


def _copy(statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
