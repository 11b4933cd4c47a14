"""Validation of one position against its venue, while the caller waits.

It is a run of its own: it reads state and facts, confirms a difference by a second report, and corrects what
policy allows if the caller wants that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.storage import database
from positions.models import Account, InstrumentKind, Position
from positions.sync import evidence
from reconciliation.cases import resolve
from reconciliation.models import Case, Correction, Mode, Run, Trigger, VerdictStatus
from reconciliation.queries import verdicts_about
from reconciliation.runs import run_queue, runs


@dataclass(frozen=True, slots=True)
class RemainingDifference:
    """A difference that stays, and why it was not corrected. `case` None: none is open for it."""

    case: Case | None
    why: str


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of a validation. `is_valid` None: unknown now; `error_message` has the reason.

    `differences` as in a certificate: {kind, book, venue, drift}; those without drift are notes. `fixed` are
    the corrections that this call made, `remaining` what stays.
    """

    is_valid: bool | None
    error_message: str | None
    run: Run | None
    reading: evidence.EvidenceGrade
    differences: list[dict[str, Any]] = field(default_factory=list)
    fixed: list[Correction] = field(default_factory=list)
    remaining: list[RemainingDifference] = field(default_factory=list)


def validate(
    *,
    position: Position,
    fix: bool,
    now: datetime,
    trace_id: str,
    pause: Callable[[float], None] = database.rest,
    patience: float = run_queue.PATIENCE_SECONDS,
) -> Validation:
    """Compare a position with its venue now. Must run outside a transaction: it reads the venue.

    A venue that does not answer, or does not cover the leg, makes it neither valid nor invalid. A position
    that ended is valid when the venue holds as much of it as the book does now.
    """
    account = position.account
    reading = evidence.of_leg(account=account, instrument=position.instrument)
    if said := _not_now(account, now):
        return Validation(None, said, None, reading)
    try:
        run = run_queue.reconcile_in_turn(
            account=account, now=now, trace_id=trace_id, trigger=Trigger.DEMAND,
            pause=pause, patience=patience, corrects=fix,
        )  # fmt: skip
    except runs.RunConflict as busy:
        return Validation(None, f"{busy}: ask again in a moment", busy.run, reading)
    if run.as_of is None:
        return Validation(None, f"the venue could not be read: {run.problem}", run, reading)
    lines = _lines(run, position)
    differences = [found for line in lines for found in line["differences"]]
    valid, problem = _judged(lines, position, run)
    return Validation(
        is_valid=valid,
        error_message=problem,
        run=run,
        reading=reading,
        differences=differences,
        fixed=list(Correction.objects.filter(case__account=account, trace_id=trace_id).order_by("pk")),
        remaining=[] if valid else _remaining(position, differences, fix=fix),
    )


def _not_now(account: Account, now: datetime) -> str:
    if account.is_manual:
        return "this account is kept by hand: there is no venue to ask"
    if not account.enabled:
        return f"{account.label} is switched off"
    if account.paused_until is not None and account.paused_until > now:
        return f"{account.label} is paused until {account.paused_until.isoformat()}: {account.pause_reason}"
    return ""


def _lines(run: Run, position: Position) -> list[dict[str, Any]]:
    """Return the certificate's lines of a position: its leg, or the wallets that hold its coin."""
    instrument = position.instrument
    if instrument.kind == InstrumentKind.ASSET:
        return [one for one in run.balances if one["asset"] == instrument.base]
    key = (instrument.venue_symbol, position.leg)
    return [one for one in run.legs if (one["symbol"], one["leg"]) == key]


def _judged(lines: list[dict[str, Any]], position: Position, run: Run) -> tuple[bool | None, str | None]:
    drifts = [found for line in lines for found in line["differences"] if found["drift"]]
    if not lines or not all(line["observed"] for line in lines):
        return None, "the venue's report did not cover this position" + (
            f": {run.problem}" if run.problem else ""
        )
    if drifts:
        said = "; ".join(_words(one) for one in drifts)
        confirmed = (
            verdicts_about(position).filter(status__in=[VerdictStatus.DRIFT, VerdictStatus.FAILED]).exists()
        )
        return (False, said) if confirmed else (None, f"{said}: not confirmed yet, a fill may be on its way")
    if not all(line["proves"] for line in lines):
        rows = ", ".join(name or "some" for name in run.withheld) or "an amount in the book"
        return None, f"no difference, but not proven: what could not be read is {rows}"
    return True, None


def _words(found: dict[str, Any]) -> str:
    what = found["kind"].replace("_", " ")
    return f"{what}: book says {found['book'] or 'nothing'}, venue says {found['venue'] or 'nothing'}"


def cases_of(position: Position) -> list[Case]:
    """Return the open cases about a position."""
    rows = Case.objects.filter(account=position.account, closed_at__isnull=True).order_by("pk")
    if position.instrument.kind == InstrumentKind.ASSET:
        rows = rows.filter(instrument=None, asset=position.instrument.base)
    else:
        rows = rows.filter(instrument=position.instrument, leg=position.leg)
    return list(rows.select_related("account", "instrument"))


def _remaining(
    position: Position, differences: list[dict[str, Any]], *, fix: bool
) -> list[RemainingDifference]:
    found = [RemainingDifference(case, _why(case, fix=fix)) for case in cases_of(position)]
    if not found and any(one["drift"] for one in differences):
        return [RemainingDifference(None, "not confirmed yet: it is looked at again with the next run")]
    return found


def _why(case: Case, *, fix: bool) -> str:
    policy = resolve.policy_of(account=case.account, family=case.family)
    if policy is None or policy.mode == Mode.ALERT:
        return "the policy is to alert only: act on the case"
    if policy.halted_at is not None:
        return f"automation is halted since {policy.halted_at.isoformat()}: set the policy again"
    if not fix:
        return "fix_discrepancies was not asked for"
    last = case.events.order_by("-pk").first()
    if last is not None and last.kind == "not_automatic":
        return last.text
    return "still different after what policy allows"
