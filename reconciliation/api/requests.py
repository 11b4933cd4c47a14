"""Shared by the operations: the accounts a caller may see, scopes, and requests done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from pydantic import BaseModel

from core.api import idempotency
from core.api.auth import principal_of
from core.http.problems import Problem
from core.security.scopes import Scope
from positions.models import Account
from positions.queries import accounts_in_use


def accounts(request: HttpRequest) -> list[Account]:
    """Return the accounts at venues that the caller may see, switched on."""
    rows = accounts_in_use()
    return [row for row in rows if principal_of(request).may_see(row.pk)]


def account(request: HttpRequest, pk: int) -> Account:
    """Return one of these accounts. Raises Problem 404."""
    found = next((row for row in accounts(request) if row.pk == pk), None)
    if found is None:
        raise Problem(404, "account_not_found", f"There is no account {pk} at a venue.")
    return found


def seen(request: HttpRequest, pk: int | None = None) -> set[int]:
    """Return the ids of the accounts that the caller may see, or of the named one if it is among them."""
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
    """Carry out a request; the same one under the same Idempotency-Key gets the answer of the first."""
    return idempotency.once(request, area="reconciliation", key=key, body=body, act=act)
