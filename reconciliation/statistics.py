"""What the history of runs, differences, cases and corrections adds up to, for each account.

Note [What is counted]
- runs: finished ones; complete: those that could read everything; failed: those that read no state at all.
- a *difference* counts from its first sight in a report; *confirmed* when it became a drift; *passed* when
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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from positions.models import Account, Entry
from reconciliation.models import Case, CaseState, Correction, Difference, Run


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
    runs = Run.objects.filter(account=account, finished_at__isnull=False)
    rows = Difference.objects.filter(account=account)
    cases = Case.objects.filter(account=account)
    done = Correction.objects.filter(case__account=account).exclude(entries=[]).exclude(outcome="refused")
    if since is not None:
        runs, rows = runs.filter(started_at__gte=since), rows.filter(first_at__gte=since)
        cases, done = cases.filter(opened_at__gte=since), done.filter(applied_at__gte=since)
    counted = runs.aggregate(
        all=Count("pk"),
        complete=Count("pk", filter=Q(complete=True)),
        failed=Count("pk", filter=Q(as_of=None)),
    )
    confirmed = rows.filter(confirmed_at__isnull=False)
    kept = done.filter(reversed_at=None)
    return Statistics(
        account=account,
        runs=counted["all"],
        complete_runs=counted["complete"],
        failed_runs=counted["failed"],
        differences=dict(Counter(rows.order_by().values_list("kind", flat=True))),
        confirmed=confirmed.count(),
        passed=rows.filter(ended="passed").count(),
        open=confirmed.filter(ended_at=None).count(),
        to_detect=times(_spans(confirmed.values_list("first_as_of", "confirmed_at"))),
        to_resolve=times(_spans(confirmed.values_list("confirmed_at", "ended_at"))),
        cases=dict(Counter(cases.order_by().values_list("state", flat=True))),
        corrections=kept.count(),
        automatic_corrections=kept.filter(automatic=True).count(),
        reversed_corrections=done.exclude(reversed_at=None).count(),
        false_alarms=_false_alarms(confirmed),
    )


def _false_alarms(confirmed: QuerySet[Difference]) -> int:
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
    return legs.count() + cash.count()


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
