"""What reconciliation's operations share: who calls, what they may see, and requests done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja.params.functions import Header
from pydantic import BaseModel

from core.auth import Principal
from core.idempotency import BadKey, KeyReused
from core.problems import Problem
from core.scopes import Scope
from positions.models import Account
from reconciliation.api import replays

IdempotencyKey = Header(
    None, alias="Idempotency-Key", description="The same request under the same key is done once."
)


def principal_of(request: HttpRequest) -> Principal:
    """Return who calls."""
    found: Principal = request.auth  # type: ignore[attr-defined]
    return found


def accounts(request: HttpRequest) -> list[Account]:
    """Return the accounts at venues that the caller may see, switched on."""
    rows = Account.objects.filter(enabled=True).exclude(venue="manual").order_by("label")
    return [row for row in rows if principal_of(request).may_see(row.pk)]


def account(request: HttpRequest, pk: int) -> Account:
    """Return one of them. Raises Problem 404."""
    found = next((row for row in accounts(request) if row.pk == pk), None)
    if found is None:
        raise Problem(404, "account_not_found", f"There is no account {pk} at a venue.")
    return found


def seen(request: HttpRequest, pk: int | None = None) -> set[int]:
    """Return the ids of the accounts that may be seen, or of the one asked for if it may."""
    return {row.pk for row in accounts(request) if pk is None or row.pk == pk}


def require(request: HttpRequest, scope: Scope) -> None:
    """Raise Problem 403 for a caller without the scope."""
    principal = principal_of(request)
    if scope not in principal.scopes:
        raise Problem(
            403, "missing_scope", f"This needs the scope '{scope}', which {principal.name} has not."
        )


def once(
    request: HttpRequest, key: str | None, body: BaseModel | None, act: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Do what is asked; the same request under the same Idempotency-Key is answered as before."""
    asked = [request.method, request.path, None if body is None else body.model_dump(mode="json")]
    try:
        return replays.once(who=principal_of(request).name, key=key, request=asked, act=act)
    except BadKey as error:
        raise Problem(400, "bad_idempotency_key", str(error)) from error
    except KeyReused as error:
        raise Problem(422, "idempotency_key_reused", str(error)) from error
    except replays.UnderWay as error:
        raise Problem(409, "under_way", f"{error}.") from error
