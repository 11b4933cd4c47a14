"""The HTTP API: every router is mounted here, every operation needs a scope."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Schema, Swagger

from core.api.auth import needs, principal_of
from core.api.openapi import DescribedApi
from core.http import problems
from core.http.middleware import needs_role
from core.security.scopes import Scope
from portfolio.api.alerts import router as alerts_router
from portfolio.api.history import router as history_router
from portfolio.api.performance import router as performance_router
from portfolio.api.portfolio import router as totals_router
from portfolio.api.positions import router as portfolio_router
from portfolio.api.subscriptions import router as subscriptions_router
from positions.api.entries import router as entries_router
from positions.api.positions import router as positions_router
from reconciliation.api.runs import router as reconciliation_router

DESCRIPTION = """
Positions, proven: what you hold on every venue, what it earns, how far it is from liquidation, and whether
the venue agrees.

- **Getting in**: an API key in `X-API-Key`, or the session of whoever is signed in. Each operation names the
  scope that it needs. A key may be limited to some accounts; what belongs to others does not exist for it.
- **Values**: money is sent and answered as strings in fixed notation (`"60000.5"`), times are ISO 8601 in
  UTC, unknown is `null` and never 0. Quantities are signed: short is negative.
- **Lists** answer `items` and `next_cursor`: send it back as `cursor` until it is `null`.
- **Errors** are RFC 9457 problems with a stable `code`.
- **Live**: `ws /api/v1/positions/stream`, described by `GET /api/v1/stream-schema`.
"""


class Api(DescribedApi):
    tags_described = {
        "positions": "What is held, at its marks; positions by hand; as of a moment.",
        "entries": "Facts that a bot reports.",
        "accounts": "Accounts, and what the book counts in their wallets.",
        "portfolio": "What it adds up to, what it earned and why, and its limits.",
        "history": "How positions, accounts and the portfolio stood, minute by minute.",
        "stream": "What the live stream sends and takes.",
        "reconciliation": "Proof: runs, certificates, differences, cases and what is done about them.",
        "allocation": "How money is spread, and how it is meant to be.",
        "alerts": "What is wrong now, who is told of it, and what nobody is told for a while.",
        "access": "Who calls.",
    }


api = Api(
    title="Plumbline",
    version="1",
    description=DESCRIPTION,
    docs=Swagger(
        settings={
            "persistAuthorization": False,  # a key must not stay in the browser's storage
            "displayRequestDuration": True,
            "filter": True,
            "defaultModelsExpandDepth": 0,
            "tryItOutEnabled": False,
        }
    ),
    docs_url=None,
    openapi_url="/openapi.json",
    docs_decorator=needs_role,
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
    principal = principal_of(request)
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
api.add_router("", history_router)
api.add_router("", subscriptions_router)
api.add_router("", alerts_router)
api.add_router("", totals_router)
api.add_router("", performance_router)
api.add_router("", portfolio_router)


def aliases() -> list[Any]:
    """Return the URLs of what predecessors offered without a version, as names of the same views."""
    return [url for url in api.urls[0] if str(url.pattern).startswith(ALIASED)]


ALIASED = ("positions", "reconciliation")
