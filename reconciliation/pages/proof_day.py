"""The last day of an account as a strip: proven, not proven, drift. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from core.templatetags import numbers
from positions.models import Account
from reconciliation.proof_times import ProofTimes, proof_times, valid_for

DAY = timedelta(days=1)
DAY_WIDTH = 288
"""User units of the strip: five minutes each."""
NARROWEST = 1.0
"""A drift of seconds must be seen, too."""


class DayBar(NamedTuple):
    """One span of the last day, in user units of DAY_WIDTH; `kind` is proven or drift."""

    kind: str
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class ProofDay:
    """The last day of an account as a strip; what no bar covers was not proven. `share` in percent."""

    bars: list[DayBar]
    share: float | None
    words: str


def proof_days(accounts: Collection[Account], *, now: datetime) -> dict[int, ProofDay]:
    """Return the strip of each account by its id, up to this minute, within which its text stays the same."""
    end = now.replace(second=0, microsecond=0)
    times = proof_times(accounts=accounts, start=end - DAY, end=end, valid=valid_for())
    return {pk: _proof_day(one) for pk, one in times.items()}


def _proof_day(times: ProofTimes) -> ProofDay:
    """Return the strip of a day that `times` ends, and what it says in words."""
    start = times.until - DAY

    def bar(kind: str, begin: datetime, until: datetime) -> DayBar:
        x, width = (begin - start) / DAY * DAY_WIDTH, (until - begin) / DAY * DAY_WIDTH
        return DayBar(kind, f"{x:.2f}", f"{max(width, NARROWEST):.2f}")

    bars = [bar("proven", *span) for span in times.proven] + [bar("drift", *span) for span in times.drifted]
    share = times.share
    if share is None:
        return ProofDay(bars, None, "Connected just now")
    words = f"Proven {share:.1f} % of the last 24 hours"
    if times.since > start:
        words = f"Proven {share:.1f} % since it was connected, {times.since:%H:%M} UTC"
    if times.drifted:
        words += f"; something drifted for {numbers.age(times.drift.total_seconds())}"
    return ProofDay(bars, share, words)
