"""Cases over HTTP: the list, one case, its actions (preview, apply, take back), and policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import BaseModel

from core.api import paging
from core.api.auth import needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyText
from core.http.inputs import Cursor, Id, Limit, Text
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from core.tracing.trace import current_trace_id
from positions import ingest
from reconciliation import actions
from reconciliation.api import serializers
from reconciliation.api.requests import account, once, seen
from reconciliation.api.schemas import (
    ActIn,
    AssignIn,
    CasePage,
    CommentIn,
    Policies,
    PolicyIn,
    Preview,
    PreviewIn,
    Reason,
)
from reconciliation.api.schemas import Case as CaseOut
from reconciliation.api.schemas import Correction as CorrectionOut
from reconciliation.api.schemas import Policy as PolicyOut
from reconciliation.cases import cases, resolve
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import plan
from reconciliation.models import Case, CaseState, Correction, Policy
from reconciliation.rules.compare import Family

router = Router(tags=["reconciliation"], auth=needs(Scope.READ))
_CONFLICTS = frozenset({"settled", "changed", "reversed", "run_under_way"})


def _case(request: HttpRequest, pk: Id) -> Case:
    row = Case.objects.filter(pk=pk).select_related("account", "instrument").first()
    if row is None or not principal_of(request).may_see(row.account_id):
        raise Problem(404, "case_not_found", f"There is no case {pk}.")
    return row


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the domain refuses into problems with its code."""
    try:
        yield
    except PlanRefusal as error:
        raise Problem(409 if error.code in _CONFLICTS else 422, error.code, str(error)) from error
    except cases.IllegalMove as error:
        raise Problem(409, "illegal_move", str(error)) from error
    except ingest.BatchRejection as error:
        raise Problem(422, "rejected", str(error)) from error


def _on_case(
    request: HttpRequest, pk: Id, key: str | None, body: BaseModel | None, act: Callable[[Case, str], None]
) -> dict[str, Any]:
    """Act on a case once, in the caller's name, and return the case as it is afterwards."""
    row, who = _case(request, pk), principal_of(request).name

    def done() -> dict[str, Any]:
        with _refusals():
            act(row, who)
        return serializers.case(row, whole=True)

    return once(request, key, body, done)


@router.get("/reconciliation/cases", response=CasePage, summary="Cases, the newest first")
def case_list(
    request: HttpRequest,
    account: Id | None = None,
    state: CaseState | None = None,
    open: bool | None = None,
    family: Family | None = None,
    assignee: Text | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """`open` true: cases that are open or acknowledged; `assignee` empty: cases that nobody has."""
    wanted = {"state": state, "family": family, "assignee": assignee}
    rows = Case.objects.filter(account__in=seen(request, account)).filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    rows = rows if open is None else rows.filter(closed_at__isnull=open)
    items, following = paging.page(
        rows.select_related("account", "instrument"), order=("-id",), cursor=cursor, limit=limit
    )
    return {"items": [serializers.case(row) for row in items], "next_cursor": following}


@router.get("/reconciliation/cases/{int:pk}", response=CaseOut, summary="A case with its history")
def case_detail(request: HttpRequest, pk: Id) -> dict[str, Any]:
    return serializers.case(_case(request, pk), whole=True)


@router.post(
    "/reconciliation/cases/{int:pk}/preview",
    auth=needs(Scope.CORRECT),
    response=Preview,
    summary="What an action would change",
)
def preview(request: HttpRequest, pk: Id, body: PreviewIn) -> dict[str, Any]:
    """Return what the action would change; nothing is written. `apply` takes the preview's `token`."""
    row = _case(request, pk)
    with _refusals(), slot(kind=Kind.VENUE, who=principal_of(request).name, account=row.account_id):
        return plan(case=row, action=body.action, price=body.price).to_plain()


@router.post(
    "/reconciliation/cases/{int:pk}/apply",
    auth=needs(Scope.CORRECT),
    response=CorrectionOut,
    summary="Do what was previewed",
)
def apply(
    request: HttpRequest, pk: Id, body: ActIn, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    """Book the preview, read the venue again, and return the `outcome`: agrees, differs or unknown."""
    row, who = _case(request, pk), principal_of(request).name

    def act() -> dict[str, Any]:
        with _refusals(), slot(kind=Kind.VENUE, who=who, account=row.account_id):
            done = actions.act(
                case=row,
                action=body.action,
                who=who,
                reason=body.reason,
                now=timezone.now(),
                trace_id=current_trace_id(),
                token=body.token,
                price=body.price,
            )
        return serializers.correction(done)

    return once(request, idempotency_key, body, act)


@router.post(
    "/reconciliation/corrections/{int:pk}/undo",
    auth=needs(Scope.CORRECT),
    response=CorrectionOut,
    summary="Take a correction back",
)
def undo(
    request: HttpRequest, pk: Id, body: Reason, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    """Reverse the entries that the correction booked: the book is as it was before."""
    row = Correction.objects.filter(pk=pk).select_related("case__account").first()
    who = principal_of(request).name
    if row is None or not principal_of(request).may_see(row.case.account_id):
        raise Problem(404, "correction_not_found", f"There is no correction {pk}.")

    def act() -> dict[str, Any]:
        with _refusals(), slot(kind=Kind.VENUE, who=who, account=row.case.account_id):
            actions.undo(
                correction=row, who=who, reason=body.reason, now=timezone.now(), trace_id=current_trace_id()
            )
        return serializers.correction(row)

    return once(request, idempotency_key, body, act)


@router.post(
    "/reconciliation/cases/{int:pk}/dismiss",
    auth=needs(Scope.CORRECT),
    response=CaseOut,
    summary="Close a case without booking anything",
)
def dismiss(
    request: HttpRequest, pk: Id, body: Reason, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    """Close the case; the same difference opens no other one, and the verdict keeps showing it."""

    def act(row: Case, who: str) -> None:
        now, trace_id = timezone.now(), current_trace_id()
        actions.act(case=row, action="dismiss", who=who, reason=body.reason, now=now, trace_id=trace_id)

    return _on_case(request, pk, idempotency_key, body, act)


@router.post(
    "/reconciliation/cases/{int:pk}/acknowledge",
    auth=needs(Scope.CORRECT),
    response=CaseOut,
    summary="I look at it",
)
def acknowledge(
    request: HttpRequest, pk: Id, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    def act(row: Case, who: str) -> None:
        cases.move(case=row, to=CaseState.ACKNOWLEDGED, who=who, now=timezone.now())

    return _on_case(request, pk, idempotency_key, None, act)


@router.post(
    "/reconciliation/cases/{int:pk}/comment",
    auth=needs(Scope.CORRECT),
    response=CaseOut,
    summary="Say something about a case",
)
def comment(
    request: HttpRequest, pk: Id, body: CommentIn, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    def act(row: Case, who: str) -> None:
        cases.note(case=row, kind="comment", who=who, now=timezone.now(), text=body.text)

    return _on_case(request, pk, idempotency_key, body, act)


@router.post(
    "/reconciliation/cases/{int:pk}/assign",
    auth=needs(Scope.CORRECT),
    response=CaseOut,
    summary="Give a case to somebody",
)
def assign(
    request: HttpRequest, pk: Id, body: AssignIn, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    def act(row: Case, who: str) -> None:
        cases.assign(case=row, assignee=body.text, who=who, now=timezone.now())

    return _on_case(request, pk, idempotency_key, body, act)


# Policies ---------------------------------------------------------------------------------------------------


@router.get("/reconciliation/policies", response=Policies, summary="What may be done by itself")
def policies(request: HttpRequest) -> dict[str, Any]:
    """A family without a policy is alert only. `halted_at`: too many corrections were due within an hour."""
    rows = Policy.objects.order_by("pk")
    allowed = seen(request)
    return {"policies": [_policy(row) for row in rows if row.account_id in allowed | {None}]}


@router.put(
    "/reconciliation/policies",
    auth=needs(Scope.ADMIN),
    response=PolicyOut,
    summary="Say what may be done by itself",
)
def set_policy(request: HttpRequest, body: PolicyIn) -> dict[str, Any]:
    """Set a policy; setting it again ends a halt."""
    own = account(request, body.account) if body.account is not None else None
    if own is None and principal_of(request).accounts is not None:
        raise Problem(403, "not_all_accounts", "A policy for all accounts needs a key that sees all of them.")
    row = resolve.set_policy(
        account=own,
        family=body.family,
        mode=body.mode,
        materiality_usd=body.materiality_usd,
        who=principal_of(request).name,
        now=timezone.now(),
    )
    return _policy(row)


def _policy(row: Policy) -> dict[str, Any]:
    return {
        "id": row.pk,
        "account_id": row.account_id,
        "family": row.family,
        "mode": row.mode,
        "materiality_usd": row.materiality_usd,
        "halted_at": row.halted_at,
    }
