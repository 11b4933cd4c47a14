"""A run for a caller that waits: it begins when the one under way is over, and not for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from core.storage import database
from positions.models import Account
from reconciliation.models import Run
from reconciliation.runs import runs

PATIENCE_SECONDS = 20.0
_LOOKS_EVERY = 0.25


def reconcile_in_turn(
    *,
    account: Account,
    now: datetime,
    trace_id: str,
    trigger: str,
    pause: Callable[[float], None] = database.rest,
    patience: float = PATIENCE_SECONDS,
    corrects: bool = True,
) -> Run:
    """Reconcile an account now, or when the run that is under way is over.

    Raises runs.RunConflict after `patience` seconds.

    A run that began earlier may have read the venue before what the caller wants to know: so it gets its own.
    """
    run = begin_in_turn(
        account=account, now=now, trace_id=trace_id, trigger=trigger, pause=pause, patience=patience
    )
    return runs.carry_out(run=run, now=run.started_at, pause=pause, corrects=corrects)


def begin_in_turn(
    *,
    account: Account,
    now: datetime,
    trace_id: str,
    trigger: str,
    pause: Callable[[float], None] = database.rest,
    patience: float = PATIENCE_SECONDS,
) -> Run:
    """Register a run as soon as none of the account is under way.

    Raises runs.RunConflict after `patience` seconds.
    """
    waited = 0.0
    while True:
        at = now + timedelta(seconds=waited)
        try:
            return runs.begin(account=account, now=at, trigger=trigger, trace_id=trace_id)
        except runs.RunConflict:
            if waited >= patience:
                raise
            pause(_LOOKS_EVERY)
            waited += _LOOKS_EVERY
