"""Which share of a stretch of time an account was proven: reports compared with the book, and no drift."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from positions.models import Account
from reconciliation.models import PROOF_INTERVALS, Run, Transition, Verdict, VerdictStatus

Span = tuple[datetime, datetime]
_WRONG = (VerdictStatus.DRIFT, VerdictStatus.FAILED)

__all__ = ["PROOF_INTERVALS", "share_of"]


def share_of(*, account: Account, start: datetime, end: datetime, valid: timedelta) -> float | None:
    """Return percent of the time from `start` (or the account's connection) to `end` that was proven.

    A complete report proves for as long as `valid`; while any leg or balance drifts, nothing counts. None
    for an account that was not there yet.
    """
    start = max(start, account.created_at)
    if start >= end:
        return None
    times = Run.objects.filter(
        account=account, complete=True, as_of__gt=start - valid, as_of__lt=end
    ).order_by("as_of")
    reports = joined((as_of, as_of + valid) for as_of in times.values_list("as_of", flat=True) if as_of)
    wrong = joined(_wrong(account, start, end))
    proven = _within(reports, start, end) - sum(
        (_within(reports, max(begin, start), min(until, end)) for begin, until in wrong), timedelta()
    )
    return 100 * (proven / (end - start))


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans of time as those that do not touch, in order."""
    found: list[Span] = []
    for begin, until in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((begin, until))
    return found


def _within(spans: Iterable[Span], start: datetime, end: datetime) -> timedelta:
    lengths = (min(until, end) - max(begin, start) for begin, until in spans)
    return sum((one for one in lengths if one > timedelta()), timedelta())


def _wrong(account: Account, start: datetime, end: datetime) -> Iterable[Span]:
    """Yield when each leg or balance of an account drifted or was unresolved, in this stretch of time."""
    moves: dict[int, list[tuple[str, str, datetime]]] = {}
    rows = Transition.objects.filter(verdict__account=account, at__lt=end).order_by("verdict_id", "at", "pk")
    for verdict, old, new, at in rows.filter(at__gte=start).values_list("verdict_id", "old", "new", "at"):
        moves.setdefault(verdict, []).append((old, new, at))
    for pk, status in Verdict.objects.filter(account=account).values_list("pk", "status"):
        since, known = start, moves.get(pk)
        if known is None:
            known = [] if _status_at(pk, end, status) not in _WRONG else [(status, status, end)]
        for old, _, at in known:
            if old in _WRONG:
                yield since, at
            since = at
        if known and known[-1][1] in _WRONG:
            yield since, end


def _status_at(verdict: int, at: datetime, now: str) -> str:
    """Return a verdict's status at a moment: what the next change left, else what it is."""
    following = Transition.objects.filter(verdict=verdict, at__gte=at).order_by("at", "pk").first()
    return now if following is None else following.old
