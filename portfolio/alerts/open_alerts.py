"""Reads the alerts that are open as plain values, locked until they are written, and who is to be quiet.

Most evaluations change nothing: rows become instances only where something is written (`store`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import Count

from portfolio.alerts.conditions import AlertKey, OpenAlert
from portfolio.alerts.terms import FLAP_WINDOW
from portfolio.models import OPEN_STATES, Alert, AlertKind, AlertState, Mute

_FIELDS = (
    "id", "kind", "subject", "severity", "title", "measure", "raised_at", "judged_at", "unjudged_since",
    "unjudged_told_at", "recovering_since", "flapping_since", "waits_until", "told_at", "told_measure",
    "told_severity", "urgent_since", "escalation",
)  # fmt: skip
_OPEN = f"""
SELECT {", ".join(_FIELDS)},
       account_id, state, numbers, inhibited_by_id
FROM portfolio_alert WHERE state = ANY(%s) AND kind <> %s ORDER BY id FOR UPDATE
"""
_MUTES = """
SELECT * FROM portfolio_mute WHERE created_at <= %s AND until > %s AND ended_at IS NULL ORDER BY id
"""


def read() -> dict[AlertKey, OpenAlert]:
    """Return the open alerts but tests, with the causes that explain them; they stay locked until written.

    Raises DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [[str(state) for state in OPEN_STATES], str(AlertKind.TEST)])
        rows = cursor.fetchall()
    keys = {row[0]: AlertKey(row[1], row[2]) for row in rows}
    keys |= _others({row[-1] for row in rows if row[-1] is not None} - keys.keys())
    return {keys[row[0]]: _open(row, keys) for row in rows}


def _others(ids: Collection[int]) -> dict[int, AlertKey]:
    """Return what causes that are over are about: an open alert that one still explains is told so next."""
    rows = Alert.objects.filter(pk__in=ids).values_list("pk", "kind", "subject") if ids else ()
    return {pk: AlertKey(kind, subject) for pk, kind, subject in rows}


def _open(row: tuple[Any, ...], keys: Mapping[int, AlertKey]) -> OpenAlert:
    account, state, numbers, cause = row[len(_FIELDS) :]
    return OpenAlert(
        **dict(zip(_FIELDS, row, strict=False)),
        account=account,
        acknowledged=state == AlertState.ACKNOWLEDGED,
        numbers=orjson.loads(numbers),
        inhibited_by=None if cause is None else keys[cause],
    )


def recently_cleared(*, of: Collection[AlertKey], now: datetime) -> dict[AlertKey, int]:
    """Return how often alerts about these were raised, told and cleared lately."""
    if not of:
        return {}
    rows = Alert.objects.filter(
        raised_at__gt=now - FLAP_WINDOW, state=AlertState.CLEARED, told_at__isnull=False
    ).order_by()
    counted = rows.values_list("kind", "subject").annotate(Count("pk"))
    found = {AlertKey(kind, subject): number for kind, subject, number in counted}
    return {key: found[key] for key in of if key in found}


def mutes(*, now: datetime) -> list[Mute]:
    """Return the mutes that last."""
    return list(Mute.objects.raw(_MUTES, [now, now]))
