"""How one report after another changes a subject's verdict. Pure: DESIGN's rules of proof.

Note [Two reports]: one report may be old, or cross a fill on its way. A difference makes a drift only if a
second report, at least a second later, shows the same; not within 3 s after local activity, by receipt,
unless it has shown for 15 s; and not while the facts that may explain it cannot be read: till then it is
merely not proven. Note [Failed]: a drift fails when a complete report still shows it after everything the
venue has was asked for and booked. A venue that cannot be read never fails anything.

Note [Activity]: a leg may trade without pause, and a wallet moves while anything trades. What a
difference may be the echo of is activity up to the first report that showed it: later facts have left it the
same, as each report is compared with the book as of its time. Grace counts from those facts, also from those
that arrive late, and from corrections, which have no time of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciliation.rules.compare import Difference

CONFIRMED_AFTER = timedelta(seconds=1)
GRACE = timedelta(seconds=3)
LONGEST_GRACE = timedelta(seconds=15)

PENDING, SYNCED, DRIFT, FAILED = "PENDING", "SYNCED", "DRIFT", "FAILED"


@dataclass(frozen=True, slots=True)
class VerdictState:
    """A verdict at one time; its times are those of `models.Verdict`."""

    status: str = PENDING
    as_of: datetime | None = None
    seen_as_of: datetime | None = None
    suspected: tuple[Difference, ...] = ()
    suspected_as_of: datetime | None = None
    suspected_at: datetime | None = None
    repaired_as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class FactReceipt:
    """A fact by its venue's time (None: it corrects another), and when we received it."""

    time: datetime | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """One subject in one report.

    `as_of` is the venue's time, `at` ours; `proves` is False where the leg was not completely observed, a row
    that cannot be read may be it, or the book's own sum has an unknown. `drifts` are the judged differences.
    `receipts` are the newest facts that move it. `unread`: the venue did not answer for the facts that may
    explain a difference.
    """

    as_of: datetime
    at: datetime
    proves: bool
    observed: bool
    drifts: tuple[Difference, ...] = ()
    receipts: tuple[FactReceipt, ...] = ()
    unread: bool = False


def judged(standing: VerdictState, observation: Observation) -> VerdictState:
    """Return the verdict after a report.

    One that does not observe the subject, or is older than the newest seen, changes nothing.
    """
    if not observation.observed or (
        standing.seen_as_of is not None and observation.as_of < standing.seen_as_of
    ):
        return standing
    seen = replace(standing, seen_as_of=observation.as_of)
    if not observation.drifts:
        return _agreeing(seen, observation)
    if not same(standing.suspected, observation.drifts):
        # Another difference than before: what was asked for then says nothing about this one.
        return replace(
            seen,
            suspected=observation.drifts,
            suspected_as_of=observation.as_of,
            suspected_at=observation.at,
            repaired_as_of=None,
        )
    return _still_different(replace(seen, suspected=observation.drifts), observation)


def repaired(standing: VerdictState, *, as_of: datetime) -> VerdictState:
    """Return a drift's verdict after all facts were requested and a report still shows the drift."""
    return replace(standing, repaired_as_of=as_of) if standing.repaired_as_of is None else standing


def aged(standing: VerdictState, *, oldest: datetime) -> VerdictState:
    """Return a verdict as pending where its proof is older than `oldest`."""
    stale = standing.status == SYNCED and (standing.as_of is None or standing.as_of < oldest)
    return replace(standing, status=PENDING) if stale else standing


def same(before: Sequence[Difference], after: Sequence[Difference]) -> bool:
    """Return whether two reports show the same differences."""
    if len(before) != len(after):
        return False
    return all(one.same_as(other) for one, other in zip(before, after, strict=True))


def _agreeing(standing: VerdictState, observation: Observation) -> VerdictState:
    if not observation.proves:
        # Nothing shows, and nothing is proven: a drift that was repaired so far has failed.
        asked = standing.repaired_as_of
        failed = standing.status == DRIFT and asked is not None and observation.as_of > asked
        return replace(standing, status=FAILED) if failed else standing
    return VerdictState(status=SYNCED, as_of=observation.as_of, seen_as_of=observation.as_of)


def confirmed(standing: VerdictState, observation: Observation) -> bool:
    """Return whether two reports far enough apart show what is suspected, and grace is over."""
    first_as_of = standing.suspected_as_of
    if first_as_of is None or observation.as_of - first_as_of < CONFIRMED_AFTER:
        return False
    over = rests_at(standing, observation)
    return over is not None and observation.at >= over


def rests_at(standing: VerdictState, observation: Observation) -> datetime | None:
    """Return when the grace of what is suspected ends, by the facts received so far; None: nothing is."""
    first_as_of, first_at = standing.suspected_as_of, standing.suspected_at
    if first_as_of is None or first_at is None:
        return None
    active = [one.received_at for one in observation.receipts if one.time is None or one.time <= first_as_of]
    latest = first_at + LONGEST_GRACE
    return min(latest, max(active) + GRACE) if active else first_at


def _still_different(standing: VerdictState, observation: Observation) -> VerdictState:
    if not confirmed(standing, observation):
        return standing
    if observation.unread and standing.status not in (DRIFT, FAILED):
        # It differs, and why may be among what nobody could read: neither proven nor a drift.
        return replace(standing, status=PENDING)
    repaired_as_of = standing.repaired_as_of
    if standing.status == DRIFT and repaired_as_of is not None and observation.as_of > repaired_as_of:
        return replace(standing, status=FAILED)
    return standing if standing.status == FAILED else replace(standing, status=DRIFT)
