"""Where today began: equity, flows and each position's P&L at the start of the desk's day. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection

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
    found.earlier = _earlier(today, accounts)
    return found


def day_bases(*, now: datetime) -> dict[int, str]:
    """Return what today's P&L of each account counts from, as text; none where its start is not known."""
    rows = AccountDay.objects.filter(day=desk.day_of(now)).values_list("account", "start_equity", "flows")
    return {account: fixed(money.add(equity, flows)) for account, equity, flows in rows if equity is not None}


def _earlier(today: date, accounts: Collection[int] | None) -> dict[str, dict[int, DaySums]]:
    """Return the closed days of each longer period added up by account, in one pass over them."""
    lengths = {name: length for name, length in PERIODS.items() if length != 1}
    columns: list[str] = []
    asked: list[date] = []
    for length in lengths.values():
        since = date.min if length is None else today - timedelta(days=length - 1)
        unknown = "count(*) FILTER (WHERE day >= %s AND (unexplained IS NULL OR unknown > 0))"
        sums = [f"coalesce(sum({name}) FILTER (WHERE day >= %s), 0)" for name in _SUMS]
        columns += ["count(*) FILTER (WHERE day >= %s)", unknown, *sums]
        asked += [since] * (2 + len(_SUMS))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT account_id, {', '.join(columns)} FROM portfolio_accountday"
            " WHERE day < %s AND (%s::bigint[] IS NULL OR account_id = ANY(%s)) GROUP BY account_id",
            [*asked, today, *[None if accounts is None else list(accounts)] * 2],
        )
        read = cursor.fetchall()
    found: dict[str, dict[int, DaySums]] = {name: {} for name in lengths}
    for account, *values in read:
        for place, name in enumerate(lengths):
            days, unknown_days, *amounts = values[place * (2 + len(_SUMS)) :][: 2 + len(_SUMS)]
            if days:
                found[name][account] = DaySums(dict(zip(_SUMS, amounts, strict=True)), unknown_days)
    return found
