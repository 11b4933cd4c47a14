"""Authentication of the API: `X-API-Key` or the session, one rule for both: the operation's scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyHeader, SessionAuth

from core.api import rates
from core.http.problems import Problem
from core.models import ApiKey, find_key
from core.security.scopes import Scope, scopes_of_user
from core.security.security_events import Act, record_refusal

PEOPLE = "people"  # the tier of whoever is signed in, whatever their role


@dataclass(frozen=True)
class Principal:
    """Who calls. `accounts` are the ids that may be seen, None for all."""

    name: str
    scopes: frozenset[Scope]
    accounts: frozenset[int] | None
    tier: str
    user: User | None
    key: ApiKey | None

    def may_see(self, account_id: int) -> bool:
        return self.accounts is None or account_id in self.accounts


def principal_of(request: HttpRequest) -> Principal:
    """Return who calls an operation; `needs` made sure that somebody does."""
    principal: Principal = request.auth  # type: ignore[attr-defined]  # set by ninja
    return principal


def principal_of_key(key: ApiKey) -> Principal:
    return Principal(
        name=f"key:{key.prefix}",
        scopes=key.granted(),
        accounts=None if key.accounts is None else frozenset(key.accounts),
        tier=key.tier,
        user=key.owner,
        key=key,
    )


def principal_of_user(user: User) -> Principal:
    """A person sees all accounts, for now."""
    return Principal(
        name=f"user:{user.get_username()}",
        scopes=scopes_of_user(user),
        accounts=None,
        tier=ApiKey.Tier.UNLIMITED,
        user=user,
        key=None,
    )


def limit_rate(request: HttpRequest, principal: Principal) -> None:
    """Count the request against the tier of a key, or of people. Raises Problem (429) with Retry-After."""
    limit = rates.of_tier(PEOPLE if principal.key is None else principal.tier)
    if limit is None:
        return
    taken = rates.take(name=principal.name, limit=limit)
    if taken is None:
        return
    request.rate = taken  # type: ignore[attr-defined]  # core.http.middleware.ApiProblems tells it
    if not taken.allowed:
        who = "A login" if principal.key is None else f"This key (tier {principal.tier})"
        detail = (
            f"{who} may ask {limit.per_minute} times a minute, {limit.burst} at "
            f"once. Come again in {taken.retry_after} s; the stream tells of changes without asking."
        )
        raise Problem(429, "too_many_requests", detail, retry_after_seconds=taken.retry_after)


def _allowed(principal: Principal, scope: Scope) -> Principal:
    if scope not in principal.scopes:
        reason = f"needs the scope {scope}"
        record_refusal(Act.SCOPE_REFUSED, who=principal.name, subject=principal.name, reason=reason)
        raise Problem(
            403, "missing_scope", f"This needs the scope '{scope}', which {principal.name} has not."
        )
    structlog.contextvars.bind_contextvars(who=principal.name)
    return principal


class _KeyAuth(APIKeyHeader):
    param_name = "X-API-Key"

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        super().__init__()

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        if key is None:
            return None
        known = find_key(key, now=timezone.now())
        if known is None:
            # A wrong key must not fall back to whoever is logged in.
            raise Problem(401, "bad_api_key", "This API key is unknown, expired or revoked.")
        principal = principal_of_key(known)
        limit_rate(request, principal)
        return _allowed(principal, self.scope)


class _SessionAuth(SessionAuth):
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        super().__init__()

    def _get_key(self, request: HttpRequest) -> str | None:
        """Return the session's cookie. A stranger is told to sign in (401), not that a form token lacks."""
        return super()._get_key(request) if request.user.is_authenticated else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Principal | None:
        if not isinstance(request.user, User) or not request.user.is_authenticated:
            return None
        principal = principal_of_user(request.user)
        limit_rate(request, principal)
        return _allowed(principal, self.scope)


def needs(scope: Scope) -> list[Any]:
    """Return the `auth=` of an operation: an API key or a session that has `scope`.

    `request.auth` is then a Principal. Unsafe methods by session also need the CSRF token.
    """
    return [_KeyAuth(scope), _SessionAuth(scope)]
