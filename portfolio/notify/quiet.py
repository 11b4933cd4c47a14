"""Hours in which a person is left alone, and the moments of a day in a person's zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def quiet_until(*, now: datetime, zone: ZoneInfo, start: time | None, end: time | None) -> datetime | None:
    """Return when the quiet hours that `now` is in are over; None outside of them, or without any.

    Hours may go over midnight (22:00 to 07:00). Clocks that change in between do not shift the end.
    """
    if start is None or end is None or start == end:
        return None
    local = now.astimezone(zone)
    clock = local.time()
    inside = start <= clock < end if start < end else (clock >= start or clock < end)
    if not inside:
        return None
    day = local.date() if clock < end else local.date() + timedelta(days=1)
    return datetime.combine(day, end, tzinfo=zone).astimezone(UTC)


def day_before(*, now: datetime, zone: ZoneInfo, at: time) -> date | None:
    """Return the day that a digest due at `at` is about: yesterday, in the zone; None while it is not due."""
    local = now.astimezone(zone)
    return local.date() - timedelta(days=1) if local.time() >= at else None


def bounds(*, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first moment of a day in a zone, and that of the next day: 23, 24 or 25 hours later."""
    start, end = (datetime.combine(one, time(), tzinfo=zone) for one in (day, day + timedelta(days=1)))
    return start.astimezone(UTC), end.astimezone(UTC)


def clock_text(at: datetime, zone: ZoneInfo, *, now: datetime | None = None) -> str:
    """Return a time as people read it, in their zone: "14:02:05 CET"; with the day when it is another one."""
    local = at.astimezone(zone)
    text = f"{local:%H:%M:%S} {local.tzname()}"
    if now is not None and now.astimezone(zone).date() == local.date():
        return text
    return f"{local.day} {local:%b %Y} {text}"
