"""The hourly rollup: one row for each hour of a position, an account and an environment, kept for ever.

Note [Rollup]: only hours that are over are rolled up, so a row is written once. The last one is rolled up
again with the next, for a snapshot by hand that came late. Long ranges are read from here, and what is
not rolled up yet from raw rows (portfolio/snapshots/series.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Max, Min

from portfolio.models import AccountHour, PortfolioHour, PortfolioSnapshot, PositionHour

HOUR = timedelta(hours=1)
AT_ONCE = timedelta(days=7)
"""How much a transaction rolls up: after a long outage of the scheduler, or an import."""

POSITION = (
    "quantity", "mark_price", "unrealized_pnl", "realized_pnl", "net_pnl", "unrealized_pnl_pct",
    "time_held_minutes", "position_size_norm",
)  # fmt: skip
ACCOUNT = (
    "open_positions", "equity", "equity_known", "venue_equity", "unrealized_pnl", "realized_pnl", "net_pnl",
    "exposure", "net_exposure",
)  # fmt: skip
PORTFOLIO = (
    "accounts", "accounts_stale", "accounts_incomplete", "open_positions", "equity", "equity_known",
    "equity_stale", "unrealized_pnl", "realized_pnl", "net_pnl", "exposure", "net_exposure",
)  # fmt: skip

log = structlog.get_logger("snapshots")


def hour_of(at: datetime) -> datetime:
    """Return the beginning of a time's hour, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def through() -> datetime | None:
    """Return the time up to which everything is rolled up; None: nothing is yet."""
    last: datetime | None = PortfolioHour.objects.aggregate(last=Max("at"))["last"]
    return None if last is None else last + HOUR


def roll_up(*, now: datetime) -> int:
    """Roll up every hour that is over and was not rolled up yet; return how many rows that wrote.

    Raises DatabaseError.
    """
    done = through()
    since = done - HOUR if done is not None else _first()
    written, until = 0, hour_of(now)
    while since is not None and since < until:
        ends = min(since + AT_ONCE, until)
        written += again(since=since, until=ends)
        since = ends
    if written:
        log.info("snapshots were rolled up by the hour", rows=written, until=until.isoformat())
    return written


def _first() -> datetime | None:
    first: datetime | None = PortfolioSnapshot.objects.aggregate(first=Min("at"))["first"]
    return None if first is None else hour_of(first)


def again(*, since: datetime, until: datetime) -> int:
    """Roll up the hours between two full hours from their raw rows; return how many rows that wrote."""
    # One transaction: `through` reads one of three tables and speaks for all of them.
    with transaction.atomic(), connection.cursor() as cursor:
        written = 0
        for statement in (
            "INSERT INTO portfolio_positionhour "
            + _rollup("portfolio_positionsnapshot", "position_id", POSITION, bounded="unrealized_pnl"),
            "INSERT INTO portfolio_accounthour "
            + _rollup("portfolio_accountsnapshot", "account_id", ACCOUNT, bounded="equity"),
            "INSERT INTO portfolio_portfoliohour "
            + _rollup("portfolio_portfoliosnapshot", "environment", PORTFOLIO, bounded="equity"),
        ):
            cursor.execute(statement, {"since": since, "until": until})
            written += cursor.rowcount
    return written


def write(rows: Iterable[PositionHour | AccountHour | PortfolioHour]) -> None:
    """Write hours that were not rolled up from raw rows: those of a made-up past. Raises DatabaseError."""
    by_kind: dict[type[Any], list[Any]] = {PositionHour: [], AccountHour: [], PortfolioHour: []}
    for row in rows:
        by_kind[type(row)].append(row)
    PositionHour.objects.bulk_create(by_kind[PositionHour], batch_size=500)
    AccountHour.objects.bulk_create(by_kind[AccountHour], batch_size=500)
    PortfolioHour.objects.bulk_create(by_kind[PortfolioHour], batch_size=500)


def _rollup(raw: str, key: str, figures: tuple[str, ...], *, bounded: str) -> str:
    """Return the rest of the INSERT: of each hour its last row, its bounds, its count."""
    columns = ", ".join(figures)
    ours = ("last_at", "snapshots", "quality", "low", "high", *figures)
    replaced = ", ".join(f"{name} = EXCLUDED.{name}" for name in ours)
    return f"""
        ({key}, at, last_at, snapshots, quality, low, high, {columns})
        SELECT raw.{key}, hours.hour, hours.last_at, hours.snapshots, hours.quality, hours.low, hours.high,
               {", ".join(f"raw.{name}" for name in figures)}
        FROM (
            SELECT {key}, date_trunc('hour', at, 'UTC') AS hour, max(at) AS last_at, count(*) AS snapshots,
                   bit_or(quality) AS quality, min({bounded}) AS low, max({bounded}) AS high
            FROM {raw} WHERE at >= %(since)s AND at < %(until)s GROUP BY 1, 2
        ) AS hours
        JOIN {raw} AS raw ON raw.{key} = hours.{key} AND raw.at = hours.last_at
        WHERE raw.at >= %(since)s AND raw.at < %(until)s
        ON CONFLICT ({key}, at) DO UPDATE SET {replaced}
    """
