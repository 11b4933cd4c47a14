"""Money that came into an environment or left it: deposits, withdrawals, accounts that joined."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db import connection

from core.templatetags import numbers
from portfolio.returns.rates import Flow
from portfolio.returns.transfers import Transfer, own_transfers
from positions.labels import ENTRY_CAUSES
from positions.models import Account, Entry

OUTSIDE = ("deposit", "withdrawal")


class FlowMark(NamedTuple):
    """One flow; `amount` in USD (+ in, − out), None: value not known. `entry` 0: an account that joined."""

    at: datetime
    amount: Decimal | None
    account: str
    text: str
    entry: int


def flows(*, environment: str, since: datetime, until: datetime) -> list[FlowMark]:
    """Return the flows after `since` up to `until`, by time. What moves between own accounts is none.

    An account whose first snapshot lies in the stretch joined it, with its equity of that moment.
    """
    accounts = {one.pk: one for one in Account.objects.filter(environment=environment)}
    transfers = Entry.objects.filter(
        account__in=accounts, kind="transfer", cause__in=OUTSIDE, at__gt=since, at__lte=until
    ).order_by("at", "pk")
    rows = list(transfers)
    own = _own(rows)
    found = [_flow(row, accounts[row.account_id]) for row in rows if row.venue_ref not in own]
    return sorted([*found, *_joined(accounts, since=since, until=until)], key=lambda one: one.at)


def _own(rows: Sequence[Entry]) -> set[str]:
    known = [
        Transfer(at=row.at, account=row.account_id, asset=row.currency or "", amount=row.amount,
                 value=_value(row), ref=row.venue_ref)
        for row in rows
        if row.amount is not None
    ]  # fmt: skip
    return {ref for pair in own_transfers(known) for ref in (pair.sent.ref, pair.received.ref)}


def _flow(row: Entry, account: Account) -> FlowMark:
    what = f"{numbers.moved(row.amount, row.currency)} {row.currency or ''}".strip()
    text = f"{ENTRY_CAUSES.get(row.cause, row.cause)} {what}"
    return FlowMark(row.at, _value(row), account.label, text, row.pk)


def _value(row: Entry) -> Decimal | None:
    """Return a transfer's worth in USD: at par, or by the par value that was booked with it."""
    stated: Decimal | None = row.amount
    if stated is None or row.currency in settings.PAR_CURRENCIES:
        return stated
    par: dict[str, Any] | None = orjson.loads(row.content).get("par")
    amount = None if not par else par.get("amount")
    return None if amount is None else Decimal(str(amount)).copy_sign(stated)


def _joined(accounts: dict[int, Account], *, since: datetime, until: datetime) -> list[FlowMark]:
    """Return the accounts that began in the stretch, with their first equity."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT account.id, first.at, first.equity
            FROM unnest(%s::bigint[]) AS account (id), LATERAL (
                (SELECT last_at AS at, equity FROM portfolio_accounthour
                 WHERE account_id = account.id ORDER BY portfolio_accounthour.at LIMIT 1)
                UNION ALL
                (SELECT at, equity FROM portfolio_accountsnapshot
                 WHERE account_id = account.id ORDER BY portfolio_accountsnapshot.at LIMIT 1)
                ORDER BY at LIMIT 1
            ) AS first
            WHERE first.at > %s AND first.at <= %s
            """,
            [list(accounts), since, until],
        )
        found = cursor.fetchall()
    return [
        FlowMark(at, equity, accounts[key].label, f"{accounts[key].label} joined", 0)
        for key, at, equity in found
    ]


def with_equity_before(found: Collection[FlowMark], *, environment: str) -> list[Flow]:
    """Return flows with the portfolio's last known equity before each: None where no snapshot is near."""
    if not found:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT flow.at, coalesce(raw.equity, hour.equity)
            FROM unnest(%(times)s::timestamptz[]) AS flow (at)
            LEFT JOIN LATERAL (
                SELECT equity FROM portfolio_portfoliosnapshot
                WHERE environment = %(environment)s AND at < flow.at AND at > flow.at - interval '10 minutes'
                ORDER BY at DESC LIMIT 1
            ) AS raw ON true
            LEFT JOIN LATERAL (
                SELECT equity FROM portfolio_portfoliohour
                WHERE environment = %(environment)s AND last_at < flow.at
                  AND at > flow.at - interval '2 hours'
                ORDER BY at DESC LIMIT 1
            ) AS hour ON true
            """,
            {"times": [one.at for one in found], "environment": environment},
        )
        before = dict(cursor.fetchall())
    return [Flow(one.at, one.amount, before.get(one.at)) for one in found if one.amount is not None]
