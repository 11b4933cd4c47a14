"""Actions of people on a case: a plan is booked or taken back between two runs, and the next one judges it.

Note [Between runs]: a run compares the book of a moment with a report of that moment. What is booked then
is in one and not in the other, and a plan made meanwhile has one side of each. So an action takes the turn of
a run: it waits for the one under way, keeps others out while it plans and books, and then is that run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

from core.storage import database
from reconciliation.cases import resolve
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import plan
from reconciliation.models import Case, Correction, Run, Trigger
from reconciliation.runs import runs
from reconciliation.runs.run_queue import begin_in_turn

Pause = Callable[[float], None]


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
    pause: Pause = database.rest,
) -> Correction:
    """Apply an action as it was previewed, read the venue again and keep the outcome.

    `token` is that of the preview: another plan by now is refused (code `changed`). Another run under way is
    waited for; one that does not end refuses the action (code `run_under_way`). Raises plans.PlanRefusal and
    ingest.BatchRejection.
    """

    def apply() -> Correction:
        case.refresh_from_db()
        planned = plan(case=case, action=action, price=price)
        if token is not None and token != planned.token:
            raise PlanRefusal("changed", "the case changed since the preview: look at the new one")
        return resolve.apply(planned=planned, who=who, reason=reason, now=now, trace_id=trace_id)

    if action in resolve.WORDLESS:
        correction = apply()
    else:
        with _turn(case, now, trace_id, pause) as run:
            correction = apply()
        done = runs.carry_out(run=run, now=run.started_at, pause=pause)
        word = resolve.outcome(case=case, read_as_of=done.as_of)
        resolve.conclude(correction=correction, outcome=word)
    case.refresh_from_db()
    return correction


def undo(
    *,
    correction: Correction,
    who: str,
    reason: str,
    now: datetime,
    trace_id: str,
    pause: Pause = database.rest,
) -> None:
    """Take a correction back and read the venue again. Raises PlanRefusal."""
    with _turn(correction.case, now, trace_id, pause) as run:
        resolve.undo(correction=correction, who=who, reason=reason, now=now, trace_id=trace_id)
    runs.carry_out(run=run, now=run.started_at, pause=pause)


@contextmanager
def _turn(case: Case, now: datetime, trace_id: str, pause: Pause) -> Iterator[Run]:
    """Keep other runs of the case's account out. See Note [Between runs]. Raises PlanRefusal."""
    try:
        run = begin_in_turn(
            account=case.account, now=now, trace_id=trace_id, trigger=Trigger.TARGETED, pause=pause
        )
    except runs.RunConflict:
        raise PlanRefusal(
            "run_under_way", "the account is being compared with its venue: confirm again when that is over"
        ) from None
    try:
        yield run
    except BaseException:
        runs.withdraw(run=run)
        raise
