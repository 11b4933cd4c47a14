"""When accounts were proven, and when something of them drifted: spans of time, and their share. Reads only.

A complete report that was compared proves for as long as `valid`; while any leg or balance drifts, or is
unresolved, nothing counts as proven.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from positions.models import Account
from reconciliation.models import PROOF_INTERVALS, Run, Transition, Verdict, VerdictStatus

Span = tuple[datetime, datetime]
MOST_APART = timedelta(hours=1)
"""How far a run's start and its report's time may be apart: a run's length, and two clocks."""
_WRONG = (VerdictStatus.DRIFT, VerdictStatus.FAILED)


@dataclass(frozen=True, slots=True)
class ProofTimes:
    """One account from `since` (or its connection) to `until`: spans that do not touch, in order.

    `proven` spans had a report that was not too old; `drifted` ones lie over them.
    """

    since: datetime
    until: datetime
    proven: list[Span] = field(default_factory=list)
    drifted: list[Span] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """Percent of the time that was proven and free of drift; None: the account was not there yet."""
        if self.since >= self.until:
            return None
        covered = _length(self.proven) - sum(
            (_length(_cut(self.proven, begin, until)) for begin, until in self.drifted), timedelta()
        )
        return 100 * (covered / (self.until - self.since))

    @property
    def drift(self) -> timedelta:
        """How long something drifted."""
        return _length(self.drifted)


def valid_for() -> timedelta:
    """Return how long a proof counts."""
    return timedelta(seconds=PROOF_INTERVALS * settings.RECONCILIATION_INTERVAL)


def proof_times(
    *, accounts: Collection[Account], start: datetime, end: datetime, valid: timedelta
) -> dict[int, ProofTimes]:
    """Return the times of each account, by its id, in a constant number of queries. Raises DatabaseError."""
    reports: dict[int, list[Span]] = {account.pk: [] for account in accounts}
    # By the start too, which is indexed: a year of runs is half a million rows.
    times = Run.objects.filter(
        account__in=reports, started_at__gt=start - valid - MOST_APART, complete=True,
        as_of__gt=start - valid, as_of__lt=end,
    ).order_by("as_of")  # fmt: skip
    for pk, as_of in times.values_list("account", "as_of"):
        if as_of is not None:
            reports[pk].append((as_of, as_of + valid))
    wrong = _wrong(reports, start, end)
    found = {}
    for account in accounts:
        since = max(start, account.created_at)
        found[account.pk] = ProofTimes(
            since=since,
            until=end,
            proven=_cut(joined(reports[account.pk]), since, end),
            drifted=_cut(joined(wrong.get(account.pk, ())), since, end),
        )
    return found


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans of time as those that do not touch, in order."""
    found: list[Span] = []
    for begin, until in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((begin, until))
    return found


def _cut(spans: Iterable[Span], start: datetime, end: datetime) -> list[Span]:
    cut = ((max(begin, start), min(until, end)) for begin, until in spans)
    return [(begin, until) for begin, until in cut if begin < until]


def _length(spans: Iterable[Span]) -> timedelta:
    return sum((until - begin for begin, until in spans), timedelta())


def _wrong(accounts: Collection[int], start: datetime, end: datetime) -> dict[int, list[Span]]:
    """Return when each account's legs or balances drifted or were unresolved, in this stretch of time."""
    moves: dict[int, list[tuple[str, str, datetime]]] = {}
    rows = Transition.objects.filter(verdict__account__in=accounts, at__gte=start)
    for verdict, old, new, at in rows.order_by("at", "pk").values_list("verdict_id", "old", "new", "at"):
        moves.setdefault(verdict, []).append((old, new, at))
    found: dict[int, list[Span]] = {}
    verdicts = Verdict.objects.filter(account__in=accounts).order_by()
    for account, pk, status in verdicts.values_list("account", "pk", "status"):
        found.setdefault(account, []).extend(_of_verdict(status, moves.get(pk, []), start, end))
    return found


def _of_verdict(
    status: str, moves: list[tuple[str, str, datetime]], start: datetime, end: datetime
) -> Iterator[Span]:
    """Yield when one verdict was wrong. `status` is that of now; before a move it was the move's `old`."""
    since = start
    for old, _, at in moves:
        if old in _WRONG and since < end:
            yield since, min(at, end)
        since = at
    if (moves[-1][1] if moves else status) in _WRONG and since < end:
        yield since, end
