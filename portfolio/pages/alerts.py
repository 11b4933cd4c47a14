"""The pages of alerts: what is open, what is over, what nobody is told of; acknowledge and mute by POST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from core.api import paging
from core.http.fragments import fragment
from core.http.inputs import id_of, shortened
from core.http.problems import Problem
from core.security.scopes import Scope, scopes_of_user
from portfolio.alerts import queries, store
from portfolio.models import Alert, AlertKind, AlertState, AlertTransition, Mute, Severity
from positions.models import Account
from reconciliation.pages.views import require

MUTED_FOR = {"1h": ("1 hour", 1), "4h": ("4 hours", 4), "1d": ("1 day", 24), "7d": ("7 days", 7 * 24)}
MOST_OPEN = 200
PAGE = 50
LEVELS = {Severity.CRITICAL: "act", Severity.WARNING: "watch", Severity.INFO: ""}


@dataclass(frozen=True, slots=True)
class AlertLine:
    """An alert as a page shows it. `muted` is the mute that covers it now."""

    alert: Alert
    level: str
    told: list[AlertTransition]
    muted: Mute | None = None

    @property
    def lasted(self) -> float | None:
        """How long it was open, in seconds; None while it is."""
        alert = self.alert
        return None if alert.cleared_at is None else (alert.cleared_at - alert.raised_at).total_seconds()


@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """Open alerts, those that are over by page, and mutes; narrowed by kind, severity, account and state."""
    now, wanted = timezone.now(), _wanted(request)
    past, older = _past(request, wanted)
    context = {
        **_open(wanted, now=now),
        "past": _lines(past, now=now),
        "older": older,
        "mutes": list(queries.mutes(accounts=None, now=now)[:100]),
        "kinds": AlertKind.choices,
        "severities": Severity.choices,
        "accounts": list(Account.objects.order_by("label").values_list("pk", "label")),
        "kept": _query(request),
    }
    return _show(request, "pages/alerts.html", now, **context)


@require_safe
def open_list(request: HttpRequest) -> HttpResponse:
    """The open alerts alone; 304 where they have not changed."""
    now = timezone.now()
    context = {**_open(_wanted(request), now=now), "now": now, "may_act": _may_act(request)}
    return fragment(request, "pages/_open_alerts.html", {**context, "durations": MUTED_FOR.items()})


@require_safe
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """One alert with everything that people were told about it."""
    now, row = timezone.now(), _alert(pk)
    (line,) = _lines([row], now=now)
    earlier = queries.seen(accounts=None).filter(kind=row.kind, subject=row.subject).exclude(pk=row.pk)
    return _show(request, "pages/alert.html", now, line=line, earlier=list(earlier.order_by("-pk")[:10]))


@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Note that this person has seen it."""
    who = require(request, Scope.CORRECT)
    try:
        store.acknowledge(alert=_alert(pk).pk, who=who, now=timezone.now())
    except store.NotOpen:
        messages.info(request, "That alert is over already.")
    return _back(request)


@require_POST
def mute(request: HttpRequest, pk: int) -> HttpResponse:
    """Tell nobody of this subject for a while, and say why."""
    who, row, now = require(request, Scope.CORRECT), _alert(pk), timezone.now()
    reason = " ".join(request.POST.get("reason", "").split())
    label, hours = MUTED_FOR.get(request.POST.get("for", ""), ("", 0))
    if len(reason) < 3 or not hours:
        messages.error(request, "Not muted: say why and for how long.")
        return _back(request)
    store.mute(
        kind=row.kind,
        subject=row.subject,
        account=row.account,
        reason=shortened(reason, to=200),
        until=now + timedelta(hours=hours),
        who=who,
        now=now,
    )
    messages.info(request, f"Muted for {label}: nobody is told of it. It stays on this page.")
    return _back(request)


@require_POST
def end_mute(request: HttpRequest, pk: int) -> HttpResponse:
    """End a mute early: what is open is told at once."""
    who, now = require(request, Scope.CORRECT), timezone.now()
    row = queries.mutes(accounts=None, now=now).filter(pk=pk).first()
    if row is not None:
        store.unmute(mute=row, who=who, now=now)
    return redirect("alerts")


def _alert(pk: int) -> Alert:
    row = queries.seen(accounts=None).filter(pk=pk).first()
    if row is None:
        raise Http404(f"no alert {pk}")
    return row


def _back(request: HttpRequest) -> HttpResponse:
    """Go back to the page of one alert if the form was there, else to the list."""
    pk = id_of(request.POST.get("page", ""))
    return redirect("alerts") if pk is None else redirect("alert", pk=pk)


def _wanted(request: HttpRequest) -> dict[str, Any]:
    """Return the filters of the page; what is no choice is ignored."""
    kind, severity = request.GET.get("kind", ""), request.GET.get("severity", "")
    return {
        "kind": kind if kind in AlertKind.values else None,
        "severity": severity if severity in Severity.values else None,
        "account": id_of(request.GET.get("account", "")),
    }


def _query(request: HttpRequest) -> str:
    kept = request.GET.copy()
    kept.pop("after", None)
    return kept.urlencode()


def _open(wanted: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    rows = queries.matching(queries.seen(accounts=None), state=queries.OPEN, **wanted)
    found = _lines(list(queries.worst_first(rows)[:MOST_OPEN]), now=now)
    raised = [one for one in found if one.alert.state == AlertState.RAISED]
    seen = [one for one in found if one.alert.state == AlertState.ACKNOWLEDGED]
    return {"raised": raised, "acknowledged": seen, "open_count": rows.count(), "filters": wanted}


def _past(request: HttpRequest, wanted: dict[str, Any]) -> tuple[list[Alert], str | None]:
    rows = queries.matching(queries.seen(accounts=None), state=queries.PAST, **wanted)
    try:
        return paging.page(rows, order=("-id",), cursor=request.GET.get("after"), limit=PAGE)
    except Problem as problem:
        raise BadRequest(str(problem)) from problem


def _lines(rows: list[Alert], *, now: datetime) -> list[AlertLine]:
    told = queries.transitions([row.pk for row in rows])
    lasting = list(queries.mutes(accounts=None, now=now))
    return [
        AlertLine(
            alert=row,
            level=LEVELS[Severity(row.severity)],
            told=told.get(row.pk, []),
            muted=next(
                (
                    one
                    for one in lasting
                    if row.is_open and one.covers(kind=row.kind, subject=row.subject, account=row.account_id)
                ),
                None,
            ),
        )
        for row in rows
    ]


def _may_act(request: HttpRequest) -> bool:
    return Scope.CORRECT in scopes_of_user(request.user)


def _show(request: HttpRequest, template: str, now: datetime, **context: Any) -> HttpResponse:
    shared = {"now": now, "may_act": _may_act(request), "durations": MUTED_FOR.items()}
    return render(request, template, {**shared, **context})
