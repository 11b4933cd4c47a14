"""What is done about a case: a plan booked, kept with its reason, taken back; and what policy does by itself.

Every correction is one or more entries under the account's own references, so that it shows in the ledger,
counts as an adjustment or an inferred fill in P&L, and can be busted. Nothing here trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from positions import ingest
from positions.book import Entry, Kind
from positions.models import Account
from positions.models import Entry as Row
from reconciliation import cases
from reconciliation.compare import Family
from reconciliation.models import Case, CaseState, Correction, Mode, Policy
from reconciliation.plans import Plan, Refused, plan

AUTOMATIC = "policy"


def apply(
    *, planned: Plan, who: str, reason: str, now: datetime, trace_id: str, automatic: bool = False
) -> Correction:
    """Book a plan and keep the correction. Whether it helped says the venue, when it is read again.

    Raises Refused (no reason given; settled meanwhile) and ingest.Rejected.
    """
    if not reason:
        raise Refused("no_reason", "say why: the reason is kept with the correction")
    case = planned.case
    if case.is_settled:
        raise Refused("settled", f"case {case.pk} was settled meanwhile")
    # What is meant is kept before it is booked: a crash in between leaves a correction without an outcome.
    correction = Correction.objects.create(
        case=case,
        action=planned.action,
        automatic=automatic,
        who=who,
        reason=reason,
        entries=[entry.venue_ref for entry in planned.entries],
        preview=planned.told(),
        usd=planned.usd,
        applied_at=now,
        trace_id=trace_id,
    )
    try:
        _book(case.account, planned.entries, who, reason, now, trace_id)
    except ingest.Rejected:
        conclude(correction=correction, outcome="refused")
        raise
    cases.note(case=case, kind="applied", who=who, now=now, text=reason, data=planned.told())
    _move_after(case, planned.action, who=who, reason=reason, now=now)
    return correction


def _move_after(case: Case, action: str, *, who: str, reason: str, now: datetime) -> None:
    if action == "dismiss":
        cases.move(case=case, to=CaseState.DISMISSED, who=who, now=now, text=reason)
    elif case.state == CaseState.OPEN:
        cases.move(case=case, to=CaseState.ACKNOWLEDGED, who=who, now=now, text=reason)


def undo(*, correction: Correction, who: str, reason: str, now: datetime, trace_id: str) -> None:
    """Take a correction back: bust what it booked, so that the book is as it was. Raises Refused."""
    if correction.reversed_at is not None:
        raise Refused("reversed", "this correction was taken back before")
    if not correction.entries:
        raise Refused("nothing_booked", "this action booked nothing")
    account = correction.case.account
    booked = {
        row.venue_ref: row for row in Row.objects.filter(account=account, venue_ref__in=correction.entries)
    }
    if any(booked[ref].kind == "bust" for ref in correction.entries):
        raise Refused("is_a_reversal", "what this reversed is booked again by hand, not by undoing")
    entries = [
        Entry(
            kind=Kind.BUST,
            venue_ref=f"undo:{ref}",
            time=now,
            target=ref,
            leg=None,
            instrument=row.instrument.venue_symbol if row.instrument else None,
        )
        for ref, row in booked.items()
    ]
    _book(account, entries, who, reason, now, trace_id)
    Correction.objects.filter(pk=correction.pk).update(reversed_at=now)
    cases.note(case=correction.case, kind="reversed", who=who, now=now, text=reason)
    correction.refresh_from_db()


def _book(
    account: Account, entries: Sequence[Entry], who: str, reason: str, now: datetime, trace_id: str
) -> None:
    if entries:
        ingest.record(
            account=account,
            entries=entries,
            source="reconciliation",
            trace_id=trace_id,
            now=now,
            on_error="reject",
            who=who,
            reason=reason,
        )


def conclude(*, correction: Correction, outcome: str) -> None:
    """Keep what the venue's word, read again after a correction, says of it."""
    Correction.objects.filter(pk=correction.pk).update(outcome=outcome)
    correction.outcome = outcome


# By themselves ----------------------------------------------------------------------------------------------


def automatic(*, found: Sequence[Case], now: datetime, trace_id: str) -> list[Correction]:
    """Apply what policy allows for these cases; more than the limit an hour halts it."""
    done = []
    for case in found:
        policy = policy_of(account=case.account, family=case.family)
        if policy is None or policy.mode == Mode.ALERT or policy.halted_at is not None:
            continue
        if case.corrections.filter(reversed_at__isnull=True).exists():
            continue
        if case.family == Family.CASH and _sizes_off(case.account):
            continue  # the missing fill moved this cash: what is left after it is judged by the next report
        action = "adopt_venue" if policy.mode == Mode.ADOPT else "book_adjustment"
        try:
            planned = plan(case=case, action=action)
        except Refused as refusal:
            cases.note(case=case, kind="not_automatic", who=AUTOMATIC, now=now, text=str(refusal))
            continue
        if not _material(policy, planned, case, now):
            continue
        if _last_hour(case.account, now) >= settings.RECONCILIATION_AUTOMATIC_PER_HOUR:
            Policy.objects.filter(pk=policy.pk).update(halted_at=now)
            cases.note(case=case, kind="halted", who=AUTOMATIC, now=now, text="too many in an hour")
            continue
        reason = f"policy {policy.mode}"
        done.append(
            apply(planned=planned, who=AUTOMATIC, reason=reason, now=now, trace_id=trace_id, automatic=True)
        )
    return done


def _material(policy: Policy, planned: Plan, case: Case, now: datetime) -> bool:
    """Whether it is small enough to be done without asking; only ADOPT does without a limit."""
    limit = policy.materiality_usd
    unlimited = limit is None and policy.mode == Mode.ADOPT
    allowed = unlimited or (limit is not None and planned.usd is not None and planned.usd <= limit)
    if not allowed:
        cases.note(case=case, kind="not_automatic", who=AUTOMATIC, now=now, text="above the materiality")
    return allowed


def _sizes_off(account: Account) -> bool:
    return Case.objects.filter(account=account, closed_at__isnull=True, family=Family.SIZE).exists()


def _last_hour(account: Account, now: datetime) -> int:
    recent = Correction.objects.filter(case__account=account, automatic=True)
    return recent.filter(applied_at__gt=now - timedelta(hours=1)).count()


def policy_of(*, account: Account, family: str) -> Policy | None:
    """Return the account's policy for a family, else the one for all; None is alert only."""
    own = Policy.objects.filter(account=account, family=family).first()
    return own or Policy.objects.filter(account__isnull=True, family=family).first()


def set_policy(
    *, account: Account | None, family: str, mode: str, materiality_usd: Decimal | None = None
) -> Policy:
    """Say what may be done by itself; setting it again ends a halt."""
    policy, _ = Policy.objects.update_or_create(
        account=account,
        family=Family(family).value,
        defaults={"mode": Mode(mode), "materiality_usd": materiality_usd, "halted_at": None},
    )
    return policy
