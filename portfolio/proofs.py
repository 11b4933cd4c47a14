"""What each position's proof is now, in the interface's words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from positions.models import Position
from reconciliation.models import Status, Verdict

LABELS: dict[str, str] = dict(Status.choices)
PROOF_INTERVALS = 3  # a proof older than this many intervals proves nothing any more


def of(positions: Sequence[Position], *, now: datetime) -> dict[int, str]:
    """Return {position id: PENDING, SYNCED, DRIFT or FAILED}, in one query; never reconciled is PENDING."""
    verdicts = Verdict.objects.filter(account__in={position.account_id for position in positions})
    known = {(row.account_id, row.instrument_id, row.leg): row for row in verdicts}
    return {
        position.pk: _proof(known.get((position.account_id, position.instrument_id, position.leg)), now=now)
        for position in positions
    }


def _proof(verdict: Verdict | None, *, now: datetime) -> str:
    if verdict is None:
        return Status.PENDING
    oldest = now - timedelta(seconds=PROOF_INTERVALS * settings.RECONCILIATION_INTERVAL)
    if verdict.status == Status.SYNCED and (verdict.as_of is None or verdict.as_of < oldest):
        return Status.PENDING
    return verdict.status
