"""Reconciliation over HTTP: verdicts, runs and their certificates, history, validation of a position."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from core.api import paging
from core.api.auth import needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyText
from core.http.inputs import Cursor, Id, Limit, Text
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from core.tracing.trace import current_trace_id
from positions.api import positions as ledger_api
from positions.api import queries
from positions.api.schemas import Moment, book_facts
from positions.api.schemas import Position as PositionOut
from positions.models import Account, Position
from reconciliation import statistics, tasks
from reconciliation.api import serializers
from reconciliation.api.accounts import router as accounts_router
from reconciliation.api.allocation import router as allocation_router
from reconciliation.api.cases import router as cases_router
from reconciliation.api.requests import account, accounts, once, require, seen
from reconciliation.api.schemas import (
    DifferencePage,
    Last,
    RunPage,
    StatisticsOut,
    StatusOut,
    SyncIn,
    SyncOut,
)
from reconciliation.api.schemas import Run as RunOut
from reconciliation.api.schemas_accounts import ValidateIn, ValidateOut
from reconciliation.models import DifferenceRow, Run
from reconciliation.runs.validate import validate

router = Router(tags=["reconciliation"], auth=needs(Scope.READ))
router.add_router("", accounts_router)
router.add_router("", cases_router)
router.add_router("", allocation_router)


@router.get("/reconciliation/status", response=StatusOut, summary="Verdicts of each account")
def status(request: HttpRequest) -> dict[str, Any]:
    """Each account's worst verdict, and the verdict, age and evidence of every leg and balance."""
    now = timezone.now()
    return {"as_of": now, "accounts": serializers.status(accounts=accounts(request), now=now)}


@router.post(
    "/reconciliation/sync",
    auth=needs(Scope.RECONCILE),
    response={202: SyncOut},
    summary="Compare accounts with their venues now",
)
def sync(
    request: HttpRequest, body: SyncIn | None = None, idempotency_key: KeyText | None = IdempotencyKey
) -> Status[dict[str, Any]]:
    """Start a run of each account; follow the runs by their ids. A paused account starts none."""
    wanted = accounts(request)
    if body is not None and body.accounts is not None:
        wanted = [account(request, pk) for pk in dict.fromkeys(body.accounts)]
    return Status(
        202, once(request, idempotency_key, body, lambda: {"runs": [_begin(row) for row in wanted]})
    )


def _begin(row: Account) -> dict[str, Any]:
    if row.paused_until is not None and row.paused_until > timezone.now():
        return {
            "account_id": row.pk,
            "run_id": None,
            "started": False,
            "reason": f"paused: {row.pause_reason}",
        }
    begun = tasks.begin_now(account=row, trace_id=current_trace_id())
    return begun | {"reason": "" if begun["started"] else "a run is under way"}


@router.get("/reconciliation/last", response=Last, summary="The newest run of each account")
def last(request: HttpRequest) -> dict[str, Any]:
    rows = Run.objects.filter(account__in=seen(request)).order_by("account_id", "-started_at", "-pk")
    return {"runs": [serializers.run(row) for row in rows.distinct("account_id").select_related("account")]}


@router.get("/reconciliation/runs", response=RunPage, summary="Runs, the newest first")
def run_list(
    request: HttpRequest, account: Id | None = None, cursor: Cursor | None = None, limit: Limit = 50
) -> dict[str, Any]:
    rows = Run.objects.filter(account__in=seen(request, account)).select_related("account")
    items, following = paging.page(rows, order=("-started_at", "-id"), cursor=cursor, limit=limit)
    return {"items": [serializers.run(row) for row in items], "next_cursor": following}


@router.get("/reconciliation/runs/{int:pk}", response=RunOut, summary="A run's certificate, or how far it is")
def certificate(request: HttpRequest, pk: Id) -> dict[str, Any]:
    row = Run.objects.filter(pk=pk).select_related("account").first()
    if row is None or not principal_of(request).may_see(row.account_id):
        raise Problem(404, "run_not_found", f"There is no run {pk}.")
    return serializers.run(row)


@router.get("/reconciliation/drift-history", response=DifferencePage, summary="Differences, the newest first")
def drift_history(
    request: HttpRequest,
    account: Id | None = None,
    kind: Text | None = None,
    confirmed: bool | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Every difference that a report showed, from its first report to its end; a confirmed one is a drift."""
    rows = DifferenceRow.objects.filter(account__in=seen(request, account))
    rows = rows.filter(kind=kind) if kind else rows
    rows = rows if confirmed is None else rows.filter(confirmed_at__isnull=not confirmed)
    items, following = paging.page(
        rows.select_related("account", "instrument"), order=("-id",), cursor=cursor, limit=limit
    )
    return {"items": [serializers.difference(row) for row in items], "next_cursor": following}


@router.get(
    "/reconciliation/statistics",
    response=StatisticsOut,
    summary="Runs, differences, times to detect and to resolve, corrections, false alarms",
)
def statistics_of(
    request: HttpRequest, account: Id | None = None, since: Moment | None = None
) -> dict[str, Any]:
    """Counts by account, of all time or of what began since a time."""
    wanted = [row for row in accounts(request) if account is None or row.pk == account]
    with slot(kind=Kind.PAST, who=principal_of(request).name):
        counted = statistics.of_accounts(accounts=wanted, since=since)
    return {"accounts": [serializers.statistics(one) for one in counted]}


# One position -----------------------------------------------------------------------------------------------


@router.post(
    "/positions/{path:ref}/validate",
    auth=needs(Scope.RECONCILE),
    response=ValidateOut,
    tags=["positions"],
    summary="Hold one position against its venue now",
)
def validate_position(
    request: HttpRequest,
    ref: Text,
    body: ValidateIn | None = None,
    fix_discrepancies: bool = False,
    idempotency_key: KeyText | None = IdempotencyKey,
) -> dict[str, Any]:
    """Read the venue and return the result; a venue that does not answer gives null, never true.

    `fix_discrepancies` (in the body or the query; needs the scope `correct`) applies what policy allows.
    """
    fix = fix_discrepancies or bool(body and body.fix_discrepancies)
    if fix:
        require(request, Scope.CORRECT)
    position = ledger_api.find(request, ref)
    body = ValidateIn(fix_discrepancies=fix)

    def act() -> dict[str, Any]:
        with slot(kind=Kind.VENUE, who=principal_of(request).name, account=position.account_id):
            return _validated(position, fix)

    return once(request, idempotency_key, body, act)


def _validated(position: Position, fix: bool) -> dict[str, Any]:
    found = validate(position=position, fix=fix, now=timezone.now(), trace_id=current_trace_id())
    now = queries.position(ref=str(position.pk), accounts=None)
    facts = PositionOut.model_validate(book_facts(now)).model_dump(mode="json")
    return {
        "is_valid": found.is_valid,
        "error_message": found.error_message,
        "updated_position": facts,
        "run_id": found.run.pk if found.run else None,
        "as_of": found.run.as_of.isoformat() if found.run and found.run.as_of else None,
        "reading": found.reading.grade.value,
        "unproven_methods": list(found.reading.unproven),
        "differences": found.differences,
        "fixed": [serializers.correction(one) for one in found.fixed],
        "left": [{"case_id": one.case.pk if one.case else None, "why": one.why} for one in found.remaining],
    }
