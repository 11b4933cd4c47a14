"""Correcting the book from a position's page: more, less or nothing held, previewed, booked, taken back.

Nothing is sent to a venue. Each works without JavaScript; a preview is a booking that is rolled back.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from core.http.inputs import id_of, printable, shortened
from core.http.slow_work import Kind, slow_page
from core.security.scopes import Scope
from core.templatetags import numbers
from core.tracing.trace import current_trace_id
from positions import ingest, manual, queries
from positions.labels import venue_name
from positions.manual import Actor, Change, ManualRefusal, Preview
from positions.models import Entry, Position
from positions.models.names import display_name
from reconciliation.labels import KINDS
from reconciliation.pages.views import require

CHANGES = [("reduce", "Take some off"), ("increase", "Add to it"), ("close", "Close it")]
LONGEST = 40  # characters of a number: the API's bound

CHANGED = "the position changed since this preview: look at it as it is now"


class Amount(forms.DecimalField):
    """A positive number of at most 40 characters, exact to 18 places."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(min_value=Decimal("1e-18"), max_digits=38, decimal_places=18, **fields)
        self.widget = forms.TextInput(
            attrs={"inputmode": "decimal", "maxlength": LONGEST, "class": "input num"}
        )


class CorrectionForm(forms.Form):
    """What is to change. Without a price the mark price counts."""

    change = forms.ChoiceField(choices=CHANGES, initial="reduce", widget=forms.RadioSelect)
    quantity = Amount(label="How much", required=False)
    price = Amount(label="At what price", required=False, help_text="Empty: the mark price.")

    def clean(self) -> dict[str, Any]:
        """Ask for a quantity, except to close."""
        cleaned = super().clean() or {}
        is_close = cleaned.get("change") == "close"
        if not is_close and cleaned.get("quantity") is None and not self.errors.get("quantity"):
            self.add_error("quantity", "Say how much.")
        return cleaned


@require_http_methods(["GET", "HEAD", "POST"])
@slow_page(Kind.BOOK)
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    """What a change would do (GET), and the change itself as it was previewed (POST)."""
    who = require(request, Scope.CORRECT)
    position = _position(pk)
    asked = request.POST if request.method == "POST" else request.GET
    form = CorrectionForm(asked if "change" in asked else None)
    if request.method == "POST" and form.is_valid():
        problem = _booked(request, position, form, who)
        if not problem:
            messages.info(request, "Booked by hand. It is listed below, and can be taken back there.")
            return redirect("position", pk=pk)
        position = _position(pk)
    else:
        problem = ""
    preview = None
    if form.is_bound and form.is_valid():
        preview, refused = _previewed(position, form)
        problem = problem or refused
    return render(request, "pages/correct.html", _context(request, position, form, preview, problem))


@require_POST
@slow_page(Kind.BOOK)
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an entry back that was made by hand, with a reason."""
    who, position = require(request, Scope.CORRECT), _position(pk)
    entry = Entry.objects.filter(
        pk=id_of(request.POST.get("entry", "")) or 0, account=position.account_id
    ).first()
    reason = _reason(request)
    if entry is None or not reason:
        messages.error(request, "Not taken back: say why." if entry else "That entry is not there.")
        return redirect("position", pk=pk)
    by = Actor(who, "page", current_trace_id(), reason)
    try:
        manual.take_back(venue_ref=entry.venue_ref, account=position.account, by=by, now=timezone.now())
    except (ManualRefusal, ingest.BatchRejection) as refused:
        messages.error(request, f"Not taken back: {shortened(str(refused))}.")
    else:
        messages.info(request, "Taken back: the book is as if it had not been booked.")
    return redirect("position", pk=pk)


def _position(pk: int) -> Position:
    found: Position | None = queries.board().filter(pk=pk).first()
    if found is None:
        raise Http404(f"no position {pk}")
    return found


def _change(position: Position, form: CorrectionForm) -> tuple[Change, Decimal]:
    if form.cleaned_data["change"] == "close":
        return Change.REDUCE, abs(position.quantity)
    return Change(form.cleaned_data["change"]), form.cleaned_data["quantity"]


def _previewed(position: Position, form: CorrectionForm) -> tuple[Preview | None, str]:
    change, quantity = _change(position, form)
    try:
        found = manual.preview(
            position=position.pk, change=change, quantity=quantity, price=form.cleaned_data["price"],
            now=timezone.now(),
        )  # fmt: skip
    except (ManualRefusal, ingest.BatchRejection) as refused:
        return None, shortened(str(refused))
    return found, ""


def _booked(request: HttpRequest, position: Position, form: CorrectionForm, who: str) -> str:
    """Book the change; return why it was not, or ""."""
    version, reference = id_of(request.POST.get("version", "")), request.POST.get("reference", "")
    reason = _reason(request)
    if not reason:
        return "say why: the reason is kept with the entry"
    if version is None or not _is_reference(reference):
        return CHANGED
    change, quantity = _change(position, form)
    book = manual.increase if change is Change.INCREASE else manual.reduce
    try:
        book(
            position=position.pk, quantity=quantity, price=form.cleaned_data["price"],
            by=Actor(who, "page", current_trace_id(), reason), now=timezone.now(),
            reference=reference, expected_version=version,
        )  # fmt: skip
    except ingest.StaleVersion:
        return CHANGED
    except (ManualRefusal, ingest.BatchRejection) as refused:
        return shortened(str(refused))
    return ""


def _is_reference(text: str) -> bool:
    try:
        return uuid.UUID(text).hex == text
    except ValueError:
        return False


def _reason(request: HttpRequest) -> str:
    """Return what somebody wrote as a reason; "" for nothing, or for what nobody could read later."""
    text = " ".join(request.POST.get("reason", "").split())
    try:
        return printable(shortened(text, to=1000))
    except ValueError:
        return ""


def _context(
    request: HttpRequest, position: Position, form: CorrectionForm, preview: Preview | None, problem: str
) -> dict[str, Any]:
    account, instrument = position.account, position.instrument
    return {
        "position": position,
        "name": display_name(instrument),
        "venue": "" if account.is_manual else venue_name(account.venue),
        "form": form,
        "problem": problem,
        "preview": preview,
        "lines": [] if preview is None else _lines(position, preview),
        "drift": None if preview is None else preview.after.quantity - preview.before.quantity,
        "reference": uuid.uuid4().hex,
        "reason": request.POST.get("reason", "")[:1000],
        "unit": instrument.base,
    }


def _lines(position: Position, preview: Preview) -> list[tuple[str, str, str, str]]:
    """Return (label, before, after, unit) of what changes."""
    step, tick = position.instrument.quantity_step, position.instrument.price_tick
    before, after = preview.before, preview.after
    unit, currency = position.instrument.base, position.pnl_currency
    sizes = [numbers.quantity(one.quantity, step) for one in (before, after)]
    prices = [numbers.price(one.entry_price, tick) for one in (before, after)]
    profits = [numbers.signed(one.realized_pnl) for one in (before, after)]
    rows = [
        (KINDS["quantity"], sizes[0], sizes[1], unit),
        (KINDS["entry_price"], prices[0], prices[1], ""),
        (KINDS["realized"], profits[0], profits[1], currency),
    ]
    return [row for row in rows if row[1] != row[2]]
