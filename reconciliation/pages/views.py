"""The reconciliation pages: accounts and their proof, the case inbox, certificates, statistics, allocation.

Each page makes one read; each form one domain call, then leads back with what came of it. All work without
JavaScript. What may be done is said by scopes, as for the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import redis
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST, require_safe

from core.api import paging
from core.http.fragments import fragment
from core.http.inputs import id_of
from core.http.problems import Problem
from core.security.scopes import Scope, scopes_of_user
from core.tracing.trace import current_trace_id
from positions.queries import accounts_in_use
from positions.sync import backfills
from reconciliation import labels, statistics, tasks
from reconciliation.allocation import equity, targets
from reconciliation.models import AllocationBreach, Case, CaseState, Pause, Run
from reconciliation.pages import case_reads, reads
from reconciliation.rules.allocation import combined
from reconciliation.rules.compare import Family
from reconciliation.runs import pauses

TABS = (
    ("reconciliation", "Overview", ""),
    ("proof-cases", "Cases", "proof-case"),
    ("proof-runs", "Certificates", "proof-run"),
    ("proof-allocation", "Allocation", ""),
    ("proof-statistics", "Statistics", ""),
)
"""Route, label, and the route of the pages below it."""
SHOWN_RUNS = 8
PAGE = 50


def require(request: HttpRequest, scope: Scope) -> str:
    """Return who acts. Raises PermissionDenied for somebody whose role does not allow it."""
    if scope not in scopes_of_user(request.user):
        raise PermissionDenied(f"Your role does not include the scope “{scope}”: ask an admin.")
    return f"user:{request.user.get_username()}"


def show(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Render a page with its tabs and what this person may do."""
    shared = {"tabs": tabs(request), "may": may(request)}
    return render(request, f"reconciliation/{template}", shared | context)


def may(request: HttpRequest) -> dict[str, bool]:
    """Return what this person may do: sync, act on cases, manage accounts."""
    scopes = scopes_of_user(request.user)
    return {
        "sync": Scope.RECONCILE in scopes,
        "act": Scope.CORRECT in scopes,
        "manage": Scope.ADMIN in scopes,
    }


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of the proof pages; `current` is an aria-current value: page, true (a page below it) or ""."""

    route: str
    label: str
    current: str


def tabs(request: HttpRequest) -> list[Tab]:
    """Return the tabs, with the one marked that the page belongs to."""
    here = request.resolver_match.url_name if request.resolver_match else ""
    return [
        Tab(route, label, "page" if here == route else "true" if here and here == below else "")
        for route, label, below in TABS
    ]


def _paged(request: HttpRequest, rows: QuerySet[Any], *order: str) -> tuple[list[Any], str | None]:
    try:
        return paging.page(rows, order=order, cursor=request.GET.get("after"), limit=PAGE)
    except Problem as problem:
        raise BadRequest(str(problem)) from problem


# Pages ------------------------------------------------------------------------------------------------------


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Accounts with their verdicts, open cases, the newest certificates, and every leg and balance."""
    running = Run.objects.filter(finished_at=None).exists()
    return show(request, "overview.html", running=running, **_sections())


@require_safe
def sections(request: HttpRequest) -> HttpResponse:
    """The overview's sections alone, for its script; 304 where nothing changed since the ETag it sends."""
    return fragment(request, "reconciliation/_sections.html", {"may": may(request), **_sections()})


def _sections() -> dict[str, Any]:
    now = timezone.now()
    cases = Case.objects.filter(closed_at=None).select_related("account", "instrument")
    verdicts = reads.verdicts()
    runs = Run.objects.select_related("account").order_by("-started_at", "-pk")
    return {
        "accounts": reads.account_proofs(accounts=accounts_in_use(), verdicts=verdicts, now=now),
        "legs": reads.leg_proofs(verdicts=verdicts, now=now),
        "cases": case_reads.inbox(cases=cases[:PAGE], now=now),
        "runs": [reads.run_summary(run) for run in runs[:SHOWN_RUNS]],
    }


@require_safe
def cases(request: HttpRequest) -> HttpResponse:
    """The case inbox, filtered by state, account, kind and assignee."""
    filters = {name: request.GET.get(name, "") for name in ("state", "account", "family", "assignee")}
    rows = Case.objects.select_related("account", "instrument")
    if filters["state"] in CaseState.values:
        rows = rows.filter(state=filters["state"])
    elif filters["state"] != "all":
        rows = rows.filter(closed_at=None)
    rows = rows.filter(account__label=filters["account"]) if filters["account"] else rows
    rows = rows.filter(family=filters["family"]) if filters["family"] in labels.FAMILIES else rows
    rows = rows.filter(assignee=filters["assignee"]) if filters["assignee"] else rows
    items, older = _paged(request, rows, "-id")
    return show(
        request,
        "cases.html",
        cases=case_reads.inbox(cases=items, now=timezone.now()),
        older=older,
        kept=urlencode(filters),
        filters=filters,
        states=[("", "Not settled"), *CaseState.choices, ("all", "All")],
        families=[(name, label) for name, label in labels.FAMILIES.items() if name != Family.NOTE],
        accounts=list(accounts_in_use().values_list("label", flat=True)),
    )


@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """Certificates, the newest first."""
    rows = Run.objects.select_related("account")
    if label := request.GET.get("account", ""):
        rows = rows.filter(account__label=label)
    items, older = _paged(request, rows, "-started_at", "-id")
    return show(
        request,
        "runs.html",
        runs=[reads.run_summary(run) for run in items],
        older=older,
        kept=urlencode({"account": label}),
        account=label,
        accounts=list(accounts_in_use().values_list("label", flat=True)),
    )


@require_safe
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One certificate."""
    found = Run.objects.filter(pk=pk).select_related("account").first()
    if found is None:
        raise Http404(f"no run {pk}")
    return show(request, "run.html", run=found, **reads.certificate(found))


@require_safe
def statistics_page(request: HttpRequest) -> HttpResponse:
    """The history of each account, counted."""
    found = statistics.of_accounts(accounts=list(accounts_in_use()))
    paused = reads.pauses(rows=Pause.objects.select_related("account")[:PAGE], now=timezone.now())
    return show(request, "statistics.html", found=found, pauses=paused)


@require_safe
def allocation(request: HttpRequest) -> HttpResponse:
    """Shares of equity by venue, and assets, one environment at a time."""
    now = timezone.now()
    accounts = list(accounts_in_use())
    spread = [
        (
            name,
            targets.allocation(environment=name, accounts=accounts, now=now),
            combined(equity.lines(accounts=[one for one in accounts if one.environment == name], now=now)),
        )
        for name in targets.environments(accounts=accounts)
    ]
    breaches = AllocationBreach.objects.select_related("account")[:PAGE]
    return show(request, "allocation.html", spread=spread, breaches=breaches)


# Forms ------------------------------------------------------------------------------------------------------


@require_POST
def sync(request: HttpRequest) -> HttpResponse:
    """Compare all accounts, or the one named, now."""
    require(request, Scope.RECONCILE)
    rows = accounts_in_use()
    if asked := request.POST.get("account", ""):
        rows = rows.filter(pk=id_of(asked) or 0)
    now, begun, held = timezone.now(), 0, []
    for row in rows:
        if row.paused_until is not None and row.paused_until > now:
            held.append(row.label)
        else:
            begun += bool(tasks.begin_now(account=row, trace_id=current_trace_id())["run_id"])
    text = f"Comparing {begun} account{'' if begun == 1 else 's'} now." if begun else "Nothing to compare."
    messages.info(request, text + (f" Paused: {', '.join(held)}." if held else ""))
    return redirect("reconciliation")


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause an account until a time (UTC), or end its pause."""
    who = require(request, Scope.ADMIN)
    account = accounts_in_use().filter(pk=pk).first()
    if account is None:
        raise Http404(f"no account {pk}")
    if "resume" in request.POST:
        pauses.resume(account=account, who=who, now=timezone.now())
        messages.info(request, f"{account.label} is compared again.")
        return redirect("reconciliation")
    until = _utc(request.POST.get("until", ""))
    if until is None:
        messages.error(request, "Give the end of the pause, in UTC.")
        return redirect("reconciliation")
    try:
        pauses.pause(
            account=account, until=until, reason=request.POST.get("reason", ""), who=who, now=timezone.now()
        )
    except pauses.BadPause as error:
        messages.error(request, f"Not paused: {error}.")
    else:
        messages.info(request, f"{account.label} is paused until {until:%-d %b %H:%M} UTC.")
    return redirect("reconciliation")


@require_POST
def backfill(request: HttpRequest, pk: int) -> HttpResponse:
    """Read one feed of an account again, from a time (UTC) on."""
    require(request, Scope.RECONCILE)
    account = accounts_in_use().filter(pk=pk).first()
    if account is None:
        raise Http404(f"no account {pk}")
    since = _utc(request.POST.get("since", ""))
    if since is None:
        messages.error(request, "Give a time to read from, in UTC.")
        return redirect("reconciliation")
    try:
        requested = backfills.request_backfill(
            account_id=pk, feed=request.POST.get("feed", ""), since=since, now=timezone.now()
        )
    except backfills.BackfillRefusal as error:
        messages.error(request, f"Not started: {error}.")
    except redis.RedisError:
        messages.error(request, "Not started: the request could not be kept. Try again.")
    else:
        messages.info(
            request, f"{requested.feed.value.capitalize()} of {account.label} will be read again shortly."
        )
    return redirect("reconciliation")


def _utc(text: str) -> datetime | None:
    """Read what a datetime-local field sends; it has no zone, and the page says UTC."""
    try:
        at = parse_datetime(text)
    except ValueError:  # well formed, and no date
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
