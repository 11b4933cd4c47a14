"""Positions at their marks over HTTP: lists, totals, who is at risk, how fresh everything is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from ninja import Status as Answer

from core.api import paging
from core.api.auth import needs, principal_of
from core.http.inputs import Cursor, Limit, Text
from core.http.problems import Problem
from core.http.slow_work import Kind, slot
from core.security.scopes import Scope
from portfolio.api import overview
from portfolio.api.risk_facts import risk_facts
from portfolio.api.schemas import (
    AtRisk,
    Health,
    PositionDetail,
    PositionPage,
    RiskFilter,
    Summary,
    Ticket,
    live_facts,
)
from portfolio.live import access, rows
from portfolio.live.own_liquidation import OwnLiquidation, own_liquidation
from portfolio.live.schema import json_schema
from positions import queries
from positions.api import queries as api_queries
from positions.api.as_of import AsOf, moment, standing
from positions.api.as_of import rows as past_rows
from positions.api.positions import find
from positions.api.schemas import PositionFilter, book_facts
from positions.models import OPEN_STATUSES, Position, Status

router = Router(tags=["positions"])

ORDER = ("-opened_at", "-id")


@router.get("/positions", response=PositionPage, auth=needs(Scope.READ), summary="Positions of any status")
def positions(
    request: HttpRequest,
    filters: Query[PositionFilter],
    archived: bool = False,
    as_of: AsOf = None,
    cursor: Cursor | None = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Positions of any status, the last opened first; dissolved (VOID) ones only where `status` asks so.

    With `as_of`: those that were open then, as they stood then.
    """
    found = _narrowed(request, filters)
    if (at := moment(as_of, now=timezone.now())) is not None:
        if filters.status:
            raise Problem(422, "invalid_input", "Check: status and as_of exclude each other.")
        with slot(kind=Kind.PAST, who=principal_of(request).name):
            items, following = paging.page(standing(found, at=at), order=ORDER, cursor=cursor, limit=limit)
            return {"items": _then(request, past_rows(items, at=at), at=at), "next_cursor": following}
    if not archived:
        found = found.filter(archived_at__isnull=True)
    if not filters.status:
        found = found.exclude(status=Status.VOID)
    return _page(request, found, cursor, limit)


@router.get("/positions/active", response=PositionPage, auth=needs(Scope.READ), summary="Open positions")
def active(
    request: HttpRequest, filters: Query[PositionFilter], cursor: Cursor | None = None, limit: Limit = 100
) -> dict[str, Any]:
    """Open positions, the last opened first."""
    return _page(request, _narrowed(request, filters).filter(status__in=OPEN_STATUSES), cursor, limit)


@router.get("/positions/summary", response=Summary, auth=needs(Scope.READ), summary="Totals by environment")
def summary(request: HttpRequest, as_of: AsOf = None) -> dict[str, Any]:
    """Totals of open positions by environment, over the accounts that the caller may see.

    With `as_of`: of those that were open then. Marks of the past are not kept, so what needs one is unknown.
    """
    now = timezone.now()
    at = moment(as_of, now=now)
    with nullcontext() if at is None else slot(kind=Kind.PAST, who=principal_of(request).name):
        return overview.summary(accounts=principal_of(request).accounts, now=now, at=at)


@router.get("/positions/at-risk", response=AtRisk, auth=needs(Scope.READ), summary="Who is near liquidation")
def at_risk(request: HttpRequest, filters: Query[RiskFilter]) -> dict[str, Any]:
    """Open positions at most `threshold` percent of their mark from liquidation, the nearest first."""
    now = timezone.now()
    near, unknown = overview.at_risk(
        accounts=principal_of(request).accounts, threshold_pct=filters.threshold, now=now
    )
    both = [*near, *unknown]
    shown = _shown(request, [one for one, _ in both], [row for _, row in both], now=now)
    return {
        "as_of": now,
        "threshold_pct": filters.threshold,
        "items": shown[: len(near)],
        "unknown": shown[len(near) :],
    }


@router.get("/positions/health", response=Health, auth=needs(Scope.READ), summary="How fresh it all is")
def health(request: HttpRequest) -> dict[str, Any]:
    """How fresh feeds, prices and proofs are, by account, and what waits for somebody."""
    return overview.health(accounts=principal_of(request).accounts, now=timezone.now())


@router.post(
    "/positions/stream-ticket",
    response={201: Ticket},
    auth=needs(Scope.READ),
    tags=["stream"],
    summary="A ticket for one socket",
)
def stream_ticket(request: HttpRequest) -> Answer[dict[str, Any]]:
    """A ticket that opens one socket within 30 s, for browsers, which cannot send a key in a header."""
    ticket = access.issue_ticket(principal=principal_of(request), session_key=request.session.session_key)
    offered = {"subprotocol": access.TICKET + ticket, "expires_in_seconds": access.TICKET_SECONDS}
    return Answer(201, offered)


@router.get(
    "/stream-schema",
    response=dict[str, Any],
    auth=needs(Scope.READ),
    tags=["stream"],
    summary="JSON Schema of the stream",
)
def stream_schema(request: HttpRequest) -> dict[str, Any]:
    """The JSON Schema (2020-12) of every frame and command of `ws /api/v1/positions/stream`, both formats.

    TypeScript types made from it: `/static/types/plumbline-stream.d.ts`.
    """
    return json_schema()


@router.get(
    "/positions/{path:ref}", response=PositionDetail, auth=needs(Scope.READ), summary="One position, live"
)
def position(request: HttpRequest, response: HttpResponse, ref: Text, as_of: AsOf = None) -> dict[str, Any]:
    """One position by id, or by an asset or symbol such as `BTC` or `BTC/USD`; 409 where several match.

    A name means the open position; where none is open, the last one ended. With `as_of` it means one that was
    open then, and an id that position as it stood then (404 if it had not been opened).
    """
    if (at := moment(as_of, now=timezone.now())) is not None:
        then = _then(request, [find(request, ref, at=at)], at=at)[0]
        return then | _own(OwnLiquidation(reason="not kept of the past"))
    found = find(request, ref)
    response["ETag"] = f'"{found.version}"'
    own = own_liquidation(found) if found.quantity else OwnLiquidation(reason="it has ended")
    return _live(request, [found])[0] | _own(own)


def _own(own: OwnLiquidation) -> dict[str, Any]:
    return {
        "liquidation_price_own": own.price,
        "liquidation_price_own_reason": own.reason,
        "liquidation_price_difference": own.difference,
    }


def _narrowed(request: HttpRequest, filters: PositionFilter) -> QuerySet[Position]:
    mine = api_queries.seen_by(queries.board(), accounts=principal_of(request).accounts)
    return mine.filter(api_queries.episode_filter(filters.dict()))


def _page(request: HttpRequest, found: QuerySet[Position], cursor: str | None, limit: int) -> dict[str, Any]:
    items, following = paging.page(found, order=ORDER, cursor=cursor, limit=limit)
    return {"items": _live(request, items), "next_cursor": following}


def _live(request: HttpRequest, positions: Iterable[Position]) -> list[dict[str, Any]]:
    found, now = list(positions), timezone.now()
    return _shown(request, found, rows.rows(found, now=now), now=now)


def _then(request: HttpRequest, positions: Iterable[Position], *, at: datetime) -> list[dict[str, Any]]:
    """Positions as they stood, whose marks nobody knows any more."""
    found = list(positions)
    past = [rows.row(one, price=None) for one in found]
    return _shown(request, found, past, now=at)


def _shown(
    request: HttpRequest, found: list[Position], shown: list[rows.Row], *, now: datetime
) -> list[dict[str, Any]]:
    risk = risk_facts(found, shown, accounts=principal_of(request).accounts, now=now)
    return [
        live_facts(book_facts(one), row, getattr(one, "venue_state", None), ours)
        for one, row, ours in zip(found, shown, risk, strict=True)
    ]
