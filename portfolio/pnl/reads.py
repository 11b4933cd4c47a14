"""P&L and attribution of days, added up by position, asset, account, venue, strategy or day. Reads only.

One grouped query each: the days are kept, so that a year is a sum of rows and no fold of entries.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery

from portfolio.attribution import GATE, Component, Dimension
from portfolio.models import AccountDay, EntryStrategy
from portfolio.totals import desk
from positions.models import Account, Entry, Position
from positions.models.names import display_name

COMPONENTS = tuple(one.value for one in Component)
ZERO = Decimal(0)
UNTAGGED, CASH = "untagged", "cash"


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """One cell of an attribution: amounts by component, in the order of COMPONENTS. `unknown` counts."""

    key: str
    label: str
    amounts: tuple[Decimal, ...]
    unknown: int
    entries: int

    @property
    def by_component(self) -> dict[str, Decimal]:
        """Return the amounts by name."""
        return dict(zip(COMPONENTS, self.amounts, strict=True))

    @property
    def total(self) -> Decimal:
        """Return the change of equity."""
        return sum(self.amounts, ZERO)

    @property
    def pnl(self) -> Decimal:
        """Return all but flows."""
        return self.total - self.by_component[Component.FLOWS]


@dataclass(frozen=True, slots=True)
class AttributionReport:
    """Why equity changed over some days. `start` and `end` None: not known on `open_days` days.

    `unexplained` is what is left, over all accounts and days whose equity is known; it closes within GATE a
    day and account.
    """

    first: date
    last: date
    as_of: datetime | None
    start: Decimal | None
    end: Decimal | None
    rows: tuple[AttributionRow, ...]
    total: AttributionRow
    unclosed_days: int
    unknown_days: int

    @property
    def closes(self) -> bool:
        """Return whether every day is explained to the cent."""
        return not (self.unclosed_days or self.unknown_days)


_KEYS = {
    Dimension.POSITION: ("COALESCE(line.position_id::text, line.asset)", ""),
    Dimension.ASSET: ("line.asset", ""),
    Dimension.ACCOUNT: ("line.account_id::text", ""),
    Dimension.VENUE: (
        "account.venue", "JOIN positions_account account ON account.id = line.account_id"
    ),
    Dimension.STRATEGY: (
        "COALESCE(NULLIF(line.strategy, ''), position.strategy, '')",
        "LEFT JOIN positions_position position ON position.id = line.position_id",
    ),
}  # fmt: skip


def attribution(*, accounts: Collection[int], first: date, last: date, by: Dimension) -> AttributionReport:
    """Return why the equity of these accounts changed from the first day's start to the last day's end."""
    days = AccountDay.objects.filter(account__in=accounts, day__gte=first, day__lte=last)
    rows = _by_day(accounts, first, last) if by is Dimension.DAY else _grouped(accounts, first, last, by)
    found = list(days.values_list("account", "day", "start_equity", "end_equity", "unexplained", "as_of"))
    starts, ends = _edges(found)
    return AttributionReport(
        first=first,
        last=last,
        as_of=max((row[5] for row in found), default=None),
        start=starts,
        end=ends,
        rows=tuple(_labelled(rows, by)),
        total=_total(rows),
        unclosed_days=sum(1 for row in found if row[4] is not None and abs(row[4]) > GATE),
        unknown_days=sum(1 for row in found if row[4] is None),
    )


def _edges(found: Sequence[tuple[Any, ...]]) -> tuple[Decimal | None, Decimal | None]:
    """Return equity at each account's first and last day, added up; None as soon as one is not known.

    An account that joins in between begins with nothing: what it brings is a flow.
    """
    first: dict[int, tuple[date, Decimal | None]] = {}
    last: dict[int, tuple[date, Decimal | None]] = {}
    for account, day, start, end, _, _ in found:
        if account not in first or day < first[account][0]:
            first[account] = day, start
        if account not in last or day > last[account][0]:
            last[account] = day, end
    begun = min((day for day, _ in first.values()), default=None)
    starts = [equity if day == begun else ZERO for day, equity in first.values()]
    return _sum(starts), _sum(equity for _, equity in last.values())


def _sum(amounts: Any) -> Decimal | None:
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


_SUMS = ", ".join(f"COALESCE(sum({name}), 0)" for name in COMPONENTS)


def _by_day(accounts: Collection[int], first: date, last: date) -> list[AttributionRow]:
    sql = (
        f"SELECT day::text, {_SUMS}, sum(unknown), sum(entries) FROM portfolio_accountday"
        " WHERE account_id = ANY(%s) AND day BETWEEN %s AND %s GROUP BY day ORDER BY day"
    )
    return _read(sql, accounts, first, last)


def _grouped(accounts: Collection[int], first: date, last: date, by: Dimension) -> list[AttributionRow]:
    key, join = _KEYS[by]
    sums = ", ".join(f"sum(line.{name})" for name in COMPONENTS)
    sql = (
        f"SELECT {key}, {sums}, sum(line.unknown), sum(line.entries) FROM portfolio_pnlday line {join}"
        " WHERE line.account_id = ANY(%s) AND line.day BETWEEN %s AND %s GROUP BY 1"
    )
    return _read(sql, accounts, first, last)


def _read(sql: str, accounts: Collection[int], first: date, last: date) -> list[AttributionRow]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(accounts), first, last])
        return [
            AttributionRow(row[0], "", tuple(row[1:-2]), int(row[-2]), int(row[-1]))
            for row in cursor.fetchall()
        ]


def _total(rows: Sequence[AttributionRow]) -> AttributionRow:
    amounts = [sum((row.amounts[place] for row in rows), ZERO) for place in range(len(COMPONENTS))]
    unknown, entries = sum(row.unknown for row in rows), sum(row.entries for row in rows)
    return AttributionRow("", "total", tuple(amounts), unknown, entries)


def _labelled(rows: Sequence[AttributionRow], by: Dimension) -> list[AttributionRow]:
    """Return rows with the words that people read; by day in order, else the largest P&L first."""
    labels = _labels([row.key for row in rows], by)
    named = [
        AttributionRow(row.key, labels.get(row.key, row.key), row.amounts, row.unknown, row.entries)
        for row in rows
    ]
    return named if by is Dimension.DAY else sorted(named, key=lambda row: (-abs(row.pnl), row.key))


def _labels(keys: Collection[str], by: Dimension) -> dict[str, str]:
    if by is Dimension.STRATEGY:
        return {"": UNTAGGED}
    if by is Dimension.ACCOUNT:
        return {str(pk): label for pk, label in Account.objects.values_list("pk", "label")}
    if by is Dimension.ASSET:
        return {"": CASH}
    if by is Dimension.POSITION:
        ids = [int(key) for key in keys if key.isdigit()]
        found = Position.objects.filter(pk__in=ids).select_related("instrument", "account")
        names = {str(one.pk): f"{display_name(one.instrument)} · {one.account.label}" for one in found}
        return {"": CASH} | names
    return {}


def entries_behind(
    *, accounts: Collection[int], first: date, last: date, by: Dimension, key: str
) -> QuerySet[Entry]:
    """Return the entries of a cell: those of its days and key. Raises ValueError for what is no key."""
    found = Entry.objects.filter(
        account__in=accounts, at__gte=desk.day_start(first), at__lt=desk.day_end(last)
    ).select_related("account", "instrument")
    if not key and by in (Dimension.DAY, Dimension.ACCOUNT, Dimension.VENUE):
        return found  # of the whole range
    if by is Dimension.DAY:
        day = date.fromisoformat(key)
        return found.filter(at__gte=desk.day_start(day), at__lt=desk.day_end(day))
    if by is Dimension.ACCOUNT:
        return found.filter(account=int(key))
    if by is Dimension.VENUE:
        return found.filter(account__venue=key)
    if by is Dimension.ASSET:
        own = Q(instrument__underlying=key) | Q(instrument__isnull=True, currency=key)
        return found.filter(own) if key else found.filter(instrument__isnull=True)
    if by is Dimension.POSITION and not key.isdigit():
        return found.filter(instrument__isnull=True, currency=key)
    positions = Position.objects.filter(account__in=accounts).select_related("instrument")
    if by is Dimension.POSITION:
        return found.filter(_of_positions(positions.filter(pk=int(key))))
    tags = EntryStrategy.objects.filter(account=OuterRef("account"), venue_ref=OuterRef("venue_ref"))
    behind = _of_positions(positions.filter(strategy=key)[:MOST_POSITIONS])
    behind = behind if key else behind | Q(instrument__isnull=True)  # cash of no position is untagged
    tagged = found.annotate(tag=Subquery(tags.values("strategy")[:1]))
    return tagged.filter(Q(tag=key) | (Q(tag__isnull=True) & behind))


MOST_POSITIONS = 200


def _of_positions(positions: QuerySet[Position]) -> Q:
    behind = Q(pk__in=[])
    for one in positions:
        own = Q(account=one.account_id, at__gte=one.opened_at)
        own &= Q(instrument=one.instrument_id) | Q(
            coins__contains=[f"{one.account_id}/{one.instrument.base}"]
        )
        if one.closed_at is not None:
            own &= Q(at__lte=one.closed_at)
        behind |= own
    return behind
