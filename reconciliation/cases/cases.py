"""Cases: opened when a drift is found, followed until book and venue agree, commented on and assigned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from core.values.money import fixed
from positions.models import Account, Mark
from reconciliation.cases import evidence
from reconciliation.cases.case_report import CaseReport
from reconciliation.models import Case, CaseEvent, CaseState, Run, Verdict, VerdictStatus
from reconciliation.queries import verdict_of
from reconciliation.rules.compare import Difference, Family
from reconciliation.rules.diagnose import DriftCause, Finding, diagnose
from reconciliation.rules.verdicts import same

SubjectKey = tuple[int | None, str, str, str]
Key = tuple[int | None, str, str, str, str]


class IllegalMove(ValueError):
    """A case cannot go from where it is to there."""


MOVES: dict[str, frozenset[str]] = {
    CaseState.OPEN: frozenset({CaseState.ACKNOWLEDGED, CaseState.RESOLVED, CaseState.DISMISSED}),
    CaseState.ACKNOWLEDGED: frozenset({CaseState.OPEN, CaseState.RESOLVED, CaseState.DISMISSED}),
    CaseState.RESOLVED: frozenset(),
    CaseState.DISMISSED: frozenset(),
}


def follow(
    *,
    account: Account,
    drifting: Sequence[Verdict],
    reports: Mapping[SubjectKey, CaseReport],
    run: Run,
    now: datetime,
) -> list[Case]:
    """Open a case for each difference that drifts and has none; bring open ones up to date.

    `reports` has both sides of each subject as of the newest report. A difference that somebody dismissed
    gets no other case while it stays the same.
    """
    open_cases = {_key(case): case for case in Case.objects.filter(account=account, closed_at__isnull=True)}
    found = []
    for verdict in drifting:
        for family, shown in _by_family(verdict).items():
            subject = (verdict.instrument_id, verdict.leg, verdict.wallet, verdict.asset)
            key = (*subject, family)
            case, report = open_cases.get(key), reports.get(subject)
            if report is not None and report.as_of != verdict.seen_as_of:
                report = None  # what drifts was shown by another report
            if case is None and not _dismissed(account, key, shown):
                case = _open(account, key, verdict, shown, report, run, now)
            elif case is not None:
                _update(case, verdict, shown, report, now)
            if case is not None:
                found.append(case)
    return found


WHOLE_ACCOUNT: Key = (None, "", "whole account", "USD", Family.VALUE.value)
"""The subject of cases about what an account was worth; it has no verdict, its witness settles it."""


def follow_value(
    *, account: Account, difference: Difference, day: date, tolerance: Decimal, run: Run, now: datetime
) -> Case | None:
    """Open, bring up to date or resolve the case about what the venue's history says of an account's value.

    None: both agree, or somebody dismissed this very difference.
    """
    found = {_key(one): one for one in Case.objects.filter(account=account, closed_at__isnull=True)}
    case = found.get(WHOLE_ACCOUNT)
    if abs(difference.amount) <= tolerance:
        if case is not None:
            text = f"book and venue's history agree on {day:%-d %b %Y}"
            move(case=case, to=CaseState.RESOLVED, who="", now=now, text=text)
        return None
    shown, told = [difference.to_plain()], [_of_value(difference, day, tolerance)]
    if case is not None:
        if case.differences != shown:
            case.differences, case.diagnosis, case.changed_at = shown, told, now
            case.save(update_fields=["differences", "diagnosis", "changed_at"])
        return case
    if _dismissed(account, WHOLE_ACCOUNT, [difference]):
        return None
    return _create(account, WHOLE_ACCOUNT, shown, told, {}, run, now)


def _of_value(difference: Difference, day: date, tolerance: Decimal) -> dict[str, Any]:
    text = (
        f"the venue's own history of {day:%-d %b %Y} differs by {fixed(difference.amount)} USD from our"
        f" snapshot of that moment, more than the {fixed(tolerance)} that two clocks explain: a fact of that"
        " day or of an earlier one may be missing or booked twice, or something is held that is not read"
    )
    return _told(Finding(DriftCause.UNKNOWN, Decimal(1), text, ()))


def settle(*, account: Account, now: datetime) -> None:
    """Resolve the cases whose subject is synced again: a report decides it, not our own figures."""
    for case in Case.objects.filter(account=account, closed_at__isnull=True).order_by("pk"):
        verdict = verdict_of(case=case)
        if verdict is None or verdict.status != VerdictStatus.SYNCED or verdict.as_of is None:
            continue
        if verdict.as_of >= case.opened_at:
            text = f"book and venue agree as of {verdict.as_of:%-d %b %Y %H:%M:%S} UTC"
            move(case=case, to=CaseState.RESOLVED, who="", now=now, text=text)


def move(*, case: Case, to: str, who: str, now: datetime, text: str = "") -> None:
    """Change a case's state and keep why, in one transaction. Raises IllegalMove."""
    if to not in MOVES[case.state]:
        raise IllegalMove(f"a case that is {case.get_state_display().lower()} cannot become {to}")
    closed = to in (CaseState.RESOLVED, CaseState.DISMISSED)
    # One transaction: no change of state without its event, and no event of a change that lost the race.
    with transaction.atomic():
        moved = Case.objects.filter(pk=case.pk, state=case.state).update(
            state=to,
            changed_at=now,
            closed_at=now if closed else None,
            outcome=text if closed else case.outcome,
        )
        if not moved:
            raise IllegalMove("somebody else changed this case meanwhile")
        note(case=case, kind=to, who=who, now=now, text=text)
    case.refresh_from_db()


def assign(*, case: Case, assignee: str, who: str, now: datetime) -> None:
    """Give a case to somebody ("" takes it back)."""
    # One transaction: the history names every assignment that was made.
    with transaction.atomic():
        Case.objects.filter(pk=case.pk).update(assignee=assignee, changed_at=now)
        note(case=case, kind="assigned", who=who, now=now, text=assignee)
    case.refresh_from_db()


def note(
    *, case: Case, kind: str, who: str, now: datetime, text: str = "", data: dict[str, Any] | None = None
) -> CaseEvent:
    """Keep a comment, or what else happened to a case."""
    return CaseEvent.objects.create(case=case, kind=kind, who=who, at=now, text=text, data=data or {})


def _key(case: Case) -> Key:
    return case.instrument_id, case.leg, case.wallet, case.asset, case.family


def _by_family(verdict: Verdict) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = {}
    for stored in verdict.suspected:
        one = Difference.from_plain(stored)
        found.setdefault(one.family.value, []).append(one)
    return found


def _dismissed(account: Account, key: Key, shown: Sequence[Difference]) -> bool:
    instrument, leg, wallet, asset, family = key
    last = Case.objects.filter(
        account=account, instrument=instrument, leg=leg, wallet=wallet, asset=asset, family=family
    ).first()
    if last is None or last.state != CaseState.DISMISSED:
        return False
    before = [Difference.from_plain(stored) for stored in last.differences]
    return same(before, shown)


def _open(
    account: Account,
    key: Key,
    verdict: Verdict,
    shown: Sequence[Difference],
    report: CaseReport | None,
    run: Run,
    now: datetime,
) -> Case:
    differences = [one.to_plain() for one in shown]
    sides = {} if report is None else _with_mark(report, key[0]).to_plain()
    return _create(account, key, differences, _diagnosis(account, verdict, shown[0], run), sides, run, now)


def _create(
    account: Account,
    key: Key,
    differences: list[dict[str, Any]],
    diagnosis: list[dict[str, Any]],
    report: dict[str, Any],
    run: Run,
    now: datetime,
) -> Case:
    instrument, leg, wallet, asset, family = key
    # One transaction: a case has the event of its opening from the first moment.
    with transaction.atomic():
        case = Case.objects.create(
            account=account,
            instrument_id=instrument,
            leg=leg,
            wallet=wallet,
            asset=asset,
            family=family,
            differences=differences,
            diagnosis=diagnosis,
            report=report,
            run=run,
            opened_at=now,
            changed_at=now,
        )
        note(case=case, kind="opened", who="", now=now, data={"differences": case.differences})
    return case


def _update(
    case: Case, verdict: Verdict, shown: Sequence[Difference], report: CaseReport | None, now: datetime
) -> None:
    differences = [one.to_plain() for one in shown]
    # A difference that shows again after all facts were asked for is no lag: another cause comes first then.
    lagging = bool(case.diagnosis) and case.diagnosis[0]["cause"] == DriftCause.VENUE_LAG
    same_as_before = differences == case.differences
    if report is not None:
        case.report = _with_mark(report, case.instrument_id).to_plain()
    elif not same_as_before:
        case.report = {}  # of another difference
    if same_as_before and not lagging:
        case.save(update_fields=["report"])
        return
    case.differences, case.changed_at = differences, now
    case.diagnosis = _diagnosis(case.account, verdict, shown[0], case.run)
    case.save(update_fields=["differences", "diagnosis", "changed_at", "report"])


def _with_mark(report: CaseReport, instrument: int | None) -> CaseReport:
    mark = Mark.objects.filter(instrument=instrument).first() if instrument is not None else None
    return replace(report, mark_price=mark.price if mark else None)


def _diagnosis(account: Account, verdict: Verdict, shown: Difference, run: Run) -> list[dict[str, Any]]:
    facts = evidence.around(account=account, verdict=verdict, difference=shown, run=run)
    return [_told(one) for one in diagnose(facts)]


def _told(one: Finding) -> dict[str, Any]:
    return {
        "cause": one.cause.value,
        "score": fixed(one.score),
        "text": one.text,
        "evidence": [ref for ref in one.evidence if ref],
    }
