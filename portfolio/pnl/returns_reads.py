"""What returns are made of: equity at the ends, at every flow and each hour; outside flows. Reads only.

Note [Flows and snapshots]: equity just before a flow is that of the accounts' last snapshots, at most
MARKS_WITHIN before it, and what flowed between those and the flow. Older ones are no marks of that moment:
then the time-weighted rate says which flow lacks them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Count, Max, Sum

from portfolio.models import AccountDay, AccountHour, AccountSnapshot
from portfolio.returns.curve import (
    HOUR,
    HOURS_A_YEAR,
    Drawdown,
    IndexPoint,
    changes,
    drawdowns,
    index,
    sharpe,
    sortino,
)
from portfolio.returns.rates import YEAR, EquityPoint, Flow, Performance, merged, performance
from portfolio.returns.transfers import OwnTransfer, Transfer, in_transit, own_transfers
from portfolio.totals import desk
from positions import queries
from positions.book import Cause
from positions.ledger.instruments import par_currencies

ZERO = Decimal(0)
LEAST_DRAWDOWN = Decimal("0.001")
MOST_DRAWDOWNS = 20
JOINS_WITHIN = timedelta(minutes=5)


def marks_within() -> timedelta:
    """Return how old equity may be to be that of a flow's moment: two snapshots and a half."""
    return timedelta(seconds=2.5 * settings.SNAPSHOT_INTERVAL)


@dataclass(frozen=True, slots=True)
class ReturnsReport:
    """What some accounts earned over some days. Ratios are of hours; a year's where it is one at least.

    `own` are transfers between these accounts: no flows. `hours_missing` counts gaps among the hours.
    """

    first: date
    last: date
    performance: Performance
    curve: Sequence[IndexPoint]
    drawdowns: Sequence[Drawdown]
    flows: Sequence[Flow]
    own: Sequence[OwnTransfer]
    sharpe: Decimal | None
    sortino: Decimal | None
    is_annualised: bool
    hours: int
    hours_missing: int


def returns(*, accounts: Collection[int], first: date, last: date, now: datetime) -> ReturnsReport:
    """Return what these accounts earned from the first day's start to the last day's end, or to now."""
    days = list(
        AccountDay.objects.filter(account__in=accounts, day__gte=first, day__lte=last).order_by("day")
    )
    begins = desk.day_start(first)
    ends = max((row.as_of for row in days), default=min(desk.day_end(last), now))
    moved = _transfers(accounts, days, begins, ends)
    own = own_transfers(moved)
    flows = merged(_flows(accounts, days, moved, own, begins, ends))
    start = _with_transit(EquityPoint(begins, _start(days)), own)
    end = _with_transit(EquityPoint(ends, _end(days)), own)
    points = [start, *(_with_transit(one, own) for one in _hours(accounts, days, begins, ends)), end]
    curve = index(points, flows)
    hourly = changes(curve, every=HOUR)
    is_year = ends - begins >= YEAR
    a_year = HOURS_A_YEAR if is_year else None
    return ReturnsReport(
        first=first, last=last, performance=performance(start=start, end=end, flows=flows), curve=curve,
        drawdowns=drawdowns(curve, least=LEAST_DRAWDOWN)[:MOST_DRAWDOWNS], flows=flows, own=own,
        sharpe=sharpe(hourly, periods_a_year=a_year), sortino=sortino(hourly, periods_a_year=a_year),
        is_annualised=is_year, hours=len(hourly), hours_missing=_missing(curve, begins, ends),
    )  # fmt: skip


def _missing(curve: Sequence[IndexPoint], begins: datetime, ends: datetime) -> int:
    known = sum(1 for one in curve if one.value is not None and one.at.minute == 0 and one.at.second == 0)
    return max((ends - begins) // HOUR - known, 0)


def _start(days: Sequence[AccountDay]) -> Decimal | None:
    """Return equity at the start; accounts that join later begin with nothing."""
    begun = min((row.day for row in days), default=None)
    return _sum(row.start_equity for row in days if row.day == begun)


def _end(days: Sequence[AccountDay]) -> Decimal | None:
    last = {row.account_id: row for row in days}
    return _sum(row.end_equity for row in last.values())


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def _with_transit(point: EquityPoint, own: Sequence[OwnTransfer]) -> EquityPoint:
    under_way = in_transit(own, at=point.at)
    known = None if point.equity is None or under_way is None else point.equity + under_way
    return EquityPoint(point.at, known)


def _transfers(
    accounts: Collection[int], days: Sequence[AccountDay], begins: datetime, ends: datetime
) -> list[Transfer]:
    """Return transfers from outside of an account, and between accounts; not those among its wallets.

    What a wallet held that was opened after its account's first one is a flow too, part of the joining where
    that was a moment ago.
    """
    par = par_currencies()
    joined = {row.account_id: row.starts_at for row in days if row.starts_at > desk.day_start(row.day)}
    found = []
    for account, fact in queries.transfers(accounts=accounts, since=begins, until=ends):
        if fact.cause is Cause.INTERNAL or fact.amount is None or fact.currency is None:
            continue
        at, begun = fact.time, joined.get(account)
        if fact.cause is Cause.OPENING and begun is not None:
            if fact.time <= begun:
                continue  # in what the account joined with
            at = begun if fact.time - begun <= JOINS_WITHIN else fact.time
        value: Decimal | None = fact.amount
        if fact.currency not in par:
            value = None if fact.par is None else fact.par.amount.copy_sign(fact.amount)
        found.append(Transfer(account, at, fact.currency, fact.amount, value, fact.venue_ref))
    return found


def _flows(
    accounts: Collection[int],
    days: Sequence[AccountDay],
    moved: Sequence[Transfer],
    own: Sequence[OwnTransfer],
    begins: datetime,
    ends: datetime,
) -> list[Flow]:
    """Return flows with the equity before each: transfers from outside, and accounts that join."""
    internal = {(one.account, one.ref) for pair in own for one in pair}
    outside = [one for one in moved if (one.account, one.ref) not in internal and begins < one.at <= ends]
    joins = [(row.account_id, row.starts_at, row.joined) for row in days if row.joined]
    amounts = [(one.at, one.value) for one in outside]
    amounts += [(max(at, begins + timedelta(microseconds=1)), joined) for _, at, joined in joins]
    return [
        Flow(at, amount or ZERO, None if amount is None else _before(accounts, at, moved, own))
        for at, amount in sorted(amounts, key=lambda one: one[0])
    ]


def _before(
    accounts: Collection[int], at: datetime, moved: Sequence[Transfer], own: Sequence[OwnTransfer]
) -> Decimal | None:
    """Return the equity just before a moment. See Note [Flows and snapshots]."""
    joined = set(
        AccountDay.objects.filter(account__in=accounts, starts_at__lt=at, day__lte=desk.day_of(at))
        .values_list("account", flat=True)
        .distinct()
    )
    rows = (
        AccountSnapshot.objects.filter(account__in=joined, at__lt=at, at__gt=at - marks_within())
        .order_by("account", "-at")
        .distinct("account")
    )
    known = {
        account: (taken, equity) for account, taken, equity in rows.values_list("account", "at", "equity")
    }
    total = in_transit(own, at=at - timedelta(microseconds=1))
    for account in joined:
        taken, equity = known.get(account, (at, None))
        between = [one.value for one in moved if one.account == account and taken < one.at < at]
        total = _sum([total, equity, *between])
    return total


def _hours(
    accounts: Collection[int], days: Sequence[AccountDay], begins: datetime, ends: datetime
) -> list[EquityPoint]:
    """Return equity at the end of each hour; None where the figure of an account is missing."""
    rows = (
        AccountHour.objects.filter(account__in=accounts, at__gte=begins, last_at__lt=ends)
        .order_by()
        .values("at")
        .annotate(total=Sum("equity"), known=Count("equity"), rows=Count("pk"), last=Max("last_at"))
        .order_by("at")
    )
    since: dict[int, datetime] = {}
    for day in days:
        since.setdefault(day.account_id, day.starts_at)
    found = []
    for at, total, known, last in rows.values_list("at", "total", "known", "last"):
        begun = len([start for start in since.values() if start <= last])
        found.append(EquityPoint(at + HOUR, total if known >= begun else None))
    return found
