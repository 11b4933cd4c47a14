"""A stretch of a portfolio's time: its equity, what flowed, what it earned, how far it fell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from portfolio.returns.curve import Drawdown, drawdowns, index
from portfolio.returns.rates import EquityPoint, Performance, performance
from portfolio.snapshots import flows as flowing
from portfolio.snapshots import series as reading
from portfolio.snapshots.flows import FlowMark
from portfolio.snapshots.series import Point, Series, Subject
from portfolio.totals import desk

ZERO = Decimal(0)
DAY = timedelta(days=1)
RANGES = {
    "1h": timedelta(hours=1),
    "24h": DAY,
    "7d": 7 * DAY,
    "30d": 30 * DAY,
    "90d": 90 * DAY,
    "1y": 365 * DAY,
    "all": None,
}
"""What a reader may choose, by the name in the address."""
SHALLOW = Decimal("0.0005")
"""A fall of less than this is not listed."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of one environment.

    `falls` has, for each point, how far the flow-adjusted index lies below its peak (≤ 0, a fraction).
    `earned` has money and rates; None without two points.
    """

    environment: str
    series: Series
    flows: list[FlowMark]
    falls: list[Decimal | None]
    drawdowns: list[Drawdown]
    earned: Performance | None

    @property
    def first(self) -> Point | None:
        """Return the first point; None: there is none."""
        return self.series.points[0] if self.series.points else None

    @property
    def last(self) -> Point | None:
        """Return the last point; None: there is none."""
        return self.series.points[-1] if self.series.points else None


def bounds(name: str, *, environment: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the beginning and the end of a range by its name; all: from the first snapshot on.

    Ranges of several days are days of the desk, today included: their P&L is that of the same days elsewhere.
    """
    length = RANGES[name]
    if length is not None and length > DAY:
        return desk.day_start(desk.day_of(now) - length + DAY), now
    if length is not None:
        return now - length, now
    first = reading.begins(Subject("portfolio", environment))
    return min(first or now - DAY, now - timedelta(hours=1)), now


def stretch(*, environment: str, since: datetime, until: datetime, now: datetime) -> Stretch:
    """Return a stretch of an environment. Raises DatabaseError."""
    found = reading.series(Subject("portfolio", environment), since=since, until=until, now=now)
    points = [EquityPoint(point["at"], point["equity"]) for point in found.points]
    first = points[0].at if points else since
    marks = flowing.flows(environment=environment, since=first, until=until)
    known = flowing.with_equity_before(marks, environment=environment)
    curve = index(points, known)
    earned = None
    if len(points) > 1:
        inside = [flow for flow in known if points[0].at < flow.at <= points[-1].at]
        earned = performance(start=points[0], end=points[-1], flows=inside)
        if any(mark.amount is None for mark in marks):
            earned = None  # money of unknown worth moved: nobody can tell what was earned
    return Stretch(
        environment=environment,
        series=found,
        flows=marks,
        falls=_falls((point.value, point.chain) for point in curve),
        drawdowns=drawdowns(curve, least=SHALLOW),
        earned=earned,
    )


def _falls(curve: Iterable[tuple[Decimal | None, int]]) -> list[Decimal | None]:
    found: list[Decimal | None] = []
    peak, of_chain = ZERO, -1
    for value, chain in curve:
        if value is None:
            found.append(None)
            continue
        peak = value if chain != of_chain else max(peak, value)
        of_chain = chain
        found.append(value / peak - 1 if peak else None)
    return found
