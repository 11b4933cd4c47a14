"""When a stream's reports are compared with the book, and which differences count. Pure.

What differs is `reconciliation.rules`' to tell; only the timing is this module's.

Note [Two looks]: a fill may be on its way, or a report older than the book. So a difference counts when a
leg whose quantity does not move shows the very same one twice, `STILL` apart. A leg that trades without
pause always moves: when it is off by the same in two looks, `STILL` apart, or has differed in every look for
`RESTLESS`, a reconciliation must find out, which compares a report with the book as of the report's time;
and again each `RESTLESS`, for as long as it differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from positions.venues.base import Report
from reconciliation.rules.compare import Difference, Family
from reconciliation.rules.report_legs import LegId, stated_quantities

# Longer than the time between two frames of state. Monotonic seconds, as all times here.
STILL = 1.5
RESTLESS = 8.0
# A difference may come from the book's side, too: somebody edits it.
LOOK_AT_LEAST_EVERY = 5.0

Differences = dict[LegId, Difference]
Scopes = tuple[str, ...]
"""The parts of an account that one report covers, by name."""


@dataclass(slots=True)
class _DifferenceAge:
    """The newest difference of a leg, and how long it has lasted.

    Times from which on the leg differed at all, showed the very same difference, and was off by the same
    size; and when a reconciliation was last asked for.
    """

    differs_since: float
    same_since: float
    off_since: float
    difference: Difference
    reported_at: float = float("-inf")

    def update(self, difference: Difference, *, at: float, moves: bool) -> None:
        """Take what the newest look shows; `moves`: the leg's quantity changed lately."""
        # On a leg that trades on, what its size is off by stays the same. Prices have no such trace.
        if difference.family is not Family.SIZE or not difference.same_as(self.difference):
            self.off_since = at
        if moves or difference != self.difference:
            self.same_since = at
        self.difference = difference

    def is_for_a_run(self, *, at: float) -> bool:
        """Whether a leg that keeps moving has differed long enough to ask for a reconciliation (again)."""
        lasts = at - self.off_since >= STILL or at - self.differs_since >= RESTLESS
        return lasts and at - self.reported_at >= RESTLESS


class LegCheckResult(NamedTuple):
    """The differences that count. `certain`: of legs that do not move. `restless`: of legs that always do."""

    certain: Differences
    restless: Differences


class LegCheck:
    """Which streamed reports to compare with the book, and which differences count. See Note [Two looks].

    Each difference is returned once; again when it has become another one, or was over in between.
    """

    def __init__(self) -> None:
        self._latest: dict[Scopes, Report] = {}
        self._superseded: set[Scopes] = set()
        self._looked_at: dict[Scopes, float] = {}
        self._moved_at: dict[LegId, float] = {}
        self._moved_last: dict[Scopes, float] = {}
        self._open: dict[Scopes, dict[LegId, _DifferenceAge]] = {}
        self._reported: dict[Scopes, Differences] = {}

    def add(self, report: Report, *, at: float) -> None:
        """Take a report that came. Older reports of a part that it covers are not looked at any more."""
        scopes = _scopes(report)
        self._superseded -= {scopes}
        self._superseded |= {one for one in self._latest if one != scopes and not {*one}.isdisjoint(scopes)}
        before = self._latest.get(scopes)
        known, legs = stated_quantities(before) if before else {}, stated_quantities(report)
        for key in known.keys() | legs.keys():
            if known.get(key) != legs.get(key):
                self._moved_at[key] = self._moved_last[scopes] = at
        self._latest[scopes] = report
        self._looked_at.setdefault(scopes, at)

    def due(self, *, at: float) -> list[Report]:
        """Return the newest report of each part that is to be looked at now."""
        return [
            self._latest[scopes]
            for scopes, looked_at in self._looked_at.items()
            if scopes not in self._superseded and at - looked_at >= self._interval(scopes, looked_at)
        ]

    def _interval(self, scopes: Scopes, looked_at: float) -> float:
        moved = self._moved_last.get(scopes, float("-inf")) >= looked_at
        return STILL if moved or self._open.get(scopes) else LOOK_AT_LEAST_EVERY

    def judge(self, report: Report, shown: Differences, *, at: float) -> LegCheckResult:
        """Take the differences that a due report shows; return those that count and were not returned yet."""
        scopes = _scopes(report)
        self._looked_at[scopes] = at
        before, reported = self._open.get(scopes, {}), self._reported.get(scopes, {})
        certain: Differences = {}
        restless: Differences = {}
        still_open: dict[LegId, _DifferenceAge] = {}
        for key, difference in shown.items():
            if reported.get(key) == difference:
                continue
            age = before.get(key) or _DifferenceAge(at, at, at, difference)
            age.update(difference, at=at, moves=at - self._moved_at.get(key, float("-inf")) < STILL)
            if at - age.same_since >= STILL:
                certain[key] = difference
                continue
            if age.is_for_a_run(at=at):
                restless[key], age.reported_at = difference, at
            still_open[key] = age
        self._open[scopes] = still_open
        kept = {key: value for key, value in reported.items() if shown.get(key) == value}
        self._reported[scopes] = kept | certain
        return LegCheckResult(certain, restless)


def _scopes(report: Report) -> Scopes:
    return tuple(scope.name for scope in report.scopes)
