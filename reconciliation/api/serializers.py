"""Rows of reconciliation as JSON types, for the API and the pages; amounts are strings."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.values.money import fixed
from positions.models import Account
from positions.sync import evidence
from reconciliation import labels, queries
from reconciliation.cases.plans import ACTIONS, OF_OPENING
from reconciliation.models import Case, Correction, DifferenceRow, Pause, Run, Verdict, VerdictStatus
from reconciliation.rules.compare import Family
from reconciliation.rules.likelihood import percents
from reconciliation.statistics import Statistics


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def run(row: Run) -> dict[str, Any]:
    """Return a certificate."""
    state = "running" if row.finished_at is None else "failed" if row.as_of is None else "finished"
    return {
        "id": row.pk,
        "account_id": row.account_id,
        "account": row.account.label,
        "trigger": row.trigger,
        "state": state,
        "step": row.step,
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "as_of": _time(row.as_of),
        "complete": row.complete,
        "windows": row.windows,
        "counts": row.counts,
        "withheld": row.withheld,
        "legs": row.legs,
        "balances": row.balances,
        "problem": row.problem,
        "trace_id": row.trace_id,
    }


def verdict(row: Verdict, *, now: datetime) -> dict[str, Any]:
    """Return a verdict with the age of its proof."""
    return {
        "subject": row.name,
        "venue_symbol": row.venue_symbol,
        "instrument_id": row.instrument_id,
        "leg": row.leg,
        "wallet": row.wallet,
        "asset": row.asset,
        "status": row.status_now(now=now),
        "as_of": _time(row.as_of),
        "age_seconds": None if row.as_of is None else (now - row.as_of).total_seconds(),
        "differences": row.suspected,
        **_evidence(evidence.of_leg(account=row.account, instrument=row.instrument)),
    }


def _evidence(reading: evidence.EvidenceGrade) -> dict[str, Any]:
    return {"reading": reading.grade.value, "unproven_methods": list(reading.unproven)}


def status(*, accounts: list[Account], now: datetime) -> list[dict[str, Any]]:
    """Return each account's worst verdict, its verdicts by count, and its last run.

    Four queries, whatever the number of accounts.
    """
    statuses = []
    keys = [account.pk for account in accounts]
    reports, last_runs = queries.newest_reports(accounts=keys), queries.last_runs(accounts=keys)
    verdicts, open_cases = queries.verdicts(accounts=keys), queries.open_cases(accounts=keys)
    for account in accounts:
        rows = verdicts.get(account.pk, [])
        states = [row.status_now(now=now) for row in rows]
        last = last_runs.get(account.pk)
        whole = account.pk in reports and reports[account.pk].complete
        worst = next((one for one in labels.WORST_FIRST if one in states), VerdictStatus.PENDING)
        statuses.append(
            {
                "account_id": account.pk,
                "account": account.label,
                "venue": account.venue,
                "environment": account.environment,
                **_evidence(evidence.of_account(account=account)),
                # An incomplete run withholds SYNCED from the account, not from the legs it proves.
                "status": worst if whole or worst != VerdictStatus.SYNCED else VerdictStatus.PENDING,
                "paused_until": _time(account.paused_until),
                "pause_reason": account.pause_reason,
                "counts": {one.value: states.count(one) for one in VerdictStatus},
                "open_cases": open_cases.get(account.pk, 0),
                "last_run": run(last) if last else None,
                "verdicts": [verdict(row, now=now) for row in rows],
            }
        )
    return statuses


def case(row: Case, *, whole: bool = False) -> dict[str, Any]:
    """Return a case; `whole` with its history and corrections."""
    answer = {
        "id": row.pk,
        "account_id": row.account_id,
        "account": row.account.label,
        "subject": row.name,
        "venue_symbol": row.venue_symbol,
        "instrument_id": row.instrument_id,
        "leg": row.leg,
        "wallet": row.wallet,
        "asset": row.asset,
        "family": row.family,
        "state": row.state,
        "differences": row.differences,
        "diagnosis": diagnosis(row),
        "assignee": row.assignee,
        "opened_at": _time(row.opened_at),
        "changed_at": _time(row.changed_at),
        "closed_at": _time(row.closed_at),
        "outcome": row.outcome,
        "run_id": row.run_id,
    }
    if whole:
        answer["events"] = [
            {"kind": one.kind, "at": _time(one.at), "who": one.who, "text": one.text}
            for one in row.events.order_by("pk")
        ]
        answer["corrections"] = [correction(one) for one in row.corrections.order_by("pk")]
        answer["actions"] = actions_for(row)
    return answer


def diagnosis(row: Case) -> list[dict[str, Any]]:
    """Return a case's causes, the likeliest first, each with its share of all: they add up to 100 percent."""
    shares = percents([Decimal(one["score"]) for one in row.diagnosis])
    return [one | {"percent": share} for one, share in zip(row.diagnosis, shares, strict=True)]


def correction(row: Correction) -> dict[str, Any]:
    """Return a correction with its outcome."""
    return {
        "id": row.pk,
        "case_id": row.case_id,
        "action": row.action,
        "automatic": row.automatic,
        "who": row.who,
        "reason": row.reason,
        "entries": row.entries,
        "preview": row.preview,
        "applied_at": _time(row.applied_at),
        "outcome": row.outcome,
        "reversed_at": _time(row.reversed_at),
    }


def difference(row: DifferenceRow) -> dict[str, Any]:
    """Return one line of the drift history."""
    return {
        "id": row.pk,
        "account_id": row.account_id,
        "account": row.account.label,
        "subject": row.name,
        "venue_symbol": row.venue_symbol,
        "family": row.family,
        "kind": row.kind,
        "book": None if row.book is None else fixed(row.book),
        "venue": None if row.venue is None else fixed(row.venue),
        "amount": fixed(row.amount),
        "reports": row.reports,
        "first_as_of": _time(row.first_as_of),
        "first_at": _time(row.first_at),
        "confirmed_at": _time(row.confirmed_at),
        "ended_at": _time(row.ended_at),
        "ended": row.ended,
        "first_run_id": row.first_run_id,
        "last_run_id": row.last_run_id,
    }


def pause(row: Pause, *, now: datetime) -> dict[str, Any]:
    """Return one pause; `ended_at` None: it lasts."""
    return {
        "id": row.pk,
        "account_id": row.account_id,
        "account": row.account.label,
        "started_at": _time(row.started_at),
        "until": _time(row.until),
        "reason": row.reason,
        "who": row.who,
        "ended_at": _time(row.over_at(now=now)),
        "ended_by": row.ended_by,
    }


def statistics(found: Statistics) -> dict[str, Any]:
    """Return what an account's history adds up to."""
    counts = {name: getattr(found, name) for name in _COUNTED}
    return counts | {
        "account_id": found.account.pk,
        "account": found.account.label,
        "seconds_to_detect": asdict(found.to_detect),
        "seconds_to_resolve": asdict(found.to_resolve),
    }


_COUNTED = (
    "runs", "complete_runs", "failed_runs", "differences", "confirmed", "passed", "open", "cases",
    "corrections", "automatic_corrections", "reversed_corrections", "false_alarms",
)  # fmt: skip


def actions_for(row: Case) -> list[str]:
    """Return the actions that make sense for a case as it is; a preview may still refuse one."""
    if row.is_settled:
        return []
    if row.family == Family.VALUE:
        # Nobody knows which entry is wrong; once it is found it has a case of its own.
        return ["dismiss"]
    manual = any(one["cause"] == "manual_correction" for one in row.diagnosis)
    left_out = set() if manual else {"reverse_manual"}
    if row.family != Family.SIZE:
        left_out.add("set_opening_lot")
    if row.family != Family.CASH or not any(one["cause"] in OF_OPENING for one in row.diagnosis):
        left_out.add("correct_opening")
    return [one for one in ACTIONS if one not in left_out]
