"""What the portfolio's page shows: a stretch of time, its calendar, and how things stand now. Reads only."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Q

from portfolio.attribution import Dimension
from portfolio.live import rows
from portfolio.models import Restatement
from portfolio.pages.standing import Standing, standing
from portfolio.pnl.calendar import DayResult, day_results, with_today
from portfolio.pnl.reads import AttributionReport, attribution
from portfolio.returns.curve import Drawdown
from portfolio.snapshots import quality
from portfolio.snapshots.stretch import RANGES, Stretch, bounds, stretch
from portfolio.totals import desk
from portfolio.totals.totals_store import PortfolioTotals
from positions.labels import ENVIRONMENTS
from positions.queries import accounts_in_use
from reconciliation.allocation import targets
from reconciliation.rules.allocation import Allocation

ZERO = Decimal(0)
PERIODS = ("day", "week", "month", "year")
IN_DAYS = ("7d", "30d", "90d", "1y", "all")
"""Ranges that are whole days of the desk: their P&L is the sum of those."""
LEVELS = 3
TABLE_ROWS = 24
LISTED_FALLS = 4
LISTED_RESTATEMENTS = 20
HALF = 100
"""Width of one side of a bar around zero, in user units."""


class Bar(NamedTuple):
    """One bar around zero: `x` and `width` are user units of 2 × HALF; `amount` None is unknown."""

    label: str
    amount: Decimal | None
    x: int
    width: int
    note: str = ""


class ExposureBar(NamedTuple):
    """What is held long and short of one asset, or at one venue, in USD; `unknown` have no price."""

    label: str
    long: Decimal
    short: Decimal
    long_width: int
    short_width: int
    unknown: int

    @property
    def short_x(self) -> int:
        """Where the bar of the shorts begins: it ends at zero."""
        return HALF - self.short_width

    @property
    def net(self) -> Decimal | None:
        """Longs less shorts; None: no price of anything in it is known."""
        nothing = self.unknown and not self.long and not self.short
        return None if nothing else self.long - self.short


class Cell(NamedTuple):
    """One day of a month's grid: `level` 1 to 3 is how large its P&L is; None: no such day, or no data."""

    day: date
    result: DayResult | None
    level: int


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the calendar: weeks from Monday on, None before its first and after its last day."""

    first: date
    weeks: list[list[Cell | None]]
    pnl: Decimal | None


class Period(NamedTuple):
    """A week, month or year. `pnl` adds up the days that are known, `unknown` counts the others."""

    label: str
    pnl: Decimal
    flows: Decimal
    days: int
    unknown: int
    level: int


@dataclass(frozen=True, slots=True)
class PortfolioPage:
    """All that the page shows."""

    environment: str
    environments: list[tuple[str, str]]
    range: str
    period: str
    since: datetime
    until: datetime
    stretch: Stretch
    quality: str
    figures: dict[str, Any]
    in_days: bool
    chart: dict[str, Any]
    table: list[dict[str, Any]]
    falls: list[Drawdown]
    months: list[Month]
    periods: list[Period]
    explained: list[Bar]
    by_asset: list[ExposureBar]
    by_venue: list[ExposureBar]
    allocation: Allocation | None
    restatements: list[Restatement]
    attribution: AttributionReport
    components: list[Bar]
    standing: Standing | None
    gaps: list[Any] = field(default_factory=list)
    periods_offered: tuple[str, ...] = PERIODS


def portfolio_page(
    *, environment: str, range_name: str, period: str, totals: PortfolioTotals, now: datetime
) -> PortfolioPage:
    """Read the page of an environment. Unknown names are taken for the first: an address is no form.

    `totals` are those that the page shows: today's P&L is theirs.
    """
    used = list(accounts_in_use(with_manual=True))
    worlds = targets.environments(accounts=used)
    chosen = environment if environment in worlds else next(iter(worlds), "live")
    name = range_name if range_name in RANGES else "30d"
    by = period if period in PERIODS else PERIODS[0]
    since, until = bounds(name, environment=chosen, now=now)
    found = stretch(environment=chosen, since=since, until=until, now=now)
    held = [row for row in rows.board(now=now) if row["environment"] == chosen]
    mine = [one for one in used if one.environment == chosen]
    ids, first, last = [one.pk for one in mine], desk.day_of(since), desk.day_of(until)
    report = attribution(accounts=ids, first=first, last=last, by=Dimension.DAY)
    stands = standing(environment=chosen, totals=totals, now=now)
    results = _results(ids, first.replace(day=1), last, stands)
    inside = [one for one in results if one.day >= first]
    earned = _earned_in_days(inside, last=last) if name in IN_DAYS else {}
    return PortfolioPage(
        environment=chosen,
        environments=[(one, ENVIRONMENTS[one]) for one in worlds],
        range=name,
        period=by,
        since=since,
        until=until,
        stretch=found,
        quality=_quality(found),
        figures=_figures(found) | earned,
        in_days=bool(earned),
        chart=_chart(found),
        table=_sampled(found),
        falls=found.drawdowns[:LISTED_FALLS],
        months=_months(results, first=first, last=last) if by == "day" else [],
        periods=_periods(results, by=by) if by != "day" else [],
        explained=_explained(found),
        by_asset=_exposures(held, key=lambda row: str(row["order"]).partition("|")[0]),
        by_venue=_exposures(held, key=lambda row: str(row["venue"])),
        allocation=targets.allocation(environment=chosen, accounts=mine, now=now) if mine else None,
        restatements=_restatements(chosen, first, since),
        standing=stands,
        attribution=report,
        components=_components(report),
        gaps=found.series.gaps[-5:][::-1],
    )


def _results(ids: list[int], first: date, last: date, stands: Standing | None) -> list[DayResult]:
    """Return the kept days, and today as the totals of the page have it."""
    return with_today(
        day_results(accounts=ids, first=first, last=last),
        today=last,
        pnl=None if stands is None else stands.today.pnl,
        unknown=0 if stands is None else stands.today.unknown,
    )


def _quality(found: Stretch) -> str:
    """Return in words what was unknown or stale anywhere in the stretch."""
    bits = 0
    for point in found.series.points:
        bits |= point["quality"]
    return quality.text(bits)


def _earned_in_days(results: Sequence[DayResult], *, last: date) -> dict[str, Any]:
    """Return the P&L of whole days, as calendar and API add it up; {} where no day is kept."""
    if not results:
        return {}
    is_known = results[-1].day == last and results[-1].pnl is not None
    pnl = sum((one.counted for one in results), ZERO) if is_known else None
    return {"pnl": pnl, "unknown_days": sum(one.pnl is None or one.unknown > 0 for one in results)}


def _restatements(environment: str, first: date, since: datetime) -> list[Restatement]:
    """Return the newest restatements of days in the range, or written in it."""
    found = Restatement.objects.filter(account__environment=environment).select_related("account", "entry")
    return list(found.filter(Q(day__gte=first) | Q(at__gte=since))[:LISTED_RESTATEMENTS])


def _figures(found: Stretch) -> dict[str, Any]:
    """Return the headline: where it stands at the end, and what the stretch did."""
    last, first = found.last, found.first
    deepest = found.drawdowns[0] if found.drawdowns else None
    earned = found.earned
    equity = last["equity"] if last else None
    exposure = last["exposure"] if last else None
    return {
        "at": last["at"] if last else None,
        "equity": equity,
        "equity_known": last["equity_known"] if last else None,
        "incomplete": bool(last and equity is None),
        "accounts": last["accounts"] if last else 0,
        "accounts_stale": last["accounts_stale"] if last else 0,
        "accounts_incomplete": last["accounts_incomplete"] if last else 0,
        "equity_stale": last["equity_stale"] if last else ZERO,
        "quality": quality.text(last["quality"]) if last else "",
        "since": first["at"] if first else None,
        "pnl": earned.gain if earned else None,
        "flows": earned.flows if earned else None,
        "rate": earned.time_weighted if earned else None,
        "money_rate": earned.money_weighted if earned else None,
        "fall": deepest,
        "exposure": exposure,
        "net": last["net_exposure"] if last else None,
        "leverage": exposure / equity if exposure is not None and equity else None,
        "positions": last["open_positions"] if last else 0,
    }


def _chart(found: Stretch) -> dict[str, Any]:
    """Return what the browser draws: amounts as text, times in seconds."""
    points = [
        [int(point["at"].timestamp()), _text(point["equity"]), _text(point["low"]), _text(point["high"]),
         None if fall is None else f"{fall * 100:.4f}", point["quality"], point["missing"]]
        for point, fall in zip(found.series.points, found.falls, strict=True)
    ]  # fmt: skip
    return {
        "points": points,
        "step": int(found.series.step.total_seconds()),
        "gaps": [[int(gap.since.timestamp()), int(gap.until.timestamp())] for gap in found.series.gaps],
        "flows": [
            [int(one.at.timestamp()), _text(one.amount), f"{one.account} · {one.text}"] for one in found.flows
        ],
        "until": int(found.series.until.timestamp()),
        "interval": settings.SNAPSHOT_INTERVAL,
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _sampled(found: Stretch) -> list[dict[str, Any]]:
    """Return the points as a table for whoever has no chart: at most TABLE_ROWS, the newest first."""
    points, falls = found.series.points, found.falls
    every = max(1, -(-len(points) // TABLE_ROWS))
    chosen = range(len(points) - 1, -1, -every)
    return [
        points[number] | {"fall": falls[number], "said": quality.text(points[number]["quality"])}
        for number in chosen
    ]


def _explained(found: Stretch) -> list[Bar]:
    """Return what made the P&L of the stretch; the last bar is what the others do not explain."""
    first, last, earned = found.first, found.last, found.earned
    if first is None or last is None or earned is None or earned.gain is None:
        return []
    realized = last["realized_pnl"] - first["realized_pnl"]
    carried = last["net_pnl"] - first["net_pnl"] - realized
    moved = None
    if None not in (last["unrealized_pnl"], first["unrealized_pnl"]):
        moved = last["unrealized_pnl"] - first["unrealized_pnl"]
    rest = None if moved is None else earned.gain - realized - carried - moved
    parts = [
        ("Realized", realized, "closed positions, before fees and funding"),
        ("Unrealized", moved, "how much more open positions are worth than at the start"),
        ("Fees, funding, interest", carried, "paid and received"),
        ("Everything else", rest, "cash and coins outside of positions, and what is not explained"),
    ]
    largest = max((abs(amount) for _, amount, _ in parts if amount is not None), default=ZERO)
    return [_bar(label, amount, largest, note) for label, amount, note in parts]


def _components(report: AttributionReport) -> list[Bar]:
    """Return what changed equity over whole days of the desk, flows included, by component."""
    amounts = report.total.by_component if report.rows else {}
    largest = max((abs(amount) for amount in amounts.values()), default=ZERO)
    return [_bar(name.capitalize(), amount, largest, "") for name, amount in amounts.items()]


def _bar(label: str, amount: Decimal | None, largest: Decimal, note: str) -> Bar:
    width = 0 if amount is None or not largest else max(int(abs(amount) / largest * HALF), 1 if amount else 0)
    x = HALF if amount is not None and amount >= 0 else HALF - width
    return Bar(label, amount, x, width, note)


def _exposures(held: Sequence[Mapping[str, Any]], *, key: Any) -> list[ExposureBar]:
    sums: dict[str, list[Any]] = {}
    for row in held:
        total = sums.setdefault(key(row), [ZERO, ZERO, 0])
        if row["notional"] is None or not row["in_par"]:
            total[2] += 1
        else:
            total[row["side"] == "short"] += Decimal(row["notional"])
    largest = max((max(long, short) for long, short, _ in sums.values()), default=ZERO) or Decimal(1)
    found = [
        ExposureBar(label, long, short, int(long / largest * HALF), int(short / largest * HALF), unknown)
        for label, (long, short, unknown) in sums.items()
    ]
    return sorted(found, key=lambda one: -(one.long + one.short))


def _level(amount: Decimal | None, largest: Decimal) -> int:
    if not amount or not largest:
        return 0
    return min(LEVELS, int(abs(amount) / largest * LEVELS) + 1)


def _months(results: Sequence[DayResult], *, first: date, last: date) -> list[Month]:
    """Return every month that the range touches, the newest first."""
    by_day = {one.day: one for one in results}
    largest = _largest(one.pnl for one in results)
    found, month = [], last.replace(day=1)
    while month >= first.replace(day=1):
        weeks: list[list[Cell | None]] = []
        for week in calendar.Calendar().monthdatescalendar(month.year, month.month):
            cells: list[Cell | None] = []
            for day in week:
                result = by_day.get(day)
                inside = day.month == month.month
                cells.append(
                    Cell(day, result, _level(result.pnl if result else None, largest)) if inside else None
                )
            weeks.append(cells)
        known = [
            one.counted for day, one in by_day.items() if _same_month(day, month) and one.pnl is not None
        ]
        found.append(Month(month, weeks, sum(known, ZERO) if known else None))
        month = (month - timedelta(days=1)).replace(day=1)
    return found


def _same_month(day: date, first: date) -> bool:
    return (day.year, day.month) == (first.year, first.month)


def _largest(amounts: Iterable[Decimal | None]) -> Decimal:
    """Return what counts as a large day: the ninth of ten, so that one wild day does not pale all others."""
    known = sorted(abs(one) for one in amounts if one is not None)
    return known[int(len(known) * 0.9) - (len(known) == int(len(known) * 0.9))] if known else ZERO


def _periods(results: Sequence[DayResult], *, by: str) -> list[Period]:
    grouped: dict[str, list[DayResult]] = {}
    for one in results:
        grouped.setdefault(_label(one.day, by), []).append(one)
    sums = {label: sum((one.counted for one in found), ZERO) for label, found in grouped.items()}
    largest = _largest(sums.values())
    return [
        Period(
            label=label,
            pnl=sums[label],
            flows=sum((one.flows for one in found), ZERO),
            days=len(found),
            unknown=sum(one.pnl is None for one in found),
            level=_level(sums[label], largest),
        )
        for label, found in reversed(grouped.items())
    ]


def _label(day: date, by: str) -> str:
    if by == "week":
        year, week, _ = day.isocalendar()
        return f"{year}, week {week}"
    return f"{day:%B %Y}" if by == "month" else f"{day:%Y}"
