"""P&L, attribution and returns over HTTP: ranges of the desk's days, over the accounts that may be seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from django.db.models import Min
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from core.api import paging
from core.api.auth import needs, principal_of
from core.http.inputs import Cursor, Day, Id, Limit, Text
from core.http.problems import Problem
from core.security.scopes import Scope
from portfolio.api.portfolio import totals
from portfolio.api.schemas_portfolio import (
    Attribution,
    BehindEntryPage,
    By,
    Period,
    Pnl,
    Returns,
    WitnessPage,
)
from portfolio.attribution import Dimension
from portfolio.models import AccountDay, VenueDay
from portfolio.pnl import reads, returns_reads
from portfolio.pnl.reads import AttributionReport, AttributionRow
from portfolio.returns.curve import Drawdown, IndexPoint
from portfolio.returns.rates import Rate
from portfolio.totals import desk
from portfolio.totals.portfolio_view import portfolio_view
from portfolio.totals.today import PERIODS
from positions.models import Account, Entry, Environment

router = Router(tags=["portfolio"], auth=needs(Scope.READ))
ZERO = Decimal(0)
MOST_POINTS = 2000
MADE_BY = 5


class DayRange(Schema):
    """Days of the desk, both included, and the accounts of one environment."""

    since: Day | None = Field(None, description="Default: 30 days in all, or fewer if there are.")
    until: Day | None = Field(None, description="Default: today, as far as it is counted.")
    environment: Environment | None = Field(None, description="Default: the first with accounts, live first.")
    account: Id | None = Field(None, description="One account instead of all.")


class Range:
    """A range that was asked for, with the accounts in it. Raises Problem for what cannot be."""

    def __init__(self, request: HttpRequest, asked: DayRange, *, now: datetime) -> None:
        self.environment, self.accounts = _accounts(request, asked)
        today = desk.day_of(now)
        self.last = min(asked.until or today, today)
        days = AccountDay.objects.filter(account__in=self.accounts)
        self.known: date | None = days.aggregate(first=Min("day"))["first"]
        self.first = asked.since or max(self.last - timedelta(days=29), self.known or date.min)
        if self.first > self.last:
            raise Problem(422, "bad_range", f"since {self.first} is after until {self.last}.")
        if self.last - self.first > timedelta(days=3660):
            raise Problem(422, "bad_range", "A range has at most ten years.")

    @property
    def query(self) -> dict[str, str]:
        """Return the range as parameters."""
        return {
            "since": self.first.isoformat(),
            "until": self.last.isoformat(),
            "environment": self.environment,
        }


def _accounts(request: HttpRequest, asked: DayRange) -> tuple[str, list[int]]:
    mine = Account.objects.order_by("pk")
    seen = principal_of(request).accounts
    if seen is not None:
        mine = mine.filter(pk__in=seen)
    if asked.account is not None:
        one = mine.filter(pk=asked.account).first()
        if one is None:
            raise Problem(404, "account_not_found", f"There is no account {asked.account}.")
        if asked.environment not in (None, one.environment):
            raise Problem(422, "bad_range", f"Account {one.pk} is {one.environment}.")
        return one.environment, [one.pk]
    environments = dict(mine.values_list("pk", "environment"))
    used = [name for name in Environment.values if name in environments.values()]
    if not used or asked.environment not in (None, *used):
        raise Problem(404, "no_accounts", "There is no account that you may see.")
    name = asked.environment or used[0]
    return name, [pk for pk, environment in environments.items() if environment == name]


@router.get("/portfolio/pnl", response=Pnl, summary="P&L of a period, by what made it")
def pnl(
    request: HttpRequest,
    period: Period = "today",
    by: By = "account",
    environment: Environment | None = None,
) -> dict[str, Any]:
    """P&L without flows, live: today's is as of the last refresh. Rows add up to `pnl` to the cent."""
    now = timezone.now()
    asked = Range(request, DayRange(since=None, until=None, environment=environment, account=None), now=now)
    found, _ = totals(request, now=now)
    shown = [one for one in portfolio_view(found, now=now) if one["environment"] == asked.environment]
    today = desk.day_of(now)
    length = PERIODS[period]
    first = (asked.known or today) if length is None else today - timedelta(days=length - 1)
    rows: dict[str, list[Any]] = {}
    for one in _closed(asked.accounts, first, today, Dimension(by)):
        rows[one.key] = [one.label, one.pnl, one.unknown]
    for key, label, amount, left_out in _today(shown, by, today):
        row = rows.setdefault(key, [label, ZERO, 0])
        row[1], row[2] = row[1] + amount, row[2] + left_out
    listed = [
        {"key": key, "label": label, "pnl": amount, "left_out": left_out}
        for key, (label, amount, left_out) in rows.items()
    ]
    ordered = sorted(listed, key=lambda one: one["key"] if by == "day" else -abs(one["pnl"]))
    return {
        "as_of": found.at, "environment": asked.environment, "period": period, "by": by,
        "since": desk.day_start(first), "pnl": sum((one["pnl"] for one in listed), ZERO),
        "left_out": sum(one["left_out"] for one in listed), "rows": ordered,
    }  # fmt: skip


def _closed(accounts: Sequence[int], first: date, today: date, by: Dimension) -> Sequence[AttributionRow]:
    if first >= today:
        return ()
    return reads.attribution(accounts=accounts, first=first, last=today - desk.DAY, by=by).rows


def _today(shown: Sequence[dict[str, Any]], by: str, today: date) -> list[tuple[str, str, Decimal, int]]:
    """Return today's part: (key, label, P&L, how many are not known)."""
    if not shown:
        return []
    (one,) = shown
    whole = one["periods"]["today"]
    if by == "day":
        return [(today.isoformat(), today.isoformat(), Decimal(whole["value"] or 0), whole["left_out"])]
    if by == "position":
        return [("", reads.CASH, Decimal(whole["value"] or 0), whole["left_out"])]
    rows = one[{"account": "by_account", "venue": "by_venue"}.get(by, f"by_{by}")]
    empty = reads.UNTAGGED if by == "strategy" else reads.CASH
    return [
        (
            str(row["account_id"]) if by == "account" else row["key"],
            row["key"] or empty,
            Decimal(row["pnl_today"]["value"] or 0),
            row["pnl_today"]["left_out"],
        )
        for row in rows
    ]


@router.get("/portfolio/attribution", response=Attribution, summary="Why equity changed")
def attribution(request: HttpRequest, asked: Query[DayRange], by: By = "day") -> dict[str, Any]:
    """price + funding + interest + fees + flows + conversion + corrections + unexplained = Δequity.

    From the start of the first day to the end of the last; an account that joins in between is a flow.
    """
    chosen_range = Range(request, asked, now=timezone.now())
    found = reads.attribution(
        accounts=chosen_range.accounts, first=chosen_range.first, last=chosen_range.last, by=Dimension(by)
    )
    query = chosen_range.query | {"by": by}
    if asked.account is not None:
        query["account"] = str(asked.account)
    return {
        "environment": chosen_range.environment, "by": by, "since": found.first, "until": found.last,
        "as_of": found.as_of, "start_equity": found.start, "end_equity": found.end, "change": _change(found),
        "total": _cell(found.total, query), "closes": found.closes, "unclosed_days": found.unclosed_days,
        "unknown_days": found.unknown_days, "cells": [_cell(row, query) for row in found.rows],
    }  # fmt: skip


def _change(found: AttributionReport) -> Decimal | None:
    return None if found.start is None or found.end is None else found.end - found.start


def _cell(row: AttributionRow, query: dict[str, str]) -> dict[str, Any]:
    url = f"/api/v1/portfolio/attribution/entries?{urlencode(query | {'key': row.key})}"
    return {
        "key": row.key, "label": row.label, "total": row.total, "pnl": row.pnl, "unknown": row.unknown,
        "entries": row.entries, "entries_url": url, **row.by_component,
    }  # fmt: skip


@router.get("/portfolio/attribution/entries", response=BehindEntryPage, summary="The entries behind a cell")
def entries_behind(
    request: HttpRequest,
    asked: Query[DayRange],
    key: Annotated[Text, Field(description="As the cell has it.")] = "",
    by: By = "day",
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """The facts of a cell's days and key, the newest first."""
    chosen_range = Range(request, asked, now=timezone.now())
    try:
        rows = reads.entries_behind(
            accounts=chosen_range.accounts, first=chosen_range.first, last=chosen_range.last,
            by=Dimension(by), key=key,
        )  # fmt: skip
    except ValueError as error:
        raise Problem(422, "bad_key", f"{key!r} is no {by}.") from error
    items, following = paging.page(rows, order=("-at", "-id"), cursor=cursor, limit=limit)
    return {"items": [_entry(one) for one in items], "next_cursor": following}


def _entry(one: Entry) -> dict[str, Any]:
    return {
        "id": one.pk, "account_id": one.account_id, "account": one.account.label, "venue_ref": one.venue_ref,
        "kind": one.kind, "cause": one.cause, "symbol": one.instrument.symbol if one.instrument else None,
        "at": one.at, "quantity": one.quantity, "price": one.price, "fee": one.fee,
        "fee_currency": one.fee_currency, "amount": one.amount, "currency": one.currency,
    }  # fmt: skip


@router.get("/portfolio/returns", response=Returns, summary="What a range earned")
def returns(request: HttpRequest, asked: Query[DayRange]) -> dict[str, Any]:
    """Money first, then rates with the reason where there is none. Nothing under a year is annualised."""
    now = timezone.now()
    chosen_range = Range(request, asked, now=now)
    found = returns_reads.returns(
        accounts=chosen_range.accounts, first=chosen_range.first, last=chosen_range.last, now=now
    )
    earned = found.performance
    return {
        "environment": chosen_range.environment, "since": found.first, "until": found.last,
        "start": earned.start.at, "end": earned.end.at, "start_equity": earned.start.equity,
        "end_equity": earned.end.equity, "flows": earned.flows, "gain": earned.gain,
        "average_capital": earned.average_capital, "time_weighted": _rate(earned.time_weighted),
        "money_weighted": _rate(earned.money_weighted), "sharpe": found.sharpe, "sortino": found.sortino,
        "is_annualised": found.is_annualised, "hours": found.hours, "hours_missing": found.hours_missing,
        "drawdowns": [_drawdown(one, chosen_range.accounts) for one in found.drawdowns],
        "flow_list": [one._asdict() for one in found.flows], "own_transfers": len(found.own),
        "index": [{"at": one.at, "value": one.value} for one in _thinned(found.curve)],
    }  # fmt: skip


def _rate(rate: Rate) -> dict[str, Any]:
    why = f"n/a because {rate.why}" if rate.value is None else ""
    return {"value": rate.value, "why": why, "annualised": rate.annualised}


def _drawdown(one: Drawdown, accounts: Sequence[int]) -> dict[str, Any]:
    found = reads.attribution(
        accounts=accounts,
        first=desk.day_of(one.start),
        last=desk.day_of(one.trough),
        by=Dimension.POSITION,
    )
    worst = sorted((row for row in found.rows if row.pnl < 0), key=lambda row: row.pnl)[:MADE_BY]
    made = [{"position": row.key, "label": row.label, "pnl": row.pnl} for row in worst]
    return one._asdict() | {"made_by": made}


def _thinned(curve: Sequence[IndexPoint]) -> Sequence[IndexPoint]:
    """Return at most MOST_POINTS, evenly, the last one included."""
    step = -(-len(curve) // MOST_POINTS)
    return curve if step <= 1 else [*curve[:-1:step], curve[-1]]


@router.get("/portfolio/witness", response=WitnessPage, summary="What venues say that accounts were worth")
def witness(
    request: HttpRequest, asked: Query[DayRange], cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """The venue's own history of each day, beside ours, the newest first; `beyond` is more than tolerated."""
    chosen_range = Range(request, asked, now=timezone.now())
    rows = VenueDay.objects.filter(
        account__in=chosen_range.accounts, day__gte=chosen_range.first, day__lte=chosen_range.last
    ).select_related("account")
    items, following = paging.page(rows, order=("-day", "-id"), cursor=cursor, limit=limit)
    return {
        "items": [
            {
                "account_id": one.account_id, "account": one.account.label, "day": one.day, "at": one.at,
                "covers": one.covers, "venue_value": one.venue_value, "ours": one.ours,
                "difference": one.difference, "tolerance": one.tolerance, "beyond": one.beyond,
            }
            for one in items
        ],
        "next_cursor": following,
    }  # fmt: skip
