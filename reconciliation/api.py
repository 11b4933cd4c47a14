"""Reconciliation over HTTP: how accounts stand, runs and their certificates, cases and their actions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from core.auth import Principal, needs
from core.problems import Problem
from core.scopes import Scope
from core.trace import current_trace_id
from positions import ingest
from positions.models import Account
from reconciliation import actions, cases, resolve, runs, tasks, told
from reconciliation.models import Case, CaseState, Correction, Difference, Run
from reconciliation.plans import Refused, plan
from reconciliation.schemas import ActIn, CommentIn, PreviewIn, Reason, SyncIn

router = Router(tags=["reconciliation"], auth=needs(Scope.READ))
SHOWN = 200
_CONFLICTS = frozenset({"settled", "changed", "reversed"})


def _principal(request: HttpRequest) -> Principal:
    found: Principal = request.auth  # type: ignore[attr-defined]
    return found


def _accounts(request: HttpRequest) -> list[Account]:
    principal = _principal(request)
    rows = Account.objects.filter(enabled=True).exclude(venue="manual").order_by("label")
    return [row for row in rows if principal.may_see(row.pk)]


def _case(request: HttpRequest, pk: int) -> Case:
    row = Case.objects.filter(pk=pk).select_related("account", "instrument").first()
    if row is None or not _principal(request).may_see(row.account_id):
        raise Problem(404, "case_not_found", f"There is no case {pk}.")
    return row


def _refused(error: Refused) -> Problem:
    return Problem(409 if error.code in _CONFLICTS else 422, error.code, str(error))


@router.get("/reconciliation/status", summary="How each account stands")
def status(request: HttpRequest) -> dict[str, Any]:
    return {"accounts": told.status(accounts=_accounts(request), now=timezone.now())}


@router.post(
    "/reconciliation/sync",
    auth=needs(Scope.RECONCILE),
    response={202: dict},
    summary="Compare accounts with their venues now",
)
def sync(request: HttpRequest, body: SyncIn) -> tuple[int, dict[str, Any]]:
    wanted = _accounts(request)
    if body.accounts is not None:
        known = {row.pk for row in wanted}
        if unknown := set(body.accounts) - known:
            raise Problem(404, "account_not_found", f"There is no account {min(unknown)}.")
        wanted = [row for row in wanted if row.pk in body.accounts]
    return 202, {"runs": [tasks.begin_now(account=row, trace_id=current_trace_id()) for row in wanted]}


@router.get("/reconciliation/last", summary="The newest run of each account")
def last(request: HttpRequest) -> dict[str, Any]:
    rows = [
        Run.objects.filter(account=one).order_by("-started_at", "-pk").first() for one in _accounts(request)
    ]
    return {"runs": [told.run(row) for row in rows if row is not None]}


@router.get("/reconciliation/runs/{pk}", summary="A run's certificate, or how far it is")
def certificate(request: HttpRequest, pk: int) -> dict[str, Any]:
    row = Run.objects.filter(pk=pk).first()
    if row is None or not _principal(request).may_see(row.account_id):
        raise Problem(404, "run_not_found", f"There is no run {pk}.")
    return told.run(row)


@router.get("/reconciliation/drift-history", summary="Differences, the newest first")
def drift_history(request: HttpRequest, account: int | None = None) -> dict[str, Any]:
    seen = {row.pk for row in _accounts(request)}
    rows = Difference.objects.filter(account__in=seen if account is None else seen & {account})
    return {"differences": [told.difference(row) for row in rows.select_related("instrument")[:SHOWN]]}


@router.get("/reconciliation/statistics", summary="Runs, differences, times to detect and to resolve")
def statistics(request: HttpRequest) -> dict[str, Any]:
    return {"accounts": [told.statistics(row) for row in _accounts(request)]}


@router.get("/reconciliation/cases", summary="Cases, the newest first")
def case_list(request: HttpRequest, state: str | None = None) -> dict[str, Any]:
    rows = Case.objects.filter(account__in=[row.pk for row in _accounts(request)])
    rows = rows.filter(state=state) if state else rows
    return {"cases": [told.case(row) for row in rows.select_related("instrument")[:SHOWN]]}


@router.get("/reconciliation/cases/{pk}", summary="A case with its history")
def case_detail(request: HttpRequest, pk: int) -> dict[str, Any]:
    return told.case(_case(request, pk), whole=True)


@router.post(
    "/reconciliation/cases/{pk}/preview", auth=needs(Scope.CORRECT), summary="What an action would change"
)
def preview(request: HttpRequest, pk: int, body: PreviewIn) -> dict[str, Any]:
    try:
        return plan(case=_case(request, pk), action=body.action, price=body.price).told()
    except Refused as error:
        raise _refused(error) from error


@router.post("/reconciliation/cases/{pk}/apply", auth=needs(Scope.CORRECT), summary="Do what was previewed")
def apply(request: HttpRequest, pk: int, body: ActIn) -> dict[str, Any]:
    try:
        done = actions.act(
            case=_case(request, pk),
            action=body.action,
            who=_principal(request).name,
            reason=body.reason,
            now=timezone.now(),
            trace_id=current_trace_id(),
            token=body.token,
            price=body.price,
        )
    except Refused as error:
        raise _refused(error) from error
    except runs.Busy as error:
        raise Problem(409, "run_under_way", f"{error}; the correction is booked.") from error
    except ingest.Rejected as error:
        raise Problem(422, "rejected", str(error)) from error
    return told.correction(done)


@router.post("/reconciliation/corrections/{pk}/undo", auth=needs(Scope.CORRECT), summary="Take it back")
def undo(request: HttpRequest, pk: int, body: Reason) -> dict[str, Any]:
    row = Correction.objects.filter(pk=pk).select_related("case__account").first()
    if row is None or not _principal(request).may_see(row.case.account_id):
        raise Problem(404, "correction_not_found", f"There is no correction {pk}.")
    try:
        resolve.undo(
            correction=row,
            who=_principal(request).name,
            reason=body.reason,
            now=timezone.now(),
            trace_id=current_trace_id(),
        )
    except Refused as error:
        raise _refused(error) from error
    return told.correction(row)


@router.post("/reconciliation/cases/{pk}/acknowledge", auth=needs(Scope.CORRECT), summary="I look at it")
def acknowledge(request: HttpRequest, pk: int) -> dict[str, Any]:
    row = _case(request, pk)
    try:
        cases.move(case=row, to=CaseState.ACKNOWLEDGED, who=_principal(request).name, now=timezone.now())
    except cases.IllegalMove as error:
        raise Problem(409, "illegal_move", str(error)) from error
    return told.case(row, whole=True)


@router.post("/reconciliation/cases/{pk}/comment", auth=needs(Scope.CORRECT), summary="Say something")
def comment(request: HttpRequest, pk: int, body: CommentIn) -> dict[str, Any]:
    row = _case(request, pk)
    who = _principal(request).name
    cases.note(case=row, kind="comment", who=who, now=timezone.now(), text=body.text)
    return told.case(row, whole=True)


@router.post("/reconciliation/cases/{pk}/assign", auth=needs(Scope.CORRECT), summary="Give it to somebody")
def assign(request: HttpRequest, pk: int, body: CommentIn) -> dict[str, Any]:
    row = _case(request, pk)
    cases.assign(case=row, assignee=body.text, who=_principal(request).name, now=timezone.now())
    return told.case(row, whole=True)
