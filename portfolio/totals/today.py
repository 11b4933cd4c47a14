"""Where today began: equity, flows and each position's P&L at the start of the desk's day. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from core.values.money import fixed
from portfolio.models import AccountDay, PnlDay
from portfolio.totals import desk
from positions.book import money
from positions.models import Position, Status

PERIODS: dict[str, int | None] = {"today": 1, "7d": 7, "30d": 30, "all": None}
"""Days of each period, today included."""
ZERO = Decimal(0)
_SUMS = ("price", "funding", "interest", "fees", "flows", "conversion", "corrections", "unexplained")


@dataclass(frozen=True, slots=True)
class AccountStart:
    """An account at the start of today; `equity` None: not known, and so is today's P&L.

    `flows` came since; `sums` are today's contributions as far as they are counted (`as_of`); `entries` is
    how many facts that counts.
    """

    equity: Decimal | None
    flows: Decimal
    as_of: datetime
    entries: int
    sums: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class DaySums:
    """The contributions of some closed days. `unknown` days have a part that nobody knows."""

    sums: dict[str, Decimal]
    unknown: int

    @property
    def pnl(self) -> Decimal:
        """Return all but flows."""
        return sum((one for name, one in self.sums.items() if name != "flows"), ZERO)


@dataclass(slots=True)
class DayStart:
    """What today is measured from.

    `positions` has the total P&L of each position that was open then, in its own currency (None: unknown),
    `ended` those closed since; `earlier` the closed days of each longer period, by account.
    """

    at: datetime
    accounts: dict[int, AccountStart] = field(default_factory=dict)
    positions: dict[int, Decimal | None] = field(default_factory=dict)
    ended: list[Position] = field(default_factory=list)
    earlier: dict[str, dict[int, DaySums]] = field(default_factory=dict)


def day_start(*, now: datetime, accounts: Collection[int] | None = None) -> DayStart:
    """Read where today began, for these accounts or all. Raises DatabaseError."""
    today = desk.day_of(now)
    found = DayStart(desk.day_start(today))
    days = AccountDay.objects.all() if accounts is None else AccountDay.objects.filter(account__in=accounts)
    for row in days.filter(day=today):
        sums = {name: getattr(row, name) or ZERO for name in _SUMS}
        found.accounts[row.account_id] = AccountStart(
            row.start_equity, row.flows, row.as_of, row.sequence, sums
        )
    lines = PnlDay.objects.filter(day=today - desk.DAY, position__isnull=False, strategy="")
    ended = Position.objects.filter(closed_at__gte=found.at).exclude(status=Status.VOID)
    if accounts is not None:
        lines, ended = lines.filter(account__in=accounts), ended.filter(account__in=accounts)
    found.positions = dict(lines.values_list("position", "closing_pnl"))
    found.ended = list(ended.select_related("instrument").defer("state"))
    for name, length in PERIODS.items():
        if length != 1:
            first = None if length is None else today - timedelta(days=length - 1)
            found.earlier[name] = _sums(days.filter(day__lt=today), first)
    return found


def day_bases(*, now: datetime) -> dict[int, str]:
    """Return what today's P&L of each account counts from, as text; none where its start is not known."""
    rows = AccountDay.objects.filter(day=desk.day_of(now)).values_list("account", "start_equity", "flows")
    return {account: fixed(money.add(equity, flows)) for account, equity, flows in rows if equity is not None}


def _sums(days: QuerySet[AccountDay], first: date | None) -> dict[int, DaySums]:
    rows = days if first is None else days.filter(day__gte=first)
    added = {f"sum_{name}": Coalesce(Sum(name), ZERO) for name in _SUMS}
    unknown = Count("pk", filter=Q(unexplained__isnull=True) | Q(unknown__gt=0))
    grouped = rows.order_by().values("account").annotate(unknown_days=unknown, **added)
    return {
        account: DaySums(dict(zip(_SUMS, amounts, strict=True)), count)
        for account, count, *amounts in grouped.values_list("account", "unknown_days", *added)
    }
