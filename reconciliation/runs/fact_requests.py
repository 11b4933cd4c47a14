"""Requests of facts for a run, with what a certificate keeps of them: windows and counts.

`positions.sync.poll` reads and books the facts; this module counts what happened to them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from positions import ingest
from positions.book import Entry
from positions.ingest import EntryOutcome
from positions.models import Account
from positions.sync import poll
from positions.sync.connections import connect
from positions.venues.base import EntryBatch, Evidence, Method, Venue, VenueError
from reconciliation import queries

METHODS = (Method.FILLS, Method.FUNDING, Method.TRANSFERS)
_COUNTED = {
    EntryOutcome.BOOKED: "applied",
    EntryOutcome.AMENDED: "applied",
    EntryOutcome.WAITING: "applied",
    EntryOutcome.DUPLICATE: "duplicate",
    EntryOutcome.CONFLICT: "conflicting",
    EntryOutcome.QUARANTINED: "dropped",
}
# A history of years in windows of a week is read in several questions, by one run as far as this.
MOST_QUESTIONS = 12
COUNTS = ("received", "applied", "duplicate", "conflicting", "dropped")


@dataclass(slots=True)
class ReadSummary:
    """The windows and counts of a run's requests.

    `windows` is {method: {"asked": [from, to], "covered": [from, to] or None, "complete": …,
    "withheld": […]}}; withheld are the venue symbols of rows that could not be read or booked, None for all.
    `of_legs` has the counts of the facts that name a venue symbol (None: none, or an unreadable one) and a
    leg (None: not said). `failed` are the methods that the venue did not answer.
    """

    windows: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    of_legs: defaultdict[tuple[str | None, str | None], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    problems: list[str] = field(default_factory=list)
    failed: set[Method] = field(default_factory=set)

    @property
    def complete(self) -> bool:
        return all(window["complete"] for window in self.windows.values())

    def count(self, what: str, *, symbol: str | None, leg: str | None = None) -> None:
        """Count one fact, in all and for the leg that it names."""
        self.counts[what] += 1
        self.of_legs[symbol, leg][what] += 1

    def counts_of(self, *, symbol: str, leg: str) -> dict[str, int]:
        """Return the counts of the facts that name a leg, or its symbol and no leg."""
        mine = self.of_legs[symbol, leg] + self.of_legs[symbol, None]
        return {name: mine[name] for name in COUNTS}


def open_account(*, account: Account, now: datetime, trace_id: str) -> None:
    """Fix the account's T0 if that was not done. Raises VenueError."""
    poll.facts(account=account, methods=[], now=now, trace_id=trace_id)


def entries(
    *,
    into: ReadSummary,
    account: Account,
    now: datetime,
    trace_id: str,
    methods: Iterable[Method] = METHODS,
    since: datetime | None = None,
    progress: poll.Progress | None = None,
) -> None:
    """Read facts since the cursors, or since an earlier time, book them and count the outcomes.

    A method that the venue does not answer leaves an incomplete window and a problem, and is not asked for
    again: what the report and the other methods tell still counts. Raises whatever `ingest.record` raises.
    """
    venue = connect(account=account)
    for method in methods:
        if venue.capabilities[method].evidence is Evidence.UNSUPPORTED or method in into.failed:
            continue
        try:
            _one(into, account, venue, method, since, now, trace_id, progress)
        except VenueError as error:
            _fail(into, account, method, error, since or now, now)


def _fail(
    into: ReadSummary, account: Account, method: Method, error: VenueError, since: datetime, now: datetime
) -> None:
    """Note that a method was not answered; what it withheld when last read, it still withholds."""
    last = queries.last_read_run(account=account.pk)
    before = last.windows.get(method.value, {}) if last else {}
    window = into.windows.setdefault(
        method.value,
        {
            "asked": [since.isoformat(), now.isoformat()],
            "covered": None,
            "complete": False,
            "withheld": list(before.get("withheld", ())),
        },
    )
    window["complete"] = False
    into.failed.add(method)
    into.problems.append(f"{method.value}: {error}")


def _one(
    into: ReadSummary,
    account: Account,
    venue: Venue,
    method: Method,
    since: datetime | None,
    now: datetime,
    trace_id: str,
    progress: poll.Progress | None,
) -> None:
    for question in range(MOST_QUESTIONS):
        asked = poll.ask(account=account, venue=venue, method=method, now=now, since=since)
        goes_on = asked.batch.goes_on and question + 1 < MOST_QUESTIONS
        _note(into, method, asked.batch, first=question == 0, last=not goes_on)
        results = poll.keep(
            account=account,
            asked=asked,
            source=f"reconcile {method}",
            trace_id=trace_id,
            now=now,
            progress=progress,
        )
        _count(into, method, asked.batch.entries, results)
        if not goes_on or asked.batch.covered is None:
            return
        since = asked.batch.covered[1]


def _note(into: ReadSummary, method: Method, batch: EntryBatch, *, first: bool, last: bool) -> None:
    asked = [moment.isoformat() for moment in batch.asked]
    covered = [moment.isoformat() for moment in batch.covered] if batch.covered else None
    withheld = {row.venue_symbol for row in batch.unreadable} | set(batch.unknown_symbols)
    complete = batch.complete
    if not first:
        before = into.windows[method.value]
        asked[0] = before["asked"][0]
        covered = [before["covered"][0], (covered or before["covered"])[1]]
        complete = complete and not before["withheld"]
        withheld |= set(before["withheld"])
    into.windows[method.value] = {
        "asked": asked,
        "covered": covered,
        "complete": complete,
        "withheld": sorted(withheld, key=str),
    }
    for entry in batch.entries:
        into.count("received", symbol=entry.instrument, leg=entry.leg)
    for row in batch.unreadable:
        into.count("received", symbol=row.venue_symbol)
        into.count("dropped", symbol=row.venue_symbol)
    # Where the next question goes on, that there is a rest is no problem.
    into.problems += batch.problems if last else ()
    into.problems += [f"{row.what}: {row.reason}" for row in batch.unreadable[:5]]


def _count(
    into: ReadSummary, method: Method, entries: Sequence[Entry], results: Sequence[ingest.EntryResult]
) -> None:
    for entry, result in zip(entries, results, strict=True):
        into.count(_COUNTED[result.outcome], symbol=entry.instrument, leg=entry.leg)
        if result.outcome in (EntryOutcome.CONFLICT, EntryOutcome.QUARANTINED):
            into.windows[method.value]["withheld"].append(entry.instrument)
            into.problems.append(result.detail)
