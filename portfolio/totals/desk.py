"""The desk's day: where it begins in the desk's zone, and which day a moment belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.conf import settings

DAY = timedelta(days=1)


def day_of(at: datetime) -> date:
    """Return the desk's day that a moment belongs to."""
    day = at.astimezone(settings.DESK_ZONE).date()
    return day if day_start(day) <= at else day - DAY


def day_start(day: date) -> datetime:
    """Return when a day of the desk begins, in UTC; where clocks go back, the first of the two moments."""
    return datetime.combine(day, settings.DESK_DAY_START, settings.DESK_ZONE).astimezone(UTC)


def day_end(day: date) -> datetime:
    """Return when the next day begins: 23, 24 or 25 hours after the start."""
    return day_start(day + DAY)


def days(first: date, last: date) -> Iterator[date]:
    """Yield the days from the first to the last, both included."""
    while first <= last:
        yield first
        first += DAY
