"""What the overview and the certificates show: accounts, legs and runs. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import redis
import structlog
from django.utils.dateparse import parse_datetime

from positions.labels import TELLING_FEEDS, venue_name
from positions.models import Account
from positions.sync import evidence, feed_words
from positions.sync.backfills import Backfill, Stage, known
from reconciliation import labels, queries
from reconciliation.models import Pause, Run, Verdict, VerdictStatus
from reconciliation.pages.proof_day import ProofDay, proof_days

SHOWN_AFTER_END = timedelta(minutes=5)

log = structlog.get_logger("reconciliation")


@dataclass(frozen=True, slots=True)
class Chip:
    """A word with its colour: `level` is ok, watch, act or "" (grey); `title` explains it on hover."""

    text: str
    level: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class DifferenceSides:
    """One kind of difference with both sides; None: nothing held, or unknown. `amount` is venue − book."""

    what: str
    book: Decimal | None
    venue: Decimal | None
    amount: Decimal
    drift: bool


def difference_sides(difference: dict[str, Any]) -> DifferenceSides:
    """Return a difference as certificates and verdicts keep it (JSON), with its label and its amounts."""
    book = None if difference["book"] is None else Decimal(difference["book"])
    venue = None if difference["venue"] is None else Decimal(difference["venue"])
    return DifferenceSides(
        what=labels.KINDS.get(difference["kind"], difference["kind"]),
        book=book,
        venue=venue,
        amount=(venue or Decimal(0)) - (book or Decimal(0)),
        drift=difference.get("drift", True),
    )


# Accounts and legs ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountProof:
    """One account in the overview. `age`: of its oldest proof, in seconds; None: something is unproven."""

    account: Account
    venue: str
    status: str
    label: str
    oldest_proof: datetime | None
    age: float | None
    counts: dict[str, int]
    legs: int
    unproven: tuple[str, ...]
    open_cases: int
    run: Run | None
    paused: bool
    backfills: list[str]
    day: ProofDay
    aged: bool = False

    @property
    def differing(self) -> int:
        """How many legs and balances differ."""
        return self.counts[VerdictStatus.DRIFT] + self.counts[VerdictStatus.FAILED]

    @property
    def caution(self) -> str:
        """Why a Synced is not certain; "" where it is."""
        if self.status != VerdictStatus.SYNCED or not self.unproven:
            return ""
        return f"No test proves yet how we read: {', '.join(self.unproven)}"

    @property
    def run_chip(self) -> Chip:
        """What came of the newest run, in a word."""
        return Chip("") if self.run is None else run_summary(self.run).chip


@dataclass(frozen=True, slots=True)
class LegProof:
    """One leg or balance in the overview; `age` of its proof in seconds, None: never proven.

    `aged`: its account's feed has stopped since, so that the proof is not of now.
    """

    verdict: Verdict
    status: str
    label: str
    age: float | None
    differences: list[DifferenceSides]
    aged: bool = False


def verdicts() -> list[Verdict]:
    """Return the verdicts of all accounts, with account and instrument."""
    rows = queries.subjects().select_related("account", "instrument")
    return list(rows.order_by("account__label", "pk"))


def leg_proofs(*, verdicts: Iterable[Verdict], now: datetime) -> list[LegProof]:
    """Return every leg and balance that was ever compared, the worst first."""
    rows = list(verdicts)
    feeds = feed_words.of({row.account_id: row.account.is_manual for row in rows}, now=now)
    found = [_leg_proof(verdict, now, feed=feeds[verdict.account_id]) for verdict in rows]
    return sorted(found, key=lambda one: labels.WORST_FIRST.index(one.status))


def _leg_proof(verdict: Verdict, now: datetime, *, feed: str) -> LegProof:
    status = verdict.status_now(now=now).value
    reading = evidence.of_leg(account=verdict.account, instrument=verdict.instrument)
    aged = status == VerdictStatus.SYNCED and feed not in TELLING_FEEDS
    return LegProof(
        verdict=verdict,
        status=status,
        aged=aged,
        label=labels.verdict_label(status, is_proven=reading.is_proven, at=verdict.as_of if aged else None),
        age=None if verdict.as_of is None else (now - verdict.as_of).total_seconds(),
        differences=[difference_sides(one) for one in verdict.suspected],
    )


def account_proofs(
    *, accounts: Iterable[Account], verdicts: Iterable[Verdict], now: datetime
) -> list[AccountProof]:
    """Return accounts with their worst verdict, the worst first, in a constant number of queries."""
    rows = list(accounts)
    ids = [row.pk for row in rows]
    by_account: dict[int, list[Verdict]] = {pk: [] for pk in ids}
    for verdict in verdicts:
        by_account.get(verdict.account_id, []).append(verdict)
    runs, open_cases = queries.last_runs(accounts=ids), queries.open_cases(accounts=ids)
    backfills = _backfills(now)
    reports = queries.newest_reports(accounts=ids)
    feeds = feed_words.of({row.pk: row.is_manual for row in rows}, now=now)
    days = proof_days(rows, now=now)
    found = [
        _account_proof(
            row,
            by_account[row.pk],
            now,
            whole=row.pk in reports and reports[row.pk].complete,
            feed=feeds[row.pk],
            run=runs.get(row.pk),
            open_cases=open_cases.get(row.pk, 0),
            backfills=backfills.get(row.pk, []),
            day=days[row.pk],
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (labels.WORST_FIRST.index(one.status), one.account.label))


def _account_proof(
    account: Account, verdicts: list[Verdict], now: datetime, *, whole: bool, feed: str, **shown: Any
) -> AccountProof:
    statuses = [row.status_now(now=now).value for row in verdicts]
    worst = min(statuses, key=labels.WORST_FIRST.index, default=VerdictStatus.PENDING.value)
    if worst == VerdictStatus.SYNCED and not whole:
        worst = VerdictStatus.PENDING.value
    proofs = [row.as_of for row in verdicts if row.as_of is not None]
    oldest = min(proofs) if proofs and len(proofs) == len(verdicts) else None
    unproven = evidence.unproven(account)
    aged = worst == VerdictStatus.SYNCED and feed not in TELLING_FEEDS
    return AccountProof(
        account=account,
        venue=venue_name(account.venue),
        status=worst,
        label=labels.verdict_label(worst, is_proven=not unproven, at=oldest if aged else None),
        aged=aged,
        oldest_proof=oldest,
        age=None if oldest is None else (now - oldest).total_seconds(),
        counts={name: statuses.count(name) for name in labels.WORST_FIRST},
        legs=len(statuses),
        unproven=unproven,
        paused=account.paused_until is not None and account.paused_until > now,
        **shown,
    )


def _backfills(now: datetime) -> dict[int, list[str]]:
    """Return the backfills of each account in words; those that ended only for a few minutes."""
    found: dict[int, list[str]] = {}
    try:
        backfills = known(now=now)
    except redis.RedisError as error:
        log.warning("progress of backfills is not known", error=str(error))
        return {}
    for backfill in backfills:
        if not backfill.is_over or now - backfill.at < SHOWN_AFTER_END:
            found.setdefault(backfill.account, []).append(_backfill_progress(backfill))
    return found


def _backfill_progress(backfill: Backfill) -> str:
    name = backfill.feed.value.capitalize()
    if backfill.stage == Stage.WAITING:
        return f"{name} wait to be read again"
    if backfill.stage == Stage.RUNNING:
        count = f": {backfill.done} of {backfill.of}" if backfill.of else ""
        return f"{name} are read again{count}"
    if backfill.stage == Stage.FAILED:
        return f"{name} could not be read again: {backfill.problem}"
    return f"{name} read again: {backfill.booked} new of {backfill.of}"


def pauses(*, rows: Iterable[Pause], now: datetime) -> list[tuple[Pause, datetime | None]]:
    """Return pauses (with account) and when each ended; None: it lasts."""
    return [(row, row.over_at(now=now)) for row in rows]


# Certificates -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in the list. `state` is running, unread or finished; `seconds` None: it is not over."""

    run: Run
    state: str
    compared: int
    differing: int
    unseen: int
    seconds: float | None

    @property
    def is_finished(self) -> bool:
        """Whether the run is over and could read the venue."""
        return self.state == "finished"

    @property
    def booked(self) -> int | None:
        """How many facts the run booked; None: not known (yet)."""
        return self.run.counts.get("applied") if self.run.finished_at else None

    @property
    def chip(self) -> Chip:
        """What came of the run, in a word."""
        if not self.is_finished:
            return Chip(labels.RUN_STATES[self.state], "" if self.state == "running" else "watch")
        if self.differing:
            return Chip(labels.RUN_STATES["differs"], "act")
        if self.run.complete:
            return Chip(labels.RUN_STATES["complete"], "ok")
        return Chip(labels.RUN_STATES["incomplete"], "watch")


def run_summary(run: Run) -> RunSummary:
    """Return a run with its legs and balances counted."""
    lines = [*run.legs, *run.balances]
    return RunSummary(
        run=run,
        state="running" if run.finished_at is None else "unread" if run.as_of is None else "finished",
        compared=len(lines),
        differing=sum(any(one["drift"] for one in line["differences"]) for line in lines),
        unseen=sum(not line["observed"] for line in lines),
        seconds=None if run.finished_at is None else (run.finished_at - run.started_at).total_seconds(),
    )


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """One leg or balance of a certificate: its JSON, what the run saw of it, its differences in words."""

    line: dict[str, Any]
    seen: Chip
    differences: list[DifferenceSides]


@dataclass(frozen=True, slots=True)
class WindowLine:
    """What a run requested of one kind of fact, and up to when the venue covered it; None: not known."""

    kind: str
    since: datetime | None
    covered_to: datetime | None
    complete: bool


def _window_line(kind: str, window: dict[str, Any]) -> WindowLine:
    requested, covered = window.get("asked") or (None, None), window.get("covered") or (None, None)
    return WindowLine(
        kind=kind,
        since=requested[0] and parse_datetime(requested[0]),
        covered_to=covered[1] and parse_datetime(covered[1]),
        complete=window["complete"],
    )


def certificate(run: Run) -> dict[str, Any]:
    """Return what a certificate's page shows: the run counted, its legs, balances and windows."""
    return {
        "summary": run_summary(run),
        "legs": _lines(run.legs, _leg_seen),
        "balances": _lines(run.balances, _balance_seen),
        "windows": [_window_line(kind, window) for kind, window in sorted(run.windows.items())],
    }


def _lines(lines: Sequence[dict[str, Any]], seen: Any) -> list[CertificateLine]:
    return [
        CertificateLine(line, seen(line), [difference_sides(one) for one in line["differences"]])
        for line in lines
    ]


def _leg_seen(leg: dict[str, Any]) -> Chip:
    if not leg["observed"]:
        return Chip("Not observed", "watch")
    if not leg.get("proves"):
        return Chip("Not whole", "watch")
    if not leg.get("complete"):
        return Chip("Fills cut", "watch", "The state was read whole, the fills were not")
    return Chip("whole", "plain")


def _balance_seen(balance: dict[str, Any]) -> Chip:
    if not balance["observed"]:
        return Chip("Not observed", "watch")
    if not balance.get("proves"):
        return Chip(f"{balance.get('unknown_entries', '')} unknown in the book", "watch")
    return Chip("whole", "plain")
