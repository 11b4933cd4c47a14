"""Alerts as frames of the live log: each complete, so that a repeat is harmless."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from portfolio.models import OPEN_STATES, Alert
from positions import live
from positions.models import Account

CLEARED_WITHIN = timedelta(minutes=10)
AT_MOST = 200


def publish(alerts: Iterable[Alert], *, now: datetime) -> None:
    """Append how these alerts stand to the live log. Raises redis.RedisError."""
    rows = list(alerts)
    labels = dict(
        Account.objects.filter(pk__in={row.account_id for row in rows}).values_list("pk", "label")
        if rows
        else ()
    )
    for row in rows:
        label = None if row.account_id is None else labels.get(row.account_id)
        live.append(kind="alert", account=row.account_id, frame=frame(row, account=label, now=now))


def publish_again(*, but: Collection[int], now: datetime) -> None:
    """Append all that is open or was cleared lately, `but` some: who was to publish it may have died."""
    lately = Q(state__in=OPEN_STATES) | Q(cleared_at__gt=now - CLEARED_WITHIN)
    publish(Alert.objects.filter(lately).exclude(pk__in=but).order_by("pk")[:AT_MOST], now=now)


def frame(alert: Alert, *, account: str | None, now: datetime) -> dict[str, Any]:
    """Return an alert in JSON types, as the stream and the pages show it."""
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "kind_label": alert.get_kind_display(),
        "severity": alert.severity,
        "state": alert.state,
        "title": alert.title,
        "summary": alert.healed if alert.cleared_at else alert.summary,
        "account_id": alert.account_id,
        "account": account,
        "told": alert.told_at is not None,
        "explained_by": alert.inhibited_by_id,
        "raised_at": alert.raised_at.isoformat(),
        "unjudged_since": _text(alert.unjudged_since),
        "acknowledged_at": _text(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "cleared_at": _text(alert.cleared_at),
        "at": now.isoformat(),
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
