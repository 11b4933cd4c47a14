"""The monthly partitions of raw snapshots: made ahead, dropped whole.

Note [Partitions]: a month's rows are one table. To drop a month costs no WAL to speak of and leaves nothing
to vacuum. A new partition is built beside its parent and attached, and an old one is detached before it is
dropped, so that neither stops who reads or writes. There is no default partition: a row without a month of
its own would stop that month from ever being attached.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from django.db import connection

from portfolio.models import AccountSnapshot, PortfolioSnapshot, PositionSnapshot

PARENTS = tuple(model._meta.db_table for model in (PositionSnapshot, AccountSnapshot, PortfolioSnapshot))
MONTHS_AHEAD = 3

log = structlog.get_logger("snapshots")


class Partition(NamedTuple):
    """One month of one table; `begins` is its first moment, `ends` that of the next month (UTC)."""

    parent: str
    begins: datetime

    @property
    def name(self) -> str:
        return f"{self.parent}_y{self.begins:%Y}m{self.begins:%m}"

    @property
    def ends(self) -> datetime:
        return next_month(self.begins)


def month_of(at: datetime) -> datetime:
    """Return the first moment of a time's month, in UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """Return the first moment of the month that follows."""
    later = month.month == 12
    return month.replace(year=month.year + later, month=1 if later else month.month + 1)


def months_between(since: datetime, until: datetime) -> list[datetime]:
    """Return every month from one time to another, both included."""
    found = [month_of(since)]
    while found[-1] < month_of(until):
        found.append(next_month(found[-1]))
    return found


def make_ahead(*, now: datetime) -> int:
    """Make the partitions of this month and of MONTHS_AHEAD more; return how many were missing."""
    months = [month_of(now)]
    for _ in range(MONTHS_AHEAD):
        months.append(next_month(months[-1]))
    return ensure(months)


def ensure(months: Iterable[datetime]) -> int:
    """Make the partitions of these months where they are missing; return how many were. Raises DatabaseError.

    Two processes that make the same one wait for each other: the second finds it made.
    """
    wanted = [Partition(parent, month) for month in months for parent in PARENTS]
    made = 0
    for one in _missing(wanted):
        with connection.cursor() as cursor:
            made += _make(cursor, one)
    return made


def _missing(wanted: list[Partition]) -> list[Partition]:
    known = {one.name for one in existing()}
    return [one for one in wanted if one.name not in known]


def _make(cursor: object, one: Partition) -> int:
    """Build a partition and attach it in one statement: it is there whole, or not at all."""
    bounds = f"FROM ('{one.begins:%Y-%m-%d 00:00:00+00}') TO ('{one.ends:%Y-%m-%d 00:00:00+00}')"
    statement = f"""
        DO $$ BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('{one.name}'));
            IF to_regclass('{one.name}') IS NULL THEN
                CREATE TABLE {one.name} (LIKE {one.parent} INCLUDING DEFAULTS INCLUDING INDEXES);
                ALTER TABLE {one.parent} ATTACH PARTITION {one.name} FOR VALUES {bounds};
            END IF;
        END $$
    """
    cursor.execute(statement)  # type: ignore[attr-defined]  # Django's cursor has no type of its own
    log.info("a partition was made", partition=one.name)
    return 1


def existing() -> list[Partition]:
    """Return all partitions, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT parent.relname, child.relname FROM pg_inherits"
            " JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class child ON child.oid = inhrelid"
            " WHERE parent.relname = ANY(%s) AND child.relkind = 'r'",
            [list(PARENTS)],
        )
        found = cursor.fetchall()
    partitions = [Partition(parent, _begins(name)) for parent, name in found]
    return sorted(partitions, key=lambda one: (one.begins, one.parent))


def _begins(name: str) -> datetime:
    return datetime.strptime(name.rpartition("_")[2], "y%Ym%m").replace(tzinfo=UTC)


def holds_since(one: Partition, since: datetime | None) -> bool:
    """Return whether a partition has a row of a time or later; None: any row."""
    with connection.cursor() as cursor:
        if since is None:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {one.name})")
        else:
            cursor.execute(f"SELECT EXISTS (SELECT FROM {one.name} WHERE at >= %s)", [since])
        return bool(cursor.fetchone()[0])


def drop(one: Partition) -> None:
    """Detach and drop a partition. Raises DatabaseError, when it cannot have its lock within 2 s too.

    Inside a transaction nothing can be detached concurrently: there it is dropped with a short lock.
    """
    with connection.cursor() as cursor:
        if connection.in_atomic_block:
            cursor.execute(f"DROP TABLE {one.name}")
            return
        cursor.execute("SET lock_timeout = '2s'")
        try:
            how = "FINALIZE" if _half_detached(cursor, one) else "CONCURRENTLY"
            cursor.execute(f"ALTER TABLE {one.parent} DETACH PARTITION {one.name} {how}")
            cursor.execute(f"DROP TABLE {one.name}")
        finally:
            cursor.execute("RESET lock_timeout")


def _half_detached(cursor: object, one: Partition) -> bool:
    """Return whether an earlier attempt to detach it was cut off in the middle."""
    cursor.execute(  # type: ignore[attr-defined]
        "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)", [one.name]
    )
    found = cursor.fetchone()  # type: ignore[attr-defined]
    return bool(found and found[0])
