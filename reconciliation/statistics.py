"""What the history of runs, differences, cases and corrections adds up to, for each account.

Note [What is counted]
- runs: finished ones; complete: those that could read everything; failed: those that read no state at all.
- a *difference* counts from its first report in a report; *confirmed* when it became a drift; *passed* when
  reports agreed again before that, as after a fill on its way.
- time to detect: from the venue's time of the first report that shows it, to the confirmation here.
- time to resolve: from the confirmation to the report that agrees again.
- a *false alarm* is a confirmed difference that book and venue did not have: its case was dismissed, or
  reports agreed again without anything booked for it in between (no entry of that leg or wallet, no
  correction). The venue's word had changed, not the book.
- corrections applied: booked by hand or by policy, and not taken back; automatic: those by policy.
Times are medians and the 95th percentile (nearest rank); None while there is nothing to count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from positions.models import Account, Entry
from reconciliation.models import Case, CaseState, Correction, DifferenceRow, Run


@dataclass(frozen=True, slots=True)
class Times:
    """A distribution of times in seconds; None: nothing to count."""

    count: int
    median: float | None
    p95: float | None
    worst: float | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """One account's. See Note [What is counted]."""

    account: Account
    runs: int
    complete_runs: int
    failed_runs: int
    differences: dict[str, int]
    confirmed: int
    passed: int
    open: int
    to_detect: Times
    to_resolve: Times
    cases: dict[str, int]
    corrections: int
    automatic_corrections: int
    reversed_corrections: int
    false_alarms: int


def of(*, account: Account, since: datetime | None = None) -> Statistics:
    """Return an account's statistics, of all time or of what began since then."""
    return of_accounts(accounts=[account], since=since)[0]


def of_accounts(*, accounts: Sequence[Account], since: datetime | None = None) -> list[Statistics]:
    """Return the statistics of each account, of all time or of what began since then.

    Six queries, whatever the number of accounts.
    """
    runs = Run.objects.filter(account__in=accounts, finished_at__isnull=False)
    rows = DifferenceRow.objects.filter(account__in=accounts)
    cases = Case.objects.filter(account__in=accounts)
    done = (
        Correction.objects.filter(case__account__in=accounts).exclude(entries=[]).exclude(outcome="refused")
    )
    if since is not None:
        runs, rows = runs.filter(started_at__gte=since), rows.filter(first_at__gte=since)
        cases, done = cases.filter(opened_at__gte=since), done.filter(applied_at__gte=since)
    counted_runs, corrections = _counted_runs(runs), _corrections(done)
    false_alarms = _false_alarms(rows.filter(confirmed_at__isnull=False))
    differences: dict[int, list[DifferenceRow]] = defaultdict(list)
    for row in rows.only("account", "kind", "first_as_of", "confirmed_at", "ended_at", "ended").order_by():
        differences[row.account_id].append(row)
    states: dict[int, Counter[str]] = defaultdict(Counter)
    for key, state in cases.order_by().values_list("account", "state"):
        states[key][state] += 1
    return [
        Statistics(
            account=account,
            **counted_runs.get(account.pk, _none_of(_RUNS)),
            **_of_differences(differences[account.pk]),
            cases=dict(states[account.pk]),
            **corrections.get(account.pk, _none_of(_CORRECTIONS)),
            false_alarms=false_alarms[account.pk],
        )
        for account in accounts
    ]


_RUNS = ("runs", "complete_runs", "failed_runs")
_CORRECTIONS = ("corrections", "automatic_corrections", "reversed_corrections")


def _none_of(names: Sequence[str]) -> dict[str, Any]:
    return dict.fromkeys(names, 0)


def _counted_runs(runs: QuerySet[Run]) -> dict[int, dict[str, Any]]:
    counts = (
        runs.order_by()
        .values("account")
        .annotate(
            runs=Count("pk"),
            complete_runs=Count("pk", filter=Q(complete=True)),
            failed_runs=Count("pk", filter=Q(as_of=None)),
        )
    )
    return {row["account"]: {name: row[name] for name in _RUNS} for row in counts.values("account", *_RUNS)}


def _corrections(done: QuerySet[Correction]) -> dict[int, dict[str, Any]]:
    counts = (
        done.order_by()
        .values("case__account")
        .annotate(
            corrections=Count("pk", filter=Q(reversed_at=None)),
            automatic_corrections=Count("pk", filter=Q(reversed_at=None, automatic=True)),
            reversed_corrections=Count("pk", filter=Q(reversed_at__isnull=False)),
        )
    )
    return {
        row["case__account"]: {name: row[name] for name in _CORRECTIONS}
        for row in counts.values("case__account", *_CORRECTIONS)
    }


def _of_differences(rows: Sequence[DifferenceRow]) -> dict[str, Any]:
    confirmed = [row for row in rows if row.confirmed_at is not None]
    return {
        "differences": dict(Counter(row.kind for row in rows)),
        "confirmed": len(confirmed),
        "passed": sum(row.ended == "passed" for row in rows),
        "open": sum(row.ended_at is None for row in confirmed),
        "to_detect": times(_spans((row.first_as_of, row.confirmed_at) for row in confirmed)),
        "to_resolve": times(_spans((row.confirmed_at, row.ended_at) for row in confirmed)),
    }


def _false_alarms(confirmed: QuerySet[DifferenceRow]) -> Counter[int]:
    """Return the number of false alarms by account id."""
    booked = Entry.objects.filter(
        account=OuterRef("account"),
        received_at__gte=OuterRef("first_at"),
        received_at__lte=OuterRef("ended_at"),
    )
    dismissed = Case.objects.filter(
        account=OuterRef("account"),
        family=OuterRef("family"),
        state=CaseState.DISMISSED,
        opened_at__gte=OuterRef("first_at"),
        opened_at__lte=Coalesce(OuterRef("ended_at"), Now()),
    )
    leg = {"instrument": OuterRef("instrument"), "leg": OuterRef("leg")}
    wallet = {"instrument": None, "wallet": OuterRef("wallet"), "asset": OuterRef("asset")}
    unchanged = Q(ended="settled") & ~Exists(booked.filter(instrument=OuterRef("instrument")))
    unchanged_cash = Q(ended="settled") & ~Exists(booked)
    legs = confirmed.filter(instrument__isnull=False).filter(unchanged | Exists(dismissed.filter(**leg)))
    cash = confirmed.filter(instrument=None).filter(unchanged_cash | Exists(dismissed.filter(**wallet)))
    alarms = Counter[int]()
    for found in (legs, cash):
        alarms.update(dict(found.order_by().values_list("account").annotate(Count("pk"))))
    return alarms


def _spans(pairs: Iterable[tuple[datetime | None, datetime | None]]) -> list[timedelta]:
    return [end - begin for begin, end in pairs if begin is not None and end is not None]


def times(spans: Sequence[timedelta]) -> Times:
    """Return the distribution of spans, by nearest rank."""
    seconds = sorted(one.total_seconds() for one in spans)
    if not seconds:
        return Times(0, None, None, None)

    def rank(share: float) -> float:
        return seconds[max(0, math.ceil(share * len(seconds)) - 1)]

    return Times(len(seconds), rank(0.5), rank(0.95), seconds[-1])
