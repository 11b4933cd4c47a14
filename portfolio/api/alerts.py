"""Alerts over HTTP: the list, one with its history, acknowledge, mute. Never what the caller may not see."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from core.api import idempotency, paging
from core.api.auth import needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyText
from core.http.inputs import Cursor, Id, Limit, Text
from core.http.problems import Problem
from core.security.scopes import Scope
from portfolio.alerts import queries, store
from portfolio.api.schemas_alerts import (
    AlertDetail,
    AlertPage,
    MuteIn,
    MuteOut,
    MutePage,
)
from portfolio.models import Alert, AlertKind, AlertState, Mute, Severity

router = Router(tags=["alerts"], auth=needs(Scope.READ))
LONGEST_MUTE = timedelta(days=90)


def _alert(request: HttpRequest, pk: int) -> Alert:
    row = queries.seen(accounts=principal_of(request).accounts).filter(pk=pk).first()
    if row is None:
        raise Problem(404, "alert_not_found", f"There is no alert {pk}.")
    return row


def _detail(request: HttpRequest, pk: int) -> dict[str, Any]:
    row = _alert(request, pk)
    return dict(queries.plain(row, told=queries.transitions([row.pk]).get(row.pk, [])))


@router.get("/alerts", response=AlertPage, summary="Alerts, the newest first")
def alert_list(
    request: HttpRequest,
    state: AlertState | Literal["open"] | None = None,
    kind: AlertKind | None = None,
    severity: Severity | None = None,
    account: Id | None = None,
    subject: Text | None = None,
    cursor: Cursor | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """`state` open: raised or acknowledged. One without an account concerns the product, or all accounts."""
    rows = queries.matching(
        queries.seen(accounts=principal_of(request).accounts),
        state=state,
        kind=kind,
        severity=severity,
        account=account,
        subject=subject,
    )
    items, following = paging.page(rows, order=("-id",), cursor=cursor, limit=limit)
    return {"items": [queries.plain(row) for row in items], "next_cursor": following}


@router.get("/alerts/mutes", response=MutePage, summary="What nobody is told of, until when and why")
def mute_list(request: HttpRequest) -> dict[str, Any]:
    rows = queries.mutes(accounts=principal_of(request).accounts, now=timezone.now())
    return {"items": [_mute(row) for row in rows[:500]]}


@router.post(
    "/alerts/mutes/{int:pk}/end", auth=needs(Scope.CORRECT), response=MuteOut, summary="End a mute early"
)
def end_mute(request: HttpRequest, pk: Id) -> dict[str, Any]:
    principal, now = principal_of(request), timezone.now()
    row = queries.mutes(accounts=principal.accounts, now=now).filter(pk=pk).first()
    if row is None:
        raise Problem(404, "mute_not_found", f"There is no mute {pk} that lasts.")
    store.unmute(mute=row, who=principal.name, now=now)
    return _mute(row)


@router.get("/alerts/{int:pk}", response=AlertDetail, summary="An alert with all that people were told")
def alert_detail(request: HttpRequest, pk: Id) -> dict[str, Any]:
    return _detail(request, pk)


@router.post(
    "/alerts/{int:pk}/acknowledge",
    auth=needs(Scope.CORRECT),
    response=AlertDetail,
    summary="I have seen it",
)
def acknowledge(request: HttpRequest, pk: Id) -> dict[str, Any]:
    """It stays open until it is over; it is no longer repeated and goes to nobody else. Twice is once."""
    _alert(request, pk)
    try:
        store.acknowledge(alert=pk, who=principal_of(request).name, now=timezone.now())
    except store.NotOpen as error:
        raise Problem(409, "alert_not_open", "This alert is over already.") from error
    return _detail(request, pk)


@router.post(
    "/alerts/{int:pk}/mute", auth=needs(Scope.CORRECT), response=MuteOut, summary="Tell nobody of it"
)
def mute(
    request: HttpRequest, pk: Id, body: MuteIn, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    """Tell nobody of this subject until a time. It is raised, cleared and shown as ever."""
    row, now = _alert(request, pk), timezone.now()
    check_end(body.until, now=now)

    def act() -> dict[str, Any]:
        made = store.mute(
            kind=row.kind,
            subject="" if body.whole_kind else row.subject,
            account=row.account,
            reason=body.reason,
            until=body.until,
            who=principal_of(request).name,
            now=now,
        )
        return _mute(made)

    return idempotency.once(request, area="alerts", key=idempotency_key, body=body, act=act)


def check_end(until: datetime, *, now: datetime) -> None:
    """Raise Problem (422) for a mute that is over already, or that would last for ever."""
    if until <= now:
        raise Problem(422, "mute_over", "A mute ends in the future.")
    if until - now > LONGEST_MUTE:
        raise Problem(422, "mute_too_long", f"A mute lasts at most {LONGEST_MUTE.days} days.")


def _mute(row: Mute) -> dict[str, Any]:
    names = ("id", "kind", "subject", "account_id", "reason", "who")
    times = {"created_at": row.created_at.isoformat(), "until": row.until.isoformat()}
    return {name: getattr(row, name) for name in names} | times
