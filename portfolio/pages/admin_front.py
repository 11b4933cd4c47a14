"""The admin's front page: cards that lead on, each with what waits there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from core.models import ApiKey
from core.security.scopes import Scope, scopes_of_user
from positions import queries
from positions.models import Account, QuarantinedEntry
from positions.queries import accounts_in_use
from reconciliation.models import Case


@dataclass(frozen=True, slots=True)
class AdminCard:
    """One card of the front page. `count` is how much is there; `waits`: a person must look at it."""

    title: str
    url: str
    icon: str
    count: int
    text: str
    waits: bool = False


def front(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the cards to the front page's context (UNFOLD's DASHBOARD_CALLBACK)."""
    return context | {"cards": _cards(request)}


def _cards(request: HttpRequest) -> list[AdminCard]:
    cases = Case.objects.filter(closed_at__isnull=True).count()
    refused = QuarantinedEntry.objects.filter(settled_at__isnull=True).count()
    quarantine = reverse("admin:positions_quarantinedentry_changelist") + "?settled_at__isempty=1"
    paused = Account.objects.filter(paused_until__gt=timezone.now()).count()
    cards = [
        AdminCard(
            "Board", reverse("board"), "table_rows", queries.open_positions().count(), "open positions, live"
        ),
        AdminCard(
            "Cases",
            reverse("reconciliation"),
            "rule",
            cases,
            "open differences between book and venue" if cases else "no open difference",
            waits=bool(cases),
        ),
        AdminCard(
            "Quarantine",
            quarantine,
            "report",
            refused,
            "facts that were not booked and need a decision" if refused else "every fact was booked",
            waits=bool(refused),
        ),
        AdminCard(
            "Accounts",
            reverse("admin:positions_account_changelist"),
            "account_balance",
            accounts_in_use(with_manual=True).count(),
            f"in use, {paused} paused" if paused else "in use",
            waits=bool(paused),
        ),
    ]
    if Scope.ADMIN in scopes_of_user(request.user):
        keys = ApiKey.objects.filter(revoked_at__isnull=True).count()
        cards.append(
            AdminCard("API keys", reverse("admin:core_apikey_changelist"), "key", keys, "not revoked")
        )
    return cards
