"""The portfolio over HTTP: what it adds up to, and the exposure and limits in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from core.api.auth import needs, principal_of
from core.http.inputs import shortened
from core.http.problems import Problem
from core.security.scopes import Scope
from portfolio import pipeline
from portfolio.api.schemas_portfolio import (
    EXAMPLE_LIMITS,
    Exposure,
    Limits,
    Portfolio,
    StrategyIn,
    Tagged,
)
from portfolio.pnl.strategies import UnknownEntries, tag_entries
from portfolio.totals import desk
from portfolio.totals.portfolio_view import Facts, portfolio_view
from portfolio.totals.totals_store import PortfolioTotals
from positions.models import Account, Environment

router = Router(tags=["portfolio"], auth=needs(Scope.READ))


def example(answer: Any) -> dict[str, Any]:
    """Return what shows an answer in the API's description."""
    return {"responses": {200: {"content": {"application/json": {"example": answer}}}}}


def totals(request: HttpRequest, *, now: datetime) -> tuple[PortfolioTotals, bool]:
    """Return the newest totals over what the caller may see, and whether they are the refresh's."""
    accounts = principal_of(request).accounts
    found, refreshed = pipeline.current(now=now)
    return found.seen_by(accounts), refreshed


def chosen(found: list[Facts], environment: Environment | None) -> Facts:
    """Return the portfolio of an environment; without one the first that holds something, live first.

    Raises Problem (404) for one without accounts that the caller may see.
    """
    if environment is None:
        held = [one for one in found if one["positions"]] or found
        if held:
            return held[0]
        raise Problem(404, "no_accounts", "There is no account that you may see.")
    for one in found:
        if one["environment"] == environment:
            return one
    raise Problem(404, "no_accounts", f"There is no {environment} account that you may see.")


@router.get("/portfolio", response=Portfolio, summary="What everything adds up to")
def portfolio(request: HttpRequest, environment: Environment | None = None) -> dict[str, Any]:
    """Totals by environment over the accounts that the caller may see, with their quality.

    The same stored figures as page and stream show. Without accounts: no environments, and 200.
    """
    now = timezone.now()
    found, refreshed = totals(request, now=now)
    shown = portfolio_view(found, now=now)
    if environment is not None:
        shown = [one for one in shown if one["environment"] == environment]
    return {
        "as_of": found.at,
        "refreshed": refreshed,
        "day_started_at": desk.day_start(desk.day_of(now)),
        "environments": shown,
    }


@router.put(
    "/portfolio/strategies",
    response=Tagged,
    auth=needs(Scope.CORRECT),
    summary="Say to which strategy entries belong",
)
def tag(request: HttpRequest, body: StrategyIn) -> dict[str, Any]:
    """Attach a strategy to entries, and count their days anew: P&L by strategy still adds up to the cent.

    A position as a whole is tagged by its own `strategy`; this is for entries that belong to another one.
    """
    who = principal_of(request)
    account = Account.objects.filter(pk=body.account).first()
    if account is None or not who.may_see(account.pk):
        raise Problem(404, "account_not_found", f"There is no account {body.account}.")
    try:
        tagged = tag_entries(
            account=account, refs=set(body.venue_refs), strategy=body.strategy.strip(), who=who.name,
            now=timezone.now(),
        )  # fmt: skip
    except UnknownEntries as error:
        raise Problem(404, "entry_not_found", f"The account has no entry {shortened(str(error))}.") from error
    return {"tagged": tagged}


@router.get("/portfolio/exposure", response=Exposure, summary="Exposure by underlying")
def exposure(request: HttpRequest, environment: Environment | None = None) -> dict[str, Any]:
    """Spot, perpetuals and inverse contracts of one underlying, netted by their ratios (kPEPE is 1000 PEPE).

    Without an environment: the first that holds something, live first.
    """
    now = timezone.now()
    found, _ = totals(request, now=now)
    one = chosen(portfolio_view(found, now=now), environment)
    return {
        "as_of": found.at,
        "environment": one["environment"],
        "gross_exposure": one["gross_exposure"],
        "net_exposure": one["net_exposure"],
        "assets": [row for row in one["by_asset"] if row["positions"]],
    }


@router.get(
    "/portfolio/limits",
    response=Limits,
    summary="Where each limit stands",
    openapi_extra=example(EXAMPLE_LIMITS),
)
def limits(request: HttpRequest, environment: Environment | None = None) -> dict[str, Any]:
    """Limits with what is left of them, the worst first.

    A key that sees some accounts only sees the limits of those: what all hold together is not its business.
    """
    found, _ = totals(request, now=timezone.now())
    standing = [one for one in found.limits if environment in (None, one["environment"])]
    return {
        "as_of": found.at,
        "limit_exceeded": any(one["exceeded"] for one in standing),
        "limits": standing,
    }
