"""Accounts over HTTP: pauses of their comparison, and feeds that are read again on demand."""

from __future__ import annotations

from typing import Any

import redis
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from core.api import paging
from core.api.auth import needs, principal_of
from core.api.idempotency import IdempotencyKey, KeyText
from core.http.inputs import Cursor, Id, Limit
from core.http.problems import Problem
from core.security.scopes import Scope
from positions.models import Account
from positions.sync import backfills
from reconciliation.api import serializers
from reconciliation.api.requests import account, once, seen
from reconciliation.api.schemas_accounts import Backfill, BackfillIn, Backfills, PauseIn, PausePage
from reconciliation.api.schemas_accounts import Pause as PauseOut
from reconciliation.models import Pause
from reconciliation.runs import pauses

router = Router(tags=["reconciliation"], auth=needs(Scope.READ))


@router.post(
    "/reconciliation/accounts/{int:pk}/pause",
    auth=needs(Scope.ADMIN),
    response=PauseOut,
    summary="Ask a venue nothing for a while",
)
def pause(
    request: HttpRequest, pk: Id, body: PauseIn, idempotency_key: KeyText | None = IdempotencyKey
) -> dict[str, Any]:
    """Use it for planned maintenance: nothing is read or compared until its end, and proofs grow old."""
    row = account(request, pk)

    def act() -> dict[str, Any]:
        try:
            pauses.pause(
                account=row,
                until=body.until,
                reason=body.reason,
                who=principal_of(request).name,
                now=timezone.now(),
            )
        except pauses.BadPause as error:
            raise Problem(422, "bad_pause", f"{error}.") from error
        return _paused(row)

    return once(request, idempotency_key, body, act)


@router.post(
    "/reconciliation/accounts/{int:pk}/resume",
    auth=needs(Scope.ADMIN),
    response=PauseOut,
    summary="End a pause now",
)
def resume(request: HttpRequest, pk: Id) -> dict[str, Any]:
    row = account(request, pk)
    pauses.resume(account=row, who=principal_of(request).name, now=timezone.now())
    return _paused(row)


@router.get("/reconciliation/pauses", response=PausePage, summary="Who paused which account, when and why")
def pause_list(
    request: HttpRequest, account: Id | None = None, cursor: Cursor | None = None, limit: Limit = 50
) -> dict[str, Any]:
    """Pauses, the newest first. While an account is paused its proofs grow old and no difference is found."""
    rows = Pause.objects.filter(account__in=seen(request, account)).select_related("account")
    items, following = paging.page(rows, order=("-started_at", "-id"), cursor=cursor, limit=limit)
    now = timezone.now()
    return {"items": [serializers.pause(row, now=now) for row in items], "next_cursor": following}


def _paused(row: Account) -> dict[str, Any]:
    until = None if row.paused_until is None else row.paused_until.isoformat()
    return {
        "account_id": row.pk,
        "account": row.label,
        "paused_until": until,
        "pause_reason": row.pause_reason,
    }


@router.post(
    "/reconciliation/accounts/{int:pk}/backfill",
    auth=needs(Scope.RECONCILE),
    response={202: Backfill},
    summary="Read one feed again",
)
def backfill(
    request: HttpRequest, pk: Id, body: BackfillIn, idempotency_key: KeyText | None = IdempotencyKey
) -> Status[dict[str, Any]]:
    """The process that watches or polls the account reads it soon; known facts are not booked again.

    Follow it with GET. One request of a feed waits at a time: another one widens it.
    """
    row = account(request, pk)

    def act() -> dict[str, Any]:
        try:
            asked = backfills.request_backfill(
                account_id=row.pk, feed=body.feed, since=body.since, now=timezone.now()
            )
        except backfills.BackfillRefusal as error:
            raise Problem(422, "cannot_backfill", f"{error}.") from error
        except redis.RedisError as error:
            raise Problem(503, "not_now", "The request could not be kept: try again.") from error
        return _backfill(asked)

    return Status(202, once(request, idempotency_key, body, act))


@router.get(
    "/reconciliation/accounts/{int:pk}/backfill",
    response=Backfills,
    summary="How far feeds that are read again are",
)
def backfill_list(request: HttpRequest, pk: Id) -> dict[str, Any]:
    """Backfills that wait or run, and those that ended within the last day."""
    row = account(request, pk)
    try:
        found = backfills.known(account_id=row.pk, now=timezone.now())
    except redis.RedisError as error:
        raise Problem(503, "not_now", "Progress is not known now: try again.") from error
    return {"backfills": [_backfill(one) for one in found]}


def _backfill(one: backfills.Backfill) -> dict[str, Any]:
    plain = one.plain()
    return plain | {"account_id": plain["account"]}
