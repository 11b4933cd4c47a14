"""The totals of the environment that a page shows, for its first paint; the stream keeps them going."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest

from portfolio import pipeline, rollup
from portfolio.live import rows
from portfolio.totals import account_summaries
from portfolio.totals.totals_store import PortfolioTotals


def of_request(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return the totals of the environment that the request chooses, without reading the book.

    `as_of` is the time they were made, `refreshed` False where the page had to add them up itself.
    """
    totals, refreshed = pipeline.current(now=now)
    sums = totals.by_environment()
    shown = sums.get(chosen_environment(request, sums)) or rollup.nothing()
    return shown | {"as_of": totals.at, "refreshed": refreshed}


def of_environment(environment: str, totals: PortfolioTotals, *, refreshed: bool) -> dict[str, Any]:
    """Return the totals of one environment, for a page that chooses it by a rule of its own."""
    shown = totals.by_environment().get(environment) or rollup.nothing()
    return shown | {"as_of": totals.at, "refreshed": refreshed}


def by_environment(found: list[rows.Row], *, now: datetime) -> dict[str, dict[str, Any]]:
    """Return {environment: totals} of these rows and of all accounts in use: those that the table shows."""
    accounts = account_summaries.of_accounts(now=now)
    return rollup.totals(rows=found, environments=rows.environments(), accounts=accounts)


def chosen_environment(request: HttpRequest, sums: dict[str, dict[str, Any]]) -> str:
    """Return that of `?environment=` if it exists, else the first that has positions, else the first."""
    wanted = request.GET.get("environment", "")
    if wanted in sums:
        return wanted
    held = (name for name, total in sums.items() if total["positions"])
    return next(held, next(iter(sums), ""))
