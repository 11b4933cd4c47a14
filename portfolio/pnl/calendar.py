"""The P&L of each day of the desk, as calendar, digest and API tell it: one row of AccountDay each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from portfolio.attribution import Component

_EARNED = " + ".join(
    "coalesce(unexplained, 0)" if one is Component.UNEXPLAINED else one.value
    for one in Component
    if one is not Component.FLOWS
)


class DayResult(NamedTuple):
    """One day of the desk. `pnl` is without flows; None: of no account is equity known at both of its ends.

    `counted` is the part that is known, which sums of days are made of; `unknown` counts accounts and amounts
    that it leaves out.
    """

    day: date
    pnl: Decimal | None
    counted: Decimal
    flows: Decimal
    unknown: int


def day_results(*, accounts: Collection[int], first: date, last: date) -> list[DayResult]:
    """Return each day that is kept of these accounts, in order. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT day, bool_and(unexplained IS NULL), sum({_EARNED}), sum(flows),"
            " sum(unknown) + count(*) FILTER (WHERE unexplained IS NULL) FROM portfolio_accountday"
            " WHERE account_id = ANY(%s) AND day BETWEEN %s AND %s GROUP BY day ORDER BY day",
            [list(accounts), first, last],
        )
        return [
            DayResult(day, None if is_unknown else counted, counted, flows, int(unknown))
            for day, is_unknown, counted, flows, unknown in cursor.fetchall()
        ]


def with_today(
    found: Iterable[DayResult], *, today: date, pnl: Decimal | None, unknown: int
) -> list[DayResult]:
    """Return the days with today's P&L as the totals beside them have it: a day that runs is not kept yet."""
    counted = Decimal(0) if pnl is None else pnl
    return [
        one._replace(pnl=pnl, counted=counted, unknown=unknown) if one.day == today else one for one in found
    ]
