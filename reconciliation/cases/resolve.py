"""Corrections of a case: a plan is booked, kept with its reason, taken back; and automatic corrections.

Every correction is one or more entries under the account's own references, so that it shows in the ledger,
counts as an adjustment or an inferred fill in P&L, and can be busted. Nothing here trades.

Note [Broken off]: a correction is kept, then booked (a transaction of the book's own), then concluded by the
venue's next report. A process that dies on the way leaves it without an outcome. The account's next run finds
it: booked, it is concluded as any other; not booked, it is called broken off, and may be done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from core.security.security_events import Act, record
from positions import ingest
from positions.book import Entry, Kind
from positions.models import Account
from positions.models import Entry as Row
from reconciliation.cases import cases
from reconciliation.cases.effects import PlanRefusal
from reconciliation.cases.plans import BROKEN_OFF, UNBOOKED, Plan, plan
from reconciliation.models import Case, CaseState, Correction, Mode, Policy, VerdictStatus
from reconciliation.queries import verdict_of
from reconciliation.rules.compare import Family
from reconciliation.rules.diagnose import DriftCause

AUTOMATIC = "policy"
CONNECTION = "connection"
# Longer than booking takes with all its retries: what has no outcome by then has lost its process.
DEAD_AFTER = timedelta(seconds=60)
# These book nothing, so no report can show an outcome.
WORDLESS = ("dismiss", "keep_book")


def apply(
    *, planned: Plan, who: str, reason: str, now: datetime, trace_id: str, automatic: bool = False
) -> Correction:
    """Book a plan and keep the correction. The next report shows whether it helped.

    Raises PlanRefusal (no reason given; settled meanwhile) and ingest.BatchRejection.
    """
    if not reason:
        raise PlanRefusal("no_reason", "say why: the reason is kept with the correction")
    case = planned.case
    if case.is_settled:
        raise PlanRefusal("settled", f"case {case.pk} was settled meanwhile")
    # What is meant is kept before it is booked. See Note [Broken off].
    correction = Correction.objects.create(
        case=case,
        action=planned.action,
        automatic=automatic,
        who=who,
        reason=reason,
        entries=[entry.venue_ref for entry in planned.entries],
        preview=planned.to_plain(),
        usd=planned.effect.usd,
        applied_at=now,
        trace_id=trace_id,
    )
    try:
        _book(case.account, planned.entries, who, reason, now, trace_id)
    except ingest.BatchRejection:
        conclude(correction=correction, outcome="refused")
        raise
    cases.note(case=case, kind="applied", who=who, now=now, text=reason, data=planned.to_plain())
    _move_after(case, planned.action, who=who, reason=reason, now=now)
    return correction


def _move_after(case: Case, action: str, *, who: str, reason: str, now: datetime) -> None:
    if action == "dismiss":
        cases.move(case=case, to=CaseState.DISMISSED, who=who, now=now, text=reason)
    elif case.state == CaseState.OPEN:
        cases.move(case=case, to=CaseState.ACKNOWLEDGED, who=who, now=now, text=reason)


def undo(*, correction: Correction, who: str, reason: str, now: datetime, trace_id: str) -> None:
    """Take a correction back: bust what it booked, so that the book is as it was. Raises PlanRefusal."""
    if correction.reversed_at is not None:
        raise PlanRefusal("reversed", "this correction was taken back before")
    if not correction.entries:
        raise PlanRefusal("nothing_booked", "this action booked nothing")
    account = correction.case.account
    booked = {
        row.venue_ref: row for row in Row.objects.filter(account=account, venue_ref__in=correction.entries)
    }
    if not booked:
        raise PlanRefusal("nothing_booked", "this correction was never booked")
    if any(row.kind == "bust" for row in booked.values()):
        raise PlanRefusal("is_a_reversal", "what this reversed is booked again by hand, not by undoing")
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
    """Store the outcome of a correction, by a report read after it."""
    Correction.objects.filter(pk=correction.pk).update(outcome=outcome)
    correction.outcome = outcome


def outcome(*, case: Case, read_as_of: datetime | None) -> str:
    """Return what the report read since shows for a case's subject: agrees, differs, or unknown."""
    verdict = verdict_of(case=case)
    if verdict is None or read_as_of is None or verdict.seen_as_of is None or verdict.seen_as_of < read_as_of:
        return "unknown"
    if verdict.suspected:
        return "differs"
    return "agrees" if verdict.status == VerdictStatus.SYNCED else "unknown"


def conclude_by_report(*, corrections: Iterable[Correction], read_as_of: datetime) -> None:
    """Store the outcomes of corrections booked before a report, where the report shows one."""
    for correction in corrections:
        word = outcome(case=correction.case, read_as_of=read_as_of)
        if word != "unknown":
            conclude(correction=correction, outcome=word)


def recover(*, account: Account, now: datetime) -> list[Correction]:
    """Find corrections that a dead process left half done: see Note [Broken off]. Returns those that were
    booked and wait for the venue's word.
    """
    left = Correction.objects.filter(
        case__account=account, outcome="", reversed_at__isnull=True, applied_at__lt=now - DEAD_AFTER
    )
    waiting = []
    for correction in left.exclude(action__in=WORDLESS).select_related("case").order_by("pk"):
        refs = set(correction.entries)
        if Row.objects.filter(account=account, venue_ref__in=refs).count() == len(refs) > 0:
            waiting.append(correction)
            if correction.case.state == CaseState.OPEN:
                _move_after(
                    correction.case, correction.action, who=correction.who, reason=correction.reason, now=now
                )
            continue
        conclude(correction=correction, outcome=BROKEN_OFF)
        cases.note(
            case=correction.case,
            kind="broken_off",
            who=correction.who,
            now=now,
            text=f"{correction.action} broke off before anything was booked; it may be done again",
        )
    return waiting


# By themselves ----------------------------------------------------------------------------------------------


def automatic(*, found: Sequence[Case], now: datetime, trace_id: str) -> list[Correction]:
    """Apply what policy allows for these cases; more than the limit an hour halts it."""
    done = []
    for case in found:
        policy = policy_of(account=case.account, family=case.family)
        if policy is None or policy.mode == Mode.ALERT or policy.halted_at is not None:
            continue
        if case.corrections.filter(reversed_at__isnull=True).exclude(outcome__in=UNBOOKED).exists():
            continue
        if case.family == Family.CASH and _sizes_off(case.account):
            continue  # the missing fill moved this cash: what is left after it is judged by the next report
        action = "adopt_venue" if policy.mode == Mode.ADOPT else "book_adjustment"
        planned = _planned(case, action, now)
        if planned is None:
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


def open_lots(*, found: Sequence[Case], now: datetime, trace_id: str) -> list[Correction]:
    """Book what was held before the venue's history begins, for an account that no certificate covers yet.

    Never for a leg of a hedge: what one leg lacks may be the other's.
    """
    done = []
    for case in found:
        likeliest = case.diagnosis[0]["cause"] if case.diagnosis else ""
        if case.family != Family.SIZE or case.leg != "net" or likeliest != DriftCause.WRONG_OPENING:
            continue
        planned = _planned(case, "set_opening_lot", now)
        if planned is None:
            continue
        reason = "held since before the venue's history begins"
        done.append(
            apply(planned=planned, who=CONNECTION, reason=reason, now=now, trace_id=trace_id, automatic=True)
        )
    return done


def _material(policy: Policy, planned: Plan, case: Case, now: datetime) -> bool:
    """Return whether a correction is small enough to be automatic; only ADOPT needs no limit."""
    limit = policy.materiality_usd
    unlimited = limit is None and policy.mode == Mode.ADOPT
    usd = planned.effect.usd
    allowed = unlimited or (limit is not None and usd is not None and usd <= limit)
    if not allowed:
        _not_automatic(case, "above the materiality", now)
    return allowed


def _planned(case: Case, action: str, now: datetime) -> Plan | None:
    """Return the plan of an automatic correction; None, and a line in the case, where it is refused."""
    try:
        return plan(case=case, action=action)
    except PlanRefusal as refusal:
        _not_automatic(case, str(refusal), now)
        return None


def _not_automatic(case: Case, why: str, now: datetime) -> None:
    """Keep in the case why nothing was corrected, once while it stays the same reason."""
    last = case.events.filter(kind="not_automatic").order_by("-pk").first()
    if last is None or last.text != why:
        cases.note(case=case, kind="not_automatic", who=AUTOMATIC, now=now, text=why)


def _sizes_off(account: Account) -> bool:
    return Case.objects.filter(account=account, closed_at__isnull=True, family=Family.SIZE).exists()


def _last_hour(account: Account, now: datetime) -> int:
    recent = Correction.objects.filter(case__account=account, automatic=True, who=AUTOMATIC).exclude(
        outcome__in=UNBOOKED
    )
    return recent.filter(applied_at__gt=now - timedelta(hours=1)).count()


def policy_of(*, account: Account, family: str) -> Policy | None:
    """Return the account's policy for a family, else the one for all; None is alert only."""
    own = Policy.objects.filter(account=account, family=family).first()
    return own or Policy.objects.filter(account__isnull=True, family=family).first()


def set_policy(
    *,
    account: Account | None,
    family: str,
    mode: str,
    who: str,
    now: datetime,
    materiality_usd: Decimal | None = None,
) -> Policy:
    """Set what may be corrected automatically; setting it again ends a halt."""
    asked: dict[str, Any] = {"account": account, "family": Family(family).value}
    # One transaction: no policy without its security event.
    with transaction.atomic():
        known = Policy.objects.select_for_update().filter(**asked).first()
        before = None if known is None else _policy_facts(known)
        policy, _ = Policy.objects.update_or_create(
            **asked,
            defaults={
                "mode": Mode(mode),
                "materiality_usd": materiality_usd,
                "halted_at": None,
                "changed_at": now,
                "changed_by": who,
            },
        )
        subject = f"{policy.family} of {account.label if account else 'all accounts'}"
        record(Act.POLICY_CHANGED, who=who, subject=subject, before=before, after=_policy_facts(policy))
    return policy


def _policy_facts(policy: Policy) -> dict[str, Any]:
    limit, halted = policy.materiality_usd, policy.halted_at
    return {
        "mode": str(policy.mode),
        "materiality_usd": None if limit is None else f"{limit:f}",
        "halted_at": None if halted is None else halted.isoformat(),
    }
