"""What is left to set up: an empty product explains itself, a new desk sees what it forgot. Reads only."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from core.security.scopes import Scope, scopes_of_user
from portfolio.models import Subscription
from portfolio.notify import email
from positions.queries import accounts_in_use
from reconciliation.models import Run


class Step(NamedTuple):
    """One step; `is_done` None: nobody but a person knows. `url` "": nothing here does it."""

    title: str
    text: str
    is_done: bool | None
    url: str = ""
    act: str = ""


def steps() -> list[Step]:
    """Return the steps in their order."""
    return [
        Step(
            "Connect an account",
            "A wallet address, or a key that only reads. It is tested before anything is saved.",
            accounts_in_use().exists(),
            reverse("account-connect"),
            "Connect",
        ),
        Step(
            "See the first proof",
            "Within a minute of connecting, the book is compared with the venue for the first time.",
            Run.objects.filter(complete=True).exists(),
            reverse("reconciliation"),
            "Look",
        ),
        Step(
            "Let somebody hear of trouble",
            "A rule says which alerts reach whom; without one, a drift is seen only by who looks here.",
            Subscription.objects.filter(ended_at__isnull=True).exists(),
            reverse("alert-subscriptions"),
            "Subscribe",
        ),
        Step(
            "Let mails leave this machine",
            "EMAIL_URL names a mail server (docs/e-mail.md). Until then mails wait in a list here.",
            email.leaves_the_house(),
        ),
        Step(
            "Give a second person a login",
            "So that somebody can act when the first one sleeps; roles are viewer, trader and admin.",
            User.objects.filter(is_active=True).count() > 1,
            reverse("admin:auth_user_add"),
            "Add",
        ),
        Step(
            "Back up Postgres",
            "What cannot be read again is in it; keep CREDENTIALS_KEYS_FILE apart. Not seen from here.",
            None,
        ),
    ]


@require_safe
def first_steps(request: HttpRequest) -> HttpResponse:
    """What is left to set up, for who may do it."""
    return render(request, "pages/first_steps.html", {"steps": steps(), "may_manage": may_manage(request)})


def may_manage(request: HttpRequest) -> bool:
    """Return whether this person may connect accounts."""
    return Scope.ADMIN in scopes_of_user(request.user)
