"""Connecting an account: choose a venue, give what it needs, see a test of it, and only then save it.

Between the test and the saving the keys are held by the page as ciphertext, signed and good for ten minutes:
nothing is stored, and no key comes back in readable form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from core.http.inputs import shortened
from core.http.slow_work import Kind, slow_page
from core.security.scopes import Scope
from core.signin.login import confirmation_url, is_confirmed
from positions.labels import CREDENTIAL_FIELDS, venue_name
from positions.models import Account
from positions.sync import connections, trials
from positions.sync.connections import AccountRefusal, CredentialsUnreadable
from positions.venues.base import Credentials, Environment, Unsupported, VenueError
from positions.venues.checkup import Check, Outcome
from positions.venues.keys.vetting import TRADE, UNKNOWN
from positions.venues.registry import CORRECTED, VENUES
from reconciliation.pages.views import require

SALT, GOOD_FOR_SECONDS = "plumbline.connect", 600
LEVELS = {Outcome.GOOD: "ok", Outcome.WARNING: "watch", Outcome.BAD: "act", Outcome.NOT_THERE: ""}
ACCEPTED = {
    UNKNOWN: "The venue does not say what this key may do: I made sure that it only reads",
    TRADE: "This key can trade, and I want it used all the same",
}


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check as the table shows it."""

    name: str
    outcome: Outcome
    detail: str

    @property
    def level(self) -> str:
        """The chip's level."""
        return LEVELS[self.outcome]


class ConnectionForm(forms.Form):
    """What one venue needs. Credentials are never shown again."""

    label = forms.CharField(max_length=100, help_text="How you call this account: main, hedge, treasury.")
    world = forms.ChoiceField(label="Network")

    def __init__(self, venue: str, needed: tuple[str, ...], asked: Any = None) -> None:
        super().__init__(asked, auto_id="connect-%s")
        self.venue, self.needed = venue, needed
        world = self.fields["world"]
        assert isinstance(world, forms.ChoiceField)
        world.choices = _worlds(venue)
        for name in needed:
            label, note = CREDENTIAL_FIELDS[name]
            widget = (
                forms.TextInput()
                if name == trials.ADDRESS
                else forms.PasswordInput(attrs={"autocomplete": "off"})
            )
            self.fields[name] = forms.CharField(label=label, help_text=note, max_length=4000, widget=widget)
        if needed != (trials.ADDRESS,):
            for name, text in ACCEPTED.items():
                self.fields[name] = forms.BooleanField(label=text, required=False)

    def account(self) -> Account:
        """Return the account as it would be stored. Raises AccountRefusal."""
        given = self.cleaned_data
        environment, _, base_url = given["world"].partition("|")
        keys = {name: given[name] for name in self.needed if name != trials.ADDRESS}
        return connections.unsaved_account(
            label=given["label"], venue=self.venue, environment=Environment(environment), base_url=base_url,
            address=given.get(trials.ADDRESS, ""), credentials=Credentials(**keys),
            options={"trading": "off"} | {name: True for name in ACCEPTED if given.get(name)},
            now=timezone.now(),
        )  # fmt: skip


def _worlds(venue: str) -> list[tuple[str, str]]:
    """Return the networks of a venue: its own two, and simulated ones that accounts are on already."""
    simulated = Account.objects.filter(venue=venue).exclude(base_url="").order_by("base_url")
    urls = simulated.values_list("base_url", flat=True).distinct()
    return [
        *[(f"simulated|{url}", f"Simulated, at {url}") for url in urls],
        ("live|", "Live"),
        ("testnet|", "Testnet"),
    ]


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@slow_page(Kind.VENUE)
def connect(request: HttpRequest) -> HttpResponse:
    """Choose a venue (GET), test what was given (POST), save what was tested (POST with its token)."""
    who = require(request, Scope.ADMIN)
    if not is_confirmed(request):
        return redirect(confirmation_url(request))
    if request.method == "POST" and "token" in request.POST:
        return _saved(request, who)
    venue = (request.POST if request.method == "POST" else request.GET).get("venue", "")
    if not venue:
        return _page(request)
    try:
        needed = trials.needed_fields(shortened(venue, to=40))
    except VenueError as error:
        return _page(request, problem=str(error))
    form = ConnectionForm(venue, needed, request.POST if request.method == "POST" else None)
    if not (form.is_bound and form.is_valid()):
        return _page(request, form=form)
    return _tested(request, form)


def _tested(request: HttpRequest, form: ConnectionForm) -> HttpResponse:
    try:
        account = form.account()
        checks = trials.try_connection(account)
    except (AccountRefusal, Unsupported) as refused:
        return _page(request, form=form, problem=str(refused))
    bad = [row.name for row in checks if row.outcome is Outcome.BAD]
    may_save = not {"permissions", "connection", "positions", "balances"} & set(bad)
    return _page(request, form=form, checks=checks, token=_token(account) if may_save else "")


def _token(account: Account) -> str:
    fields = ("label", "venue", "environment", "base_url", "address", "credentials", "options")
    return signing.dumps({name: getattr(account, name) for name in fields}, salt=SALT, compress=True)


def _saved(request: HttpRequest, who: str) -> HttpResponse:
    try:
        given = signing.loads(request.POST["token"], salt=SALT, max_age=GOOD_FOR_SECONDS)
    except signing.BadSignature:
        return _page(request, problem="the test is more than ten minutes old: make it again")
    try:
        account = connections.add_account(
            label=given["label"], venue=given["venue"], environment=Environment(given["environment"]),
            base_url=given["base_url"], address=given["address"], options=given["options"],
            credentials=connections.decrypt(given["credentials"], account=given["label"]),
            now=timezone.now(), who=who,
        )  # fmt: skip
    except (AccountRefusal, CredentialsUnreadable) as refused:
        return _page(request, problem=str(refused))
    said = f"{account.label} is connected: what it holds appears within seconds, its history after that."
    messages.info(request, said)
    for warning in account.key_warnings:
        messages.warning(request, warning)
    return redirect("account", pk=account.pk)


def _page(
    request: HttpRequest,
    *,
    form: ConnectionForm | None = None,
    checks: list[Check] | None = None,
    token: str = "",
    problem: str = "",
) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "venue": "" if form is None else form.venue,
        "venue_name": "" if form is None else venue_name(form.venue),
        "own": [(name, venue_name(name)) for name in VENUES],
        "others": [(name, venue_name(name)) for name in CORRECTED],
        "checks": [CheckLine(row.name, row.outcome, row.detail) for row in checks or ()],
        "token": token,
        "problem": shortened(problem),
    }
    return render(request, "pages/connect.html", context)
