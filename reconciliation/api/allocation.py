"""Allocation over HTTP: shares of equity by venue, targets, and breaches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status
from pydantic import Field

from core.api import paging
from core.api.auth import needs, principal_of
from core.http.inputs import Cursor, Id, Limit
from core.http.problems import Problem
from core.security.scopes import Scope
from core.values.money import MoneyIn
from positions.models import Environment
from reconciliation.allocation import equity, targets
from reconciliation.api.requests import account, accounts, seen
from reconciliation.api.schemas_allocation import Allocation, BreachPage, Target, TargetIn
from reconciliation.models import AllocationBreach, AllocationTarget
from reconciliation.rules.allocation import BadTarget, combined

router = Router(tags=["allocation"], auth=needs(Scope.READ))
PortfolioValue = Annotated[MoneyIn | None, Field(gt=0, description="USD that shares are of")]


@router.get(
    "/reconciliation/allocation", response=Allocation, summary="How money is spread over venues and assets"
)
def allocation(
    request: HttpRequest,
    portfolio_value: PortfolioValue = None,
    environment: Environment | None = None,
) -> dict[str, Any]:
    """Shares of equity (ours, at the last marks) against their targets, of the accounts the caller may see.

    An equity that is not known is named in `unknown`, and makes `total` and the shares null unless a
    `portfolio_value` is given. Without an environment: live, if any account is live, else the first there is.
    """
    now, held = timezone.now(), accounts(request)
    worlds = targets.environments(accounts=held)
    chosen = environment or next(iter(worlds), Environment.LIVE)
    spread = targets.allocation(environment=chosen, accounts=held, now=now, portfolio_value=portfolio_value)
    mine = [one for one in held if one.environment == chosen]
    return {
        "as_of": now,
        "environment": chosen,
        "total": spread.total,
        "total_given": portfolio_value is not None,
        "untargeted": spread.untargeted,
        "slices": [
            asdict(one) | {"account_id": one.account, "breached": one.breached} for one in spread.slices
        ],
        "unknown": [{"account": label, "why": why} for label, why in spread.unknown],
        "assets": [asdict(one) for one in combined(equity.lines(accounts=mine, now=now))],
    }


@router.get("/reconciliation/allocation/targets", response=list[Target], summary="How money is meant to be")
def target_list(request: HttpRequest) -> list[AllocationTarget]:
    """Targets that were set; an environment without one uses the defaults of the settings."""
    allowed = seen(request)
    return [row for row in AllocationTarget.objects.all() if row.account_id in allowed | {None}]


@router.put(
    "/reconciliation/allocation/targets",
    auth=needs(Scope.ADMIN),
    response=Target,
    summary="Set a venue's or an account's target",
)
def set_target(request: HttpRequest, body: TargetIn) -> AllocationTarget:
    own = account(request, body.account) if body.account is not None else None
    if own is None:
        _needs_all_accounts(request)
    try:
        return targets.set_target(
            environment=body.environment,
            venue=body.venue,
            account=own,
            share=body.share,
            tolerance=body.tolerance,
            who=principal_of(request).name,
            now=timezone.now(),
        )
    except BadTarget as error:
        raise Problem(422, "bad_target", f"{error}.") from error


@router.delete(
    "/reconciliation/allocation/targets/{int:pk}",
    auth=needs(Scope.ADMIN),
    response={204: None},
    summary="Mean nothing for it any more",
)
def drop_target(request: HttpRequest, pk: Id) -> Status[None]:
    row = AllocationTarget.objects.filter(pk=pk).first()
    if row is None or row.account_id not in seen(request) | {None}:
        raise Problem(404, "target_not_found", f"There is no target {pk}.")
    if row.account_id is None:
        _needs_all_accounts(request)
    targets.drop_target(target=row, who=principal_of(request).name)
    return Status(204, None)


def _needs_all_accounts(request: HttpRequest) -> None:
    """A venue's target moves what all its accounts are meant to hold. Raises Problem 403."""
    if principal_of(request).accounts is not None:
        raise Problem(403, "not_all_accounts", "A venue's target needs a key that sees all accounts.")


@router.get(
    "/reconciliation/allocation/breaches", response=BreachPage, summary="When it was not, the newest first"
)
def breaches(request: HttpRequest, cursor: Cursor | None = None, limit: Limit = 50) -> dict[str, Any]:
    """Breaches of a venue's target concern all its accounts: only for callers who may see all."""
    rows = AllocationBreach.objects.all()
    if principal_of(request).accounts is not None:
        rows = rows.filter(account__in=seen(request))
    items, following = paging.page(rows, order=("-started_at", "-id"), cursor=cursor, limit=limit)
    return {"items": items, "next_cursor": following}
