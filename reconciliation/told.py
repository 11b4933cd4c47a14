"""Rows of reconciliation as JSON types, for the API and the pages; amounts are strings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from core.money import fixed
from positions.models import Account
from reconciliation.models import Case, Correction, Difference, Run, Status, Verdict


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def run(row: Run) -> dict[str, Any]:
    """Return a certificate."""
    state = "running" if row.finished_at is None else "failed" if row.as_of is None else "finished"
    return {
        "id": row.pk,
        "account_id": row.account_id,
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
        "instrument_id": row.instrument_id,
        "leg": row.leg,
        "wallet": row.wallet,
        "asset": row.asset,
        "status": row.status_now(now=now),
        "as_of": _time(row.as_of),
        "age_seconds": None if row.as_of is None else (now - row.as_of).total_seconds(),
        "differences": row.suspected,
    }


def status(*, accounts: list[Account], now: datetime) -> list[dict[str, Any]]:
    """Return how each account stands: its worst verdict, by count, and its last run."""
    found = []
    for account in accounts:
        rows = list(Verdict.objects.filter(account=account).select_related("instrument").order_by("pk"))
        states = [row.status_now(now=now) for row in rows]
        last = Run.objects.filter(account=account).order_by("-started_at", "-pk").first()
        whole = last is not None and last.complete
        worst = next((one for one in WORST_FIRST if one in states), Status.PENDING)
        found.append(
            {
                "account_id": account.pk,
                "account": account.label,
                # An incomplete run withholds SYNCED from the account, not from the legs it proves.
                "status": worst if whole or worst != Status.SYNCED else Status.PENDING,
                "paused_until": _time(account.paused_until),
                "pause_reason": account.pause_reason,
                "counts": {one.value: states.count(one) for one in Status},
                "open_cases": Case.objects.filter(account=account, closed_at__isnull=True).count(),
                "last_run": run(last) if last else None,
                "verdicts": [verdict(row, now=now) for row in rows],
            }
        )
    return found


WORST_FIRST = [Status.FAILED, Status.DRIFT, Status.PENDING, Status.SYNCED]


def case(row: Case, *, whole: bool = False) -> dict[str, Any]:
    """Return a case; `whole` with its history and corrections."""
    told = {
        "id": row.pk,
        "account_id": row.account_id,
        "subject": row.name,
        "family": row.family,
        "state": row.state,
        "differences": row.differences,
        "diagnosis": row.diagnosis,
        "assignee": row.assignee,
        "opened_at": _time(row.opened_at),
        "closed_at": _time(row.closed_at),
        "outcome": row.outcome,
        "run_id": row.run_id,
    }
    if whole:
        told["events"] = [
            {"kind": one.kind, "at": _time(one.at), "who": one.who, "text": one.text}
            for one in row.events.order_by("pk")
        ]
        told["corrections"] = [correction(one) for one in row.corrections.order_by("pk")]
    return told


def correction(row: Correction) -> dict[str, Any]:
    """Return what was done, and what the venue said of it afterwards."""
    return {
        "id": row.pk,
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


def difference(row: Difference) -> dict[str, Any]:
    """Return one line of the drift history."""
    return {
        "id": row.pk,
        "account_id": row.account_id,
        "subject": row.name,
        "kind": row.kind,
        "book": None if row.book is None else fixed(row.book),
        "venue": None if row.venue is None else fixed(row.venue),
        "amount": fixed(row.amount),
        "reports": row.reports,
        "first_as_of": _time(row.first_as_of),
        "confirmed_at": _time(row.confirmed_at),
        "ended_at": _time(row.ended_at),
        "ended": row.ended,
    }


def statistics(account: Account) -> dict[str, Any]:
    """Return what the history adds up to; mean times in seconds, None while there is nothing to count."""
    rows = Difference.objects.filter(account=account)
    confirmed = list(rows.filter(confirmed_at__isnull=False))
    detect = [(row.confirmed_at - row.first_as_of).total_seconds() for row in confirmed if row.confirmed_at]
    resolve = [
        (row.ended_at - row.confirmed_at).total_seconds()
        for row in confirmed
        if row.ended_at and row.confirmed_at
    ]
    runs = Run.objects.filter(account=account).aggregate(
        all=Count("pk"), complete=Count("pk", filter=Q(complete=True))
    )
    corrections = Correction.objects.filter(case__account=account, reversed_at__isnull=True)
    return {
        "account_id": account.pk,
        "runs": runs["all"],
        "complete_runs": runs["complete"],
        "differences": dict(rows.order_by().values_list("kind").annotate(count=Count("pk"))),
        "confirmed": len(confirmed),
        "passed_unconfirmed": rows.filter(ended="passed").count(),
        "seconds_to_detect": sum(detect) / len(detect) if detect else None,
        "seconds_to_resolve": sum(resolve) / len(resolve) if resolve else None,
        "corrections": corrections.exclude(entries=[]).count(),
        "automatic_corrections": corrections.filter(automatic=True).count(),
        "dismissed_as_false": Case.objects.filter(account=account, state="dismissed").count(),
    }
