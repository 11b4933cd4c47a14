"""Actions of people on a case: a plan is applied, the venue is read again, and the outcome is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from reconciliation.cases import resolve
from reconciliation.cases.plans import PlanRefusal, plan
from reconciliation.models import Case, Correction, Trigger
from reconciliation.runs import runs
from reconciliation.runs.run_queue import reconcile_in_turn


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

    `token` is that of the preview: another plan by now is refused (code `changed`). Another run under way is
    waited for; one that does not end leaves the outcome unknown. Raises plans.PlanRefusal and
    ingest.BatchRejection.
    """
    planned = plan(case=case, action=action, price=price)
    if token is not None and token != planned.token:
        raise PlanRefusal("changed", "the case changed since the preview: look at the new one")
    correction = resolve.apply(planned=planned, who=who, reason=reason, now=now, trace_id=trace_id)
    if action not in resolve.WORDLESS:
        resolve.conclude(correction=correction, outcome=_word(case, now, trace_id, pause))
    case.refresh_from_db()
    return correction


def _word(case: Case, now: datetime, trace_id: str, pause: Callable[[float], None]) -> str:
    try:
        run = reconcile_in_turn(
            account=case.account, now=now, trace_id=trace_id, trigger=Trigger.TARGETED, pause=pause
        )
    except runs.RunConflict:
        return "unknown"
    return resolve.outcome(case=case, read_as_of=run.as_of)
