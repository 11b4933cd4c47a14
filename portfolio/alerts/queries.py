"""Reads of alerts for pages and API: only those of accounts that the caller may see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from portfolio.live.alert_frames import OF_NO_ACCOUNT
from portfolio.models import OPEN_STATES, Alert, AlertState, AlertTransition, Mute, Severity

OPEN, PAST = "open", "past"


def seen(*, accounts: frozenset[int] | None) -> QuerySet[Alert]:
    """Return the alerts that somebody may see who sees these accounts (None: all).

    Of those without an account, who sees only some accounts sees what concerns everybody.
    """
    rows = Alert.objects.select_related("account", "instrument", "case", "certificate", "inhibited_by")
    if accounts is None:
        return rows
    return rows.filter(Q(account__in=accounts) | Q(account__isnull=True, kind__in=OF_NO_ACCOUNT))


def matching(rows: QuerySet[Alert], *, state: str | None, **wanted: Any) -> QuerySet[Alert]:
    """Narrow alerts: `state` is one of theirs, "open" or "past"; others are fields (None: any)."""
    if state == OPEN:
        rows = rows.filter(state__in=OPEN_STATES)
    elif state == PAST:
        rows = rows.filter(state=AlertState.CLEARED)
    elif state:
        rows = rows.filter(state=state)
    return rows.filter(**{name: value for name, value in wanted.items() if value not in (None, "")})


def worst_first(rows: QuerySet[Alert]) -> QuerySet[Alert]:
    """Order alerts by severity, those of one severity the newest first."""
    ranks = [When(severity=severity, then=Value(rank)) for rank, severity in enumerate(Severity.values)]
    rank = Case(*ranks, default=Value(len(ranks)), output_field=IntegerField())
    return rows.order_by(rank, "-pk")


def banner(*, accounts: frozenset[int] | None) -> list[Alert]:
    """Return the critical alerts that nobody has acknowledged, the newest first, without explained ones."""
    rows = seen(accounts=accounts).filter(
        severity=Severity.CRITICAL, state=AlertState.RAISED, inhibited_by__isnull=True
    )
    return list(rows.order_by("-pk")[:50])


def transitions(alerts: list[int]) -> dict[int, list[AlertTransition]]:
    """Return what people were told of each of these alerts, in order."""
    found: dict[int, list[AlertTransition]] = {}
    for row in AlertTransition.objects.filter(alert__in=alerts).order_by("alert", "sequence"):
        found.setdefault(row.alert_id, []).append(row)
    return found


def mutes(*, accounts: frozenset[int] | None, now: datetime) -> QuerySet[Mute]:
    """Return the mutes that last and that the caller may see."""
    rows = Mute.objects.filter(until__gt=now, ended_at__isnull=True).select_related("account")
    if accounts is not None:
        rows = rows.filter(Q(account__in=accounts) | Q(account__isnull=True, kind__in=OF_NO_ACCOUNT))
    return rows


def plain(alert: Alert, *, told: list[AlertTransition] | None = None) -> Mapping[str, Any]:
    """Return an alert as the API answers it; `told` adds its transitions."""
    facts: dict[str, Any] = {
        name: getattr(alert, name)
        for name in (
            "kind", "subject", "severity", "state", "title", "summary", "numbers", "usd", "raised_at",
            "judged_at", "unjudged_since", "flapping_since", "told_at", "acknowledged_at", "acknowledged_by",
            "cleared_at", "healed",
        )
    }  # fmt: skip
    facts |= {
        "id": alert.pk,
        "account_id": alert.account_id,
        "account": alert.account.label if alert.account else None,
        "instrument": alert.instrument.symbol if alert.instrument else None,
        "position_id": alert.position_id,
        "case_id": alert.case_id,
        "certificate": alert.certificate_id,
        "explained_by": alert.inhibited_by_id,
    }
    if told is not None:
        facts["transitions"] = [
            {
                "sequence": one.sequence, "kind": one.kind, "at": one.at, "who": one.who,
                "severity": one.severity, "text": one.text, "usd": one.usd, "numbers": one.numbers,
            }
            for one in told
        ]  # fmt: skip
    return facts
