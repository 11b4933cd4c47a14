"""What people do about a case, with the venue's word on it: apply a plan, read the venue again, conclude."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from reconciliation import resolve, runs
from reconciliation.models import Case, Correction, Run, Status, Trigger, Verdict
from reconciliation.plans import Refused, plan


def act(
    *,
    case: Case,
    action: str,
    who: str,
    reason: str,
    now: datetime,
    trace_id: str,
    token: str | None = None,
    price: Decimal | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Correction:
    """Apply an action as it was previewed, read the venue again and keep the outcome.

    `token` is that of the preview: another plan by now is refused (code `changed`). Raises plans.Refused,
    runs.Busy and ingest.Rejected.
    """
    planned = plan(case=case, action=action, price=price)
    if token is not None and token != planned.token:
        raise Refused("changed", "the case changed since the preview: look at the new one")
    correction = resolve.apply(planned=planned, who=who, reason=reason, now=now, trace_id=trace_id)
    if action not in ("dismiss", "keep_book"):
        run = runs.reconcile(
            account=case.account, now=now, trace_id=trace_id, trigger=Trigger.TARGETED, pause=pause
        )
        resolve.conclude(correction=correction, outcome=outcome(case=case, run=run))
    case.refresh_from_db()
    return correction


def outcome(*, case: Case, run: Run) -> str:
    """Return what a run says of a case's subject: agrees, differs, or unknown."""
    verdict = Verdict.objects.get(
        account=case.account,
        instrument=case.instrument_id,
        leg=case.leg,
        wallet=case.wallet,
        asset=case.asset,
    )
    if run.as_of is None or verdict.seen_as_of is None or verdict.seen_as_of < run.as_of:
        return "unknown"
    if verdict.suspected:
        return "differs"
    return "agrees" if verdict.status == Status.SYNCED else "unknown"
