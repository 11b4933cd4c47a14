"""The pages. Each makes one read and hands it to a template. Every page needs a login."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from core.http.fragments import fragment
from core.http.inputs import id_of
from core.http.problems import Problem
from core.http.slow_work import Kind, slow_page
from core.security.scopes import Scope, scopes_of_user
from portfolio import rollup
from portfolio.live import rows
from portfolio.live.schema import blank_row
from portfolio.models import SavedView
from portfolio.pages import board_view, exports, filters, first_steps, panel, placeholders, reads, totals
from portfolio.pages.filters import ClosedFilter, EntryFilter
from portfolio.pages.position_chart import position_chart as chart_of
from positions.labels import venue_name
from positions.models import Account, Position

Read = TypeVar("Read")
CHART_LINES = ("entry_price", "mark_price", "liquidation_price")
NO_MATCH = "Nothing matches. Clear the filter to see all."


@require_safe
def board(request: HttpRequest) -> HttpResponse:
    """Open positions of one environment, live. `?environment=` chooses; else the first that holds any."""
    now = timezone.now()
    found = rows.board(now=now)
    sums = totals.by_environment(found, now=now)
    chosen = totals.chosen_environment(request, sums)
    view = board_view.view_of(request.GET)
    held = [rows.painted(row, now=now) for row in found if row["environment"] == chosen]
    context = {
        "has_rows": bool(held),
        "groups": board_view.arrange(held, view),
        "view": view,
        "headings": board_view.headings(view),
        "columns": board_view.COLUMNS.items(),
        "group_names": [(name, label) for name, (label, _, _) in board_view.GROUPS.items()],
        "kept": parse_qsl(view.query(q="")),
        "saved_views": SavedView.objects.filter(owner=request.user.pk),
        "query": view.query(),
        "blank": blank_row(),
        "totals": sums.get(chosen) or rollup.nothing(),
        "environments": [(name, sums[name]["environment_label"]) for name in sums],
        "accounts": rows.account_count(),
    }
    if not context["accounts"]:
        context |= {"steps": first_steps.steps(), "may_manage": first_steps.may_manage(request)}
    return render(request, "board/board.html", context)


@require_safe
def closed(request: HttpRequest) -> HttpResponseBase:
    """Ended episodes, by page, narrowed by a form, with what they add up to; `?format=` gives a file."""
    form, after = ClosedFilter(_asked(request)), request.GET.get("after")
    wanted = form.narrowed(reads.closed_positions())
    if "format" in request.GET and not form.errors:
        return exports.closed(request, wanted)
    found, older = _paged(lambda: reads.closed(wanted, cursor=after, now=timezone.now()))
    sums = filters.closed_totals(wanted) if form.is_on and found else []
    context = {"closed": found, "older": older, "form": form, "kept": form.kept, "sums": sums}
    return _page(request, "pages/closed.html", **context)


@require_safe
def entries(request: HttpRequest) -> HttpResponseBase:
    """Every fact, by page, narrowed by a form; `?format=` gives a file."""
    form, after = EntryFilter(_asked(request)), request.GET.get("after")
    wanted = form.narrowed(reads.all_entries())
    if "format" in request.GET and not form.errors:
        return exports.entries(request, wanted)
    found, older = _paged(lambda: reads.entries(wanted, cursor=after))
    nothing = NO_MATCH if form.is_on else placeholders.NO_ENTRIES
    context = {"entries": found, "older": older, "form": form, "kept": form.kept, "nothing": nothing}
    return _page(request, "pages/entries.html", **context)


def may_correct(request: HttpRequest) -> bool:
    """Return whether this person may change the book by hand."""
    return Scope.CORRECT in scopes_of_user(request.user)


def _asked(request: HttpRequest) -> QueryDict | None:
    """Return what a filter was asked for; None for the whole list, whose form is empty."""
    return request.GET if request.GET.keys() - {"after", "format"} else None


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
        by_hand=found.by_hand,
        may_correct=may_correct(request),
        prices=json.dumps({name: found.row[name] for name in CHART_LINES}),
        entries=found.entries,
        events=found.events,
        superseded_by=found.superseded_by,
        own_liquidation=found.own_liquidation,
        more_entries=found.row["entry_count"] > len(found.entries),
    )


@require_safe
def position_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """One position for the board's side panel; 304 where it has not changed."""
    now = timezone.now()
    try:
        found = panel.of_position(pk=pk, now=now)
    except Position.DoesNotExist as error:
        raise Http404(f"no position {pk}") from error
    context = {
        "found": found,
        "row": found.detail.row,
        "entries": found.detail.entries,
        "may_correct": may_correct(request),
    }
    return fragment(request, "board/_panel.html", context)


@require_safe
@slow_page(Kind.VENUE)
def position_chart(request: HttpRequest, pk: int) -> HttpResponse:
    """What the chart of a position draws, as JSON; it may ask the venue for prices."""
    try:
        return JsonResponse(chart_of(pk=pk, now=timezone.now()))
    except Position.DoesNotExist as error:
        raise Http404(f"no position {pk}") from error


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
        venue=venue_name(found.account.venue),
        rows=found.rows,
        balances=found.balances,
        evidence=found.evidence,
        entries=found.entries,
        feeds=reads.feeds(accounts=frozenset({pk}), now=timezone.now()),
    )


@require_safe
def feeds(request: HttpRequest) -> HttpResponse:
    """The state of each account's feed."""
    return _page(request, "pages/feeds.html", feeds=reads.feeds(accounts=None, now=timezone.now()))


@require_safe
def feeds_table(request: HttpRequest) -> HttpResponse:
    """The table of feeds alone, of all accounts or of `?account=`; 304 where it has not changed."""
    account, now = id_of(request.GET.get("account", "")), timezone.now()
    accounts = None if account is None else frozenset({account})
    found = reads.feeds(accounts=accounts, now=now)
    return fragment(request, "pages/_feeds.html", {"feeds": found, "now": now})


def _paged(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except Problem as problem:
        raise BadRequest(str(problem)) from problem


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return render(request, template, {"now": timezone.now(), **context})
