"""Reads of snapshots: a stretch of time in at most 2,000 points, with its gaps.

Note [Resolution]: a point is a step long and shows the last row of its step, the lowest and the highest, and
how many rows are missing. Steps shorter than an hour are read from raw rows, longer ones from hourly rows
and, for what is not rolled up yet, from raw rows. A step without a row has no point: nothing is filled in,
and two points further apart than a step and a half have a gap between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from portfolio.snapshots import hourly
from portfolio.snapshots.hourly import HOUR

MAX_POINTS = 2000
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
STEPS = {
    "1m": _MINUTE, "2m": 2 * _MINUTE, "5m": 5 * _MINUTE, "10m": 10 * _MINUTE, "15m": 15 * _MINUTE,
    "30m": 30 * _MINUTE, "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "12h": 12 * HOUR,
    "1d": _DAY, "2d": 2 * _DAY, "7d": 7 * _DAY, "14d": 14 * _DAY, "28d": 28 * _DAY,
}  # fmt: skip
_ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Point = dict[str, Any]
"""`at` (of the last row), `begins`, the figures, `low`, `high`, `quality`, `snapshots`, `missing`."""


class Gap(NamedTuple):
    """A stretch without snapshots, between the times of two rows; `until` may be the end of the range."""

    since: datetime
    until: datetime


class Subject(NamedTuple):
    """Whose snapshots: a position's or an account's id, or an environment."""

    kind: str
    key: int | str


class _Source(NamedTuple):
    table: str
    column: str
    bounded: str
    figures: tuple[str, ...]


SOURCES = {
    "position": _Source("portfolio_position", "position_id", "unrealized_pnl", hourly.POSITION),
    "account": _Source("portfolio_account", "account_id", "equity", hourly.ACCOUNT),
    "portfolio": _Source("portfolio_portfolio", "environment", "equity", hourly.PORTFOLIO),
}


@dataclass(frozen=True, slots=True)
class Series:
    """A stretch of time in steps. `missing` counts the rows that its gaps lack."""

    since: datetime
    until: datetime
    step: timedelta
    points: list[Point] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Return how many snapshots are missing between the first and the last one."""
        return sum(point["missing"] for point in self.points)


class TooFine(ValueError):
    """A step that would give more than MAX_POINTS; `coarser` is the finest one that does not."""

    def __init__(self, coarser: str) -> None:
        super().__init__(f"that is more than {MAX_POINTS} points: ask for {coarser} or coarser")
        self.coarser = coarser


def begins(subject: Subject) -> datetime | None:
    """Return the time of the first snapshot that is known; None: there is none."""
    source = SOURCES[subject.kind]
    with connection.cursor() as cursor:
        found = []
        for kind in ("hour", "snapshot"):
            cursor.execute(
                f"SELECT at FROM {source.table}{kind} WHERE {source.column} = %s ORDER BY at LIMIT 1",
                [subject.key],
            )
            found += [at for (at,) in cursor.fetchall()]
    return min(found, default=None)


def step_for(since: datetime, until: datetime, *, now: datetime) -> str:
    """Return the finest step that fits a range into MAX_POINTS, and that raw rows still exist for."""
    length = until - since
    old = since < now - timedelta(days=settings.SNAPSHOT_RETENTION_DAYS)
    for name, step in STEPS.items():
        if length <= step * (MAX_POINTS - 1) and not (old and step < HOUR):
            return name
    return list(STEPS)[-1]


def series(
    subject: Subject, *, since: datetime, until: datetime, now: datetime, step: str | None = None
) -> Series:
    """Return the points of a range (`until` excluded), the oldest first, and its gaps.

    Raises TooFine; ValueError where the range is empty; DatabaseError.
    """
    if since >= until:
        raise ValueError("the range ends before it begins")
    finest = step_for(since, until, now=now)
    name = step or finest
    if STEPS[name] < STEPS[finest]:
        raise TooFine(finest)
    source = SOURCES[subject.kind]
    if step is None and STEPS[name] < HOUR and _is_older_than_raw(subject, source, since):
        name = "1h"
    length = STEPS[name]
    rolled = hourly.through() if length >= HOUR else None
    found: dict[int, Point] = {}
    if rolled is None:
        read_table(found, subject, source, "snapshot", since, until, length)
    else:
        # A step that began before the range is read from the hour that contains its beginning.
        read_table(found, subject, source, "hour", hourly.hour_of(since), min(until, rolled), length)
        read_table(found, subject, source, "snapshot", max(since, rolled), until, length)
    points = [found[key] for key in sorted(found)]
    _count_missing(points, length, since=since, until=min(until, now))
    return Series(since, until, length, points, _gaps(points, length, until=min(until, now)))


def _is_older_than_raw(subject: Subject, source: _Source, since: datetime) -> bool:
    """Return whether hourly rows of a range go further back than raw ones: these were dropped already."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT at FROM {source.table}snapshot WHERE {source.column} = %(key)s"
            " ORDER BY at LIMIT 1),"
            f" (SELECT last_at FROM {source.table}hour WHERE {source.column} = %(key)s AND at >= %(since)s"
            " ORDER BY at LIMIT 1)",
            {"key": subject.key, "since": since},
        )
        raw, hour = cursor.fetchone()
    return hour is not None and (raw is None or raw > hour)


def read_table(
    found: dict[int, Point],
    subject: Subject,
    source: _Source,
    kind: str,
    since: datetime,
    until: datetime,
    step: timedelta,
) -> None:
    """Add the points of one table by their beginning (µs); of a step in both, the later figures stay."""
    if since >= until:
        return
    of_hours = kind == "hour"
    counted = "sum(snapshots)::int" if of_hours else "count(*)"
    low, high = ("low", "high") if of_hours else (source.bounded, source.bounded)
    figures = ", ".join(f"raw.{name}" for name in source.figures)
    # The last row of a step by the primary key: LIMIT keeps Postgres from reading the whole range again.
    statement = f"""
        SELECT {_epoch("steps.begins")}, {_epoch("raw.last_at" if of_hours else "raw.at")},
               steps.snapshots, steps.quality, steps.low, steps.high, 0, {figures}
        FROM (
            SELECT date_bin(%(step)s, at, %(origin)s) AS begins, max(at) AS last, {counted} AS snapshots,
                   bit_or(quality) AS quality, min({low}) AS low, max({high}) AS high
            FROM {source.table}{kind}
            WHERE {source.column} = %(key)s AND at >= %(since)s AND at < %(until)s GROUP BY 1
        ) AS steps
        CROSS JOIN LATERAL (
            SELECT * FROM {source.table}{kind} AS row
            WHERE row.{source.column} = %(key)s AND row.at = steps.last LIMIT 1
        ) AS raw
    """
    asked: dict[str, Any] = {
        "step": step,
        "origin": _ORIGIN,
        "key": subject.key,
        "since": since,
        "until": until,
    }
    names = ("begins", "at", "snapshots", "quality", "low", "high", "missing", *source.figures)
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        for row in cursor.fetchall():
            point: Point = dict(zip(names, row, strict=True))
            begins, at = row[0], row[1]
            point["begins"], point["at"] = _EPOCH + timedelta(0, 0, begins), _EPOCH + timedelta(0, 0, at)
            point[source.column] = subject.key
            known = found.get(begins)
            found[begins] = point if known is None else _joined(known, point)


def _epoch(moment: str) -> str:
    """Return a time as whole microseconds: to read a timestamp takes ten times as long as an integer."""
    return f"(extract(epoch FROM {moment}) * 1000000)::bigint"


def _joined(earlier: Point, later: Point) -> Point:
    lows = [one["low"] for one in (earlier, later) if one["low"] is not None]
    highs = [one["high"] for one in (earlier, later) if one["high"] is not None]
    return later | {
        "snapshots": earlier["snapshots"] + later["snapshots"],
        "quality": earlier["quality"] | later["quality"],
        "low": min(lows, default=None),
        "high": max(highs, default=None),
    }


def _count_missing(points: Sequence[Point], step: timedelta, *, since: datetime, until: datetime) -> None:
    """Set how many rows each step lacks: the first and the last one are not whole, and lack what is known."""
    interval = timedelta(seconds=settings.SNAPSHOT_INTERVAL)
    for number, point in enumerate(points):
        first, last = number == 0, number == len(points) - 1
        if step > interval and not first and not last:
            point["missing"] = max(0, step // interval - point["snapshots"])
    if step <= interval:
        for before, after in pairwise(points):
            after["missing"] = max(0, round((after["at"] - before["at"]) / interval) - 1)


def _gaps(points: Iterable[Point], step: timedelta, *, until: datetime) -> list[Gap]:
    longest = 1.5 * max(step, timedelta(seconds=settings.SNAPSHOT_INTERVAL))
    times = [point["at"] for point in points]
    found = [Gap(before, after) for before, after in pairwise(times) if after - before > longest]
    if times and until - times[-1] > longest:
        found.append(Gap(times[-1], until))
    return found
