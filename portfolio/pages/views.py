"""The pages. Each makes one read and hands it to a template; every page needs a login."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from core.problems import Problem
from portfolio import account_summaries, proofs, rollup
from portfolio.api import overview
from portfolio.live import rows
from portfolio.pages import placeholders, reads
from positions.models import Account, Position
from positions.sync.feeds import NOBODY

Read = TypeVar("Read")


@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """Open positions of one environment, live. `?environment=` chooses; else the first that holds any."""
    now = timezone.now()
    found = rows.board(now=now)
    sums = _sums(found, now)
    chosen = _environment(request, sums)
    shown = [rows.painted(row, now=now) for row in found if row["environment"] == chosen]
    context = {
        "rows": shown,
        "blank": rows.BLANK,
        "totals": sums.get(chosen) or rollup.nothing(),
        "environments": [(name, sums[name]["environment_label"]) for name in sums],
        "accounts": rows.account_count(),
        "stale_after": rows.stale_after(),
    }
    return render(request, "board/board.html", context)


@require_safe
def closed(request: HttpRequest) -> HttpResponse:
    """Ended episodes, by page."""
    cursor = request.GET.get("after")
    found, older = _paged(lambda: reads.closed(cursor=cursor, now=timezone.now()))
    return _page(request, "pages/closed.html", closed=found, older=older, newer=bool(cursor))


@require_safe
def entries(request: HttpRequest) -> HttpResponse:
    """Every fact, by page."""
    cursor = request.GET.get("after")
    found, older = _paged(lambda: reads.entries(cursor=cursor))
    return _page(request, "pages/entries.html", entries=found, older=older, newer=bool(cursor))


@require_safe
def position(request: HttpRequest, pk: int) -> HttpResponse:
    """One position, open or ended."""
    try:
        found = reads.position(pk=pk, now=timezone.now())
    except Position.DoesNotExist as error:
        raise Http404(f"no position {pk}") from error
    return _page(
        request,
        "pages/position.html",
        row=found.row,
        entries=found.entries,
        events=found.events,
        superseded_by=found.superseded_by,
        more_entries=found.row["entry_count"] > len(found.entries),
    )


@require_safe
def account(request: HttpRequest, pk: int) -> HttpResponse:
    """One account: what it holds, its balances, its newest entries."""
    try:
        found = reads.account(pk=pk, now=timezone.now())
    except Account.DoesNotExist as error:
        raise Http404(f"no account {pk}") from error
    return _page(
        request,
        "pages/account.html",
        account=found.account,
        venue=rows.venue_name(found.account.venue),
        rows=found.rows,
        balances=found.balances,
        evidence=found.evidence,
        entries=found.entries,
        feeds=_feeds({pk}),
    )


@require_safe
def feeds(request: HttpRequest) -> HttpResponse:
    """How each account's feed stands."""
    return _page(request, "pages/feeds.html", feeds=_feeds(None))


def _feeds(accounts: set[int] | None) -> list[dict[str, Any]]:
    """What is kept by hand has no feed; one that nobody speaks of any more is not streamed."""
    only = None if accounts is None else frozenset(accounts)
    found: list[dict[str, Any]] = overview.health(accounts=only, now=timezone.now())["accounts"]
    return [
        one | {"streamed": one["stream"] is not None and one["stream"]["reason"] != NOBODY}
        for one in found
        if one["state"] != "manual"
    ]


@require_safe
def portfolio(request: HttpRequest) -> HttpResponse:
    """How each account stood at its newest snapshot; an honest room before the first one."""
    standings = reads.standings()
    if not standings:
        return _page(request, "pages/room.html", room=placeholders.PORTFOLIO)
    return _page(request, "pages/portfolio.html", standings=standings, room=placeholders.PORTFOLIO)


@require_safe
def reconciliation(request: HttpRequest) -> HttpResponse:
    """Proof: each leg's verdict and the newest runs; an honest room before the first run."""
    legs, certificates = proofs.legs(now=timezone.now()), proofs.certificates()
    if not certificates:
        return _page(request, "pages/room.html", room=placeholders.RECONCILIATION)
    return _page(request, "pages/proof.html", legs=legs, certificates=certificates)


@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """Alerts: a room of a later release."""
    return _page(request, "pages/room.html", room=placeholders.ALERTS)


def _paged(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except Problem as problem:
        raise BadRequest(str(problem)) from problem


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    now = timezone.now()
    context |= {"now": now, "stale_after": rows.stale_after()}
    return render(request, template, {"totals": strip(request, now=now), **context})


def strip(request: HttpRequest, *, now: datetime) -> dict[str, Any]:
    """Return the totals that the status strip of every page shows at first."""
    sums = _sums(rows.board(now=now), now)
    return sums.get(_environment(request, sums)) or rollup.nothing()


def _sums(found: list[rows.Row], now: datetime) -> dict[str, dict[str, Any]]:
    """Totals for the first paint; the stream keeps them going."""
    accounts = account_summaries.of_accounts(now=now)
    return rollup.totals(rows=found, environments=rows.environments(), accounts=accounts)


def _environment(request: HttpRequest, sums: dict[str, dict[str, Any]]) -> str:
    """The one asked for if it exists, else the first with positions, else the first."""
    asked = request.GET.get("environment", "")
    if asked in sums:
        return asked
    held = (name for name, total in sums.items() if total["positions"])
    return next(held, next(iter(sums), ""))
