"""One case's page, and what is done from it: preview, confirm, comment, assign, take back."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from core.http.inputs import id_of
from core.security.scopes import Scope, scopes_of_user
from core.tracing.trace import current_trace_id
from positions import ingest
from reconciliation import actions, labels
from reconciliation.cases import cases
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import Plan, plan
from reconciliation.models import Case, CaseState, Correction
from reconciliation.pages import case_reads
from reconciliation.pages.views import require, show


def _case(pk: int) -> Case:
    found = Case.objects.filter(pk=pk).select_related("account", "instrument", "run").first()
    if found is None:
        raise Http404(f"no case {pk}")
    return found


@require_safe
def case(request: HttpRequest, pk: int) -> HttpResponse:
    """A case with its diagnosis; `?action=` shows what that would change, before anything is done."""
    row = _case(pk)
    action, price = request.GET.get("action", ""), request.GET.get("price", "")
    found = case_reads.case_detail(case=row, now=timezone.now())
    chosen = next((one for one in found.actions if one.name == action), None)
    return show(
        request,
        "case.html",
        page=found,
        chosen=chosen,
        price=price,
        reason=request.GET.get("reason", "")[:1000],
        **_preview(request, row, action, price),
    )


def _preview(request: HttpRequest, row: Case, action: str, price: str) -> dict[str, Any]:
    """Return the plan of an action with its figures and the buttons' texts, or why there is none."""
    planned, problem = None, ""
    if action and Scope.CORRECT in scopes_of_user(request.user):
        planned, problem = _planned(row, action, price)
    if planned is None:
        return {"planned": None, "problem": problem}
    books = bool(planned.entries)
    return {
        "planned": planned.to_plain(),
        "effect": case_reads.preview_effect(pnl=planned.effect.pnl, currency=planned.currency),
        "preview": case_reads.preview_rows(case=row, effect=planned.effect),
        "confirm_label": labels.confirm_label(action=action, books=books),
        "busy_label": labels.BUSY_BOOKING if books else labels.BUSY_SAVING,
        "problem": "",
    }


def _planned(row: Case, action: str, price: str) -> tuple[Plan | None, str]:
    try:
        return plan(case=row, action=action, price=_price(price)), ""
    except PlanRefusal as error:
        return None, str(error)


def _price(text: str) -> Decimal | None:
    """Read a price; None where the field is empty. Raises PlanRefusal."""
    text = text.strip().replace(",", "")
    if not text:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise PlanRefusal("bad_price", f"{text!r} is not a price") from None
    if not price.is_finite() or price <= 0:
        raise PlanRefusal("bad_price", "a price is above 0")
    return price


def _done(request: HttpRequest, pk: int, act: Callable[[], str], *, refused: str = "") -> HttpResponse:
    """Act, show what came of it, and go back to the case; after a refusal to the query `refused`."""
    try:
        messages.success(request, act())
    except PlanRefusal as error:
        messages.error(request, f"Nothing was done: {error}.")
        if error.code != "settled":
            return redirect(reverse("proof-case", args=[pk]) + refused)
    except cases.IllegalMove as error:
        messages.error(request, f"Nothing was done: {error}.")
    except ingest.BatchRejection as error:
        messages.error(request, f"The book refused it: {error}.")
    return redirect("proof-case", pk=pk)


@require_POST
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    """Do what was previewed, read the venue again, and show the outcome."""
    who = require(request, Scope.CORRECT)
    row, sent = _case(pk), request.POST

    def act() -> str:
        done = actions.act(
            case=row,
            action=sent.get("action", ""),
            who=who,
            reason=sent.get("reason", "").strip(),
            now=timezone.now(),
            trace_id=current_trace_id(),
            token=sent.get("token", ""),
            price=_price(sent.get("price", "")),
        )
        return labels.OUTCOMES.get(done.outcome, done.outcome)

    kept = {name: sent.get(name, "")[:1000] for name in ("action", "price", "reason")}
    return _done(request, pk, act, refused=f"?{urlencode(kept)}")


@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a correction of this case back."""
    who = require(request, Scope.CORRECT)
    named = request.POST.get("correction", "")
    rows = Correction.objects.filter(pk=id_of(named) or 0, case=pk)
    correction = rows.select_related("case__account").first()
    if correction is None:
        raise Http404(f"no such correction of case {pk}")

    def act() -> str:
        reason = request.POST.get("reason", "").strip()
        if not reason:
            raise PlanRefusal("no_reason", "give a reason")
        actions.undo(
            correction=correction, who=who, reason=reason, now=timezone.now(), trace_id=current_trace_id()
        )
        return "Undone: the book is as it was before."

    return _done(request, pk, act)


@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Acknowledge the case: a person looks at it."""
    who = require(request, Scope.CORRECT)

    def act() -> str:
        cases.move(case=_case(pk), to=CaseState.ACKNOWLEDGED, who=who, now=timezone.now())
        return "Acknowledged."

    return _done(request, pk, act)


@require_POST
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    """Add a comment to the case."""
    who = require(request, Scope.CORRECT)

    def act() -> str:
        text = request.POST.get("text", "").strip()[:4000]
        if not text:
            raise PlanRefusal("no_text", "the comment is empty")
        cases.note(case=_case(pk), kind="comment", who=who, now=timezone.now(), text=text)
        return "Comment kept."

    return _done(request, pk, act)


@require_POST
def assign(request: HttpRequest, pk: int) -> HttpResponse:
    """Assign the case to a person, or to nobody."""
    who = require(request, Scope.CORRECT)

    def act() -> str:
        name = request.POST.get("assignee", "").strip()[:150]
        cases.assign(case=_case(pk), assignee=name, who=who, now=timezone.now())
        return f"Assigned to {name}." if name else "Assigned to nobody."

    return _done(request, pk, act)
