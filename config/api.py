"""The HTTP API: every router is mounted here, every operation needs a scope."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from ninja import NinjaAPI, Schema

from core import problems
from core.auth import Principal, needs
from core.scopes import Scope
from portfolio.api import router as portfolio_router
from positions.api import router as positions_router
from positions.api_entries import router as entries_router
from reconciliation.api import router as reconciliation_router

api = NinjaAPI(
    title="Plumbline",
    version="1",
    description="Positions, proven. Money is sent and answered as strings; times are ISO 8601 in UTC.",
    docs_url=None,
    openapi_url="/openapi.json",
    docs_decorator=login_required,
    urls_namespace="api",
    auth=needs(Scope.READ),
)
problems.register(api)


class Me(Schema):
    """Who the API takes the caller for."""

    name: str
    scopes: list[str]
    tier: str
    accounts: list[int] | None


@api.get("/me", response=Me, auth=needs(Scope.READ), tags=["access"], summary="Who am I, and what may I do?")
def me(request: HttpRequest) -> dict[str, Any]:
    principal: Principal = request.auth  # type: ignore[attr-defined]
    return {
        "name": principal.name,
        "scopes": sorted(principal.scopes),
        "tier": principal.tier,
        "accounts": sorted(principal.accounts) if principal.accounts is not None else None,
    }


# Longer paths first: /positions/{ref} would take them for a position's name.
api.add_router("", positions_router)
api.add_router("", entries_router)
api.add_router("", reconciliation_router)
api.add_router("", portfolio_router)


def aliases() -> list[Any]:
    """Return the URLs of what predecessors offered without a version, as names of the same views."""
    return [url for url in api.urls[0] if str(url.pattern).startswith(ALIASED)]


ALIASED = ("positions", "reconciliation")
