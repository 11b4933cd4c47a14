"""When a run reads the venue's report again, and when it requests facts first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from reconciliation.models import Verdict, VerdictStatus
from reconciliation.rules.compare import WalletResult
from reconciliation.rules.verdicts import CONFIRMED_AFTER, confirmed, rests_at, same
from reconciliation.runs import verdict_store
from reconciliation.runs.verdict_store import SubjectObservation

REREAD_AFTER = CONFIRMED_AFTER + timedelta(milliseconds=100)
# Looks that one run takes at what differs while facts arrive: grace is over long before.
MOST_LOOKS = 8
_SURE = (VerdictStatus.DRIFT, VerdictStatus.FAILED)


def seconds(
    *, verdicts: Sequence[Verdict], seen: Sequence[SubjectObservation], looks: int, now: datetime
) -> float | None:
    """Return the seconds until the next report on what is no drift yet; None: nothing is, or not in this run.

    Within 2 s; then, while facts still arrive, when the first of the graces after them ends. `looks` were
    taken; the last one showed what is `seen`.
    """
    suspected = [one for one in verdicts if one.suspected]
    open_ = [one for one in suspected if one.status not in _SURE]
    legs = [one for one in open_ if one.instrument_id is not None]
    proven = looks > 2 and len(open_) < len(suspected)
    # What is a drift by now is not kept waiting for what is none yet: that has the next run. But cash waits
    # for the legs: what is wrong with a leg is wrong with its cash, and makes one diagnosis.
    if not open_ or looks > MOST_LOOKS or (proven and not legs):
        return None
    soonest = REREAD_AFTER
    if looks > 1:
        # A second report has shown it: only grace after new facts keeps it from being a drift.
        observations = {one.key: one.observation for one in seen}
        over = [
            rests_at(verdict_store.standing_of(one), observations[verdict_store.key_of(one)])
            for one in legs or open_
        ]
        first = min((one for one in over if one is not None), default=now)
        soonest = max(REREAD_AFTER, first - now + timedelta(milliseconds=100))
    return soonest.total_seconds()


def wallets_shown_twice(
    *, verdicts: Sequence[Verdict], balances: Sequence[WalletResult], as_of: datetime
) -> list[tuple[WalletResult, datetime | None]]:
    """Return the wallets that differ now as they did in a report far enough before `as_of`.

    Each comes with the time when it was last proven. `verdicts` are those before the newest report.
    """
    before = {verdict_store.key_of(one): verdict_store.standing_of(one) for one in verdicts}
    found = []
    for one in balances:
        standing = before.get((None, "", one.key.wallet, one.key.asset))
        first = standing.suspected_as_of if standing else None
        if not one.drifts or standing is None or first is None or as_of - first < CONFIRMED_AFTER:
            continue
        if same(standing.suspected, one.drifts):
            found.append((one, standing.as_of))
    return found


def should_ask(*, verdicts: Sequence[Verdict], seen: Sequence[SubjectObservation]) -> bool:
    """Return whether facts may explain what the newest report shows; `verdicts` are those before it.

    While it shows the same as before, all that may explain it was requested. Facts are requested once more
    before it is called a drift: without a stream nothing else notices a fact that the venue lists late.
    """
    before = {verdict_store.key_of(one): verdict_store.standing_of(one) for one in verdicts}
    for one in seen:
        if not one.observation.drifts:
            continue
        standing = before.get(one.key)
        if standing is None or not same(standing.suspected, one.observation.drifts):
            return True
        if standing.status not in _SURE and confirmed(standing, one.observation):
            return True
    return False
