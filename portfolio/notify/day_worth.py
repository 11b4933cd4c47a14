"""What a day was worth, for the digest: equity and P&L of the desk's day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import F

from core.templatetags import numbers
from portfolio.models import AccountDay
from portfolio.notify import wording
from portfolio.notify.sheet import Line, Section
from portfolio.notify.story import Reader
from positions.labels import ENVIRONMENTS
from positions.models import Account


@dataclass(slots=True)
class _Sum:
    """What accounts of one environment add up to; `unknown` are those without a figure, `doubtful` those
    with amounts that nobody knows.
    """

    equity: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)
    counted: int = 0
    unknown_equity: int = 0
    unknown_pnl: int = 0
    doubtful: int = 0

    def add(self, row: AccountDay | None) -> None:
        """Count an account's closed day; None: none is kept."""
        self.counted += 1
        if row is None or row.end_equity is None:
            self.unknown_equity += 1
        else:
            self.equity += row.end_equity
        if row is None or row.unexplained is None:
            self.unknown_pnl += 1
        else:
            self.pnl += row.pnl
            self.doubtful += row.unknown > 0


def worth(accounts: Sequence[Account], *, day: date, reader: Reader, now: datetime) -> Iterable[Section]:
    """Return equity and P&L of the desk's day of that date, to the cent what calendar and API say of it.

    Where that day is not over yet (the reader lives far east of the desk), the day before.
    """
    days = AccountDay.objects.filter(account__in=accounts)
    if days.filter(day=day, ends_at__gt=now).exists():
        day -= timedelta(days=1)
    rows = {row.account_id: row for row in days.filter(day=day, as_of__gte=F("ends_at"))}
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for account in accounts:
        sums[account.environment].add(rows.get(account.pk))
    ends = max((row.ends_at for row in rows.values()), default=None)
    until = "" if ends is None else f"the desk's day, until {reader.time(ends)}"
    for environment, found in sums.items():
        name = ENVIRONMENTS.get(environment, environment)
        yield Section(
            f"Worth · {name}",
            (
                Line(
                    "Equity at the end",
                    amount(found.equity, reader, signed=False, known=found.counted > found.unknown_equity),
                    _left_out(found.unknown_equity) or until,
                ),
                Line(
                    "P&L of the day",
                    amount(found.pnl, reader, signed=True, known=found.counted > found.unknown_pnl),
                    _left_out(found.unknown_pnl)
                    or _doubt(found.doubtful)
                    or "realized and unrealized, with fees and funding",
                ),
            ),
        )


def amount(value: Decimal, reader: Reader, *, signed: bool, known: bool = True) -> str:
    """Return an amount of USD as the reader wants it: hidden, or to the cent."""
    if not known:
        return "unknown"
    if not reader.with_amounts:
        return wording.HIDDEN
    return f"{numbers.signed(value) if signed else numbers.money(value)} USD"


def _left_out(count: int) -> str:
    return f"without {count} account{'s' if count > 1 else ''} whose figure is unknown" if count else ""


def _doubt(count: int) -> str:
    return f"{count} account{'s' if count > 1 else ''} with amounts that are not known" if count else ""
