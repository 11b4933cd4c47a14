"""What the reconciliation pages show, read for one paint each. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import redis
import structlog
from django.db.models import Count, Q
from django.utils.dateparse import parse_datetime

from core.templatetags import numbers
from positions.models import Account, Entry, InstrumentKind, Position
from positions.sync import evidence as readings
from positions.sync.backfills import Backfill, Stage, known
from reconciliation import labels, queries
from reconciliation.api import serializers
from reconciliation.models import Case, CaseEvent, Correction, Pause, Run, Status, Verdict

WORST_FIRST = {"FAILED": 0, "DRIFT": 1, "PENDING": 2, "SYNCED": 3}
SHOWN_AFTER_END = timedelta(minutes=5)
_UNPROVEN = "Synced, reading unproven"

log = structlog.get_logger("reconciliation")


@dataclass(frozen=True, slots=True)
class Standing:
    """One account in the overview. `age` is that of its oldest proof in seconds; None: something unproven."""

    account: Account
    venue: str
    status: str
    label: str
    age: float | None
    counts: dict[str, int]
    legs: int
    unproven: tuple[str, ...]
    open_cases: int
    run: Run | None
    paused: bool
    backfills: list[str]


def standings(*, accounts: Iterable[Account], now: datetime) -> list[Standing]:
    """Return how accounts stand, the worst first, in a constant number of queries."""
    rows = list(accounts)
    ids = [row.pk for row in rows]
    verdicts: dict[int, list[Verdict]] = {pk: [] for pk in ids}
    for verdict in Verdict.objects.filter(account__in=ids).order_by("pk"):
        verdicts[verdict.account_id].append(verdict)
    newest = Run.objects.filter(account__in=ids).order_by("account_id", "-started_at", "-pk")
    runs = {run.account_id: run for run in newest.distinct("account_id")}
    waiting = dict(
        Case.objects.filter(account__in=ids, closed_at=None)
        .order_by()
        .values_list("account")
        .annotate(count=Count("pk"))
    )
    read_again = _backfills(now)
    reports = queries.newest_reports(accounts=ids)
    found = [
        _standing(
            row,
            verdicts[row.pk],
            now,
            whole=row.pk in reports and reports[row.pk].complete,
            run=runs.get(row.pk),
            open_cases=waiting.get(row.pk, 0),
            backfills=read_again.get(row.pk, []),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (WORST_FIRST[one.status], one.account.label))


def _backfills(now: datetime) -> dict[int, list[str]]:
    """Feeds that are read again, in words, by account; those that ended only for a few minutes."""
    found: dict[int, list[str]] = {}
    try:
        asked = known(now=now)
    except redis.RedisError as error:
        log.warning("progress of backfills is not known", error=str(error))
        return {}
    for one in asked:
        if not one.is_over or now - one.at < SHOWN_AFTER_END:
            found.setdefault(one.account, []).append(_read_again(one))
    return found


def _read_again(one: Backfill) -> str:
    name = one.feed.value.capitalize()
    if one.stage == Stage.WAITING:
        return f"{name} wait to be read again"
    if one.stage == Stage.RUNNING:
        return f"{name} are read again: {one.done} of {one.of}" if one.of else f"{name} are read again"
    if one.stage == Stage.FAILED:
        return f"{name} could not be read again: {one.problem}"
    return f"{name} read again: {one.booked} new of {one.of}"


def _standing(
    account: Account, verdicts: list[Verdict], now: datetime, *, whole: bool, **shown: Any
) -> Standing:
    states = [row.status_now(now=now).value for row in verdicts]
    worst = min(states, key=WORST_FIRST.__getitem__, default=Status.PENDING.value)
    if worst == Status.SYNCED and not whole:
        worst = Status.PENDING.value
    proofs = [row.as_of for row in verdicts]
    known = [at for at in proofs if at is not None]
    unproven = readings.unproven(account)
    label = _UNPROVEN if worst == Status.SYNCED and unproven else Status(worst).label
    return Standing(
        account=account,
        venue=labels.venue_name(account.venue),
        status=worst,
        label=str(label),
        age=(now - min(known)).total_seconds() if known and len(known) == len(proofs) else None,
        counts={name: states.count(name) for name in WORST_FIRST},
        legs=len(states),
        unproven=unproven,
        paused=account.paused_until is not None and account.paused_until > now,
        **shown,
    )


def paused(*, rows: Iterable[Pause], now: datetime) -> list[tuple[Pause, datetime | None]]:
    """Return pauses (with account) and when each was over; None: it lasts."""
    return [(row, row.over_at(now=now)) for row in rows]


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case in the inbox, in a sentence."""

    case: Case
    venue: str
    headline: str
    likely: str
    percent: int | None
    age: float


def inbox(*, cases: Iterable[Case], now: datetime) -> list[CaseLine]:
    """Return cases (with account and instrument) as the inbox shows them."""
    return [
        CaseLine(
            case=case,
            venue=labels.venue_name(case.account.venue),
            headline=headline(case),
            **_likeliest(case),
            age=((case.closed_at or now) - case.opened_at).total_seconds(),
        )
        for case in cases
    ]


def _likeliest(case: Case) -> dict[str, Any]:
    if not case.diagnosis:
        return {"likely": "Not diagnosed", "percent": None}
    first = serializers.diagnosis(case)[0]
    return {"likely": labels.CAUSES.get(first["cause"], "Unknown"), "percent": first["percent"]}


def headline(case: Case) -> str:
    """Return what differs: "Book says 0.5 BTC, Hyperliquid says 0.45 BTC"."""
    if not case.differences:
        return "The difference is gone."
    one = case.differences[0]
    venue = labels.venue_name(case.account.venue)
    return f"Book says {_said(one['book'], case)}, {venue} says {_said(one['venue'], case)}"


def _said(value: str | None, case: Case) -> str:
    return "nothing" if value is None else f"{numbers.quantity(value)} {unit_of(case)}".strip()


def unit_of(case: Case) -> str:
    """Return in what a case's difference is counted."""
    if case.instrument is None:
        return case.asset
    if case.family == "entry_price" or case.instrument.kind == InstrumentKind.INVERSE:
        return case.instrument.quote
    return case.instrument.base


@dataclass(frozen=True, slots=True)
class Said:
    """One kind of difference: both sides and venue − book; None is nothing held, or not said."""

    what: str
    book: Decimal | None
    venue: Decimal | None
    amount: Decimal
    drift: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a finding rests on: an entry of the book (and its position), a record of the venue, or a case."""

    ref: str
    entry: Entry | None
    position: int | None
    report: datetime | None = None
    case: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A possible cause."""

    cause: str
    label: str
    percent: int
    text: str
    evidence: list[Evidence]


@dataclass(frozen=True, slots=True)
class CasePage:
    """A case with all that its page says."""

    case: Case
    venue: str
    unit: str
    verdict: Verdict | None
    verdict_label: str
    proof_age: float | None
    headline: str
    said: list[Said]
    findings: list[Found]
    actions: list[labels.Action]
    corrections: list[tuple[Correction, str]]
    events: list[tuple[CaseEvent, str]]
    position: int | None
    run: Run
    confirmed: bool


def case_page(*, case: Case, now: datetime) -> CasePage:
    """Return a case (with account and instrument) with its diagnosis, its evidence and what can be done."""
    subject = {name: getattr(case, name) for name in ("account", "instrument", "leg", "wallet", "asset")}
    verdict = Verdict.objects.filter(**subject).first()
    said = [_sides(one) for one in case.differences]
    first = said[0] if said else None
    status = verdict.status_now(now=now) if verdict else Status.PENDING
    refs = {ref for one in case.diagnosis for ref in one["evidence"]}
    known = _entries(case.account, refs)
    return CasePage(
        case=case,
        venue=labels.venue_name(case.account.venue),
        unit=unit_of(case),
        verdict=verdict,
        verdict_label=str(status.label),
        proof_age=(now - verdict.as_of).total_seconds() if verdict and verdict.as_of else None,
        headline=headline(case),
        said=said,
        findings=[_found(one, known) for one in serializers.diagnosis(case)],
        actions=labels.actions(
            names=serializers.actions_for(case),
            family=case.family,
            unit=unit_of(case),
            amount=first.amount if first else Decimal(0),
            venue=case.differences[0]["venue"] if case.differences else None,
        ),
        corrections=[
            (one, labels.DONE.get(one.action, one.action)) for one in case.corrections.order_by("pk")
        ],
        events=[(one, labels.EVENTS.get(one.kind, one.kind.title())) for one in case.events.order_by("-pk")],
        position=_position(case),
        run=(verdict.run if verdict and verdict.run else case.run),
        confirmed=status in (Status.DRIFT, Status.FAILED),
    )


def _sides(one: dict[str, Any]) -> Said:
    book = None if one["book"] is None else Decimal(one["book"])
    venue = None if one["venue"] is None else Decimal(one["venue"])
    return Said(
        what=labels.KINDS.get(one["kind"], one["kind"]),
        book=book,
        venue=venue,
        amount=(venue or Decimal(0)) - (book or Decimal(0)),
        drift=one.get("drift", True),
    )


def _entries(account: Account, refs: set[str]) -> dict[str, Entry]:
    rows = Entry.objects.filter(account=account, venue_ref__in=refs).select_related("instrument")
    return {row.venue_ref: row for row in rows}


def _found(one: dict[str, Any], known: dict[str, Entry]) -> Found:
    return Found(
        cause=one["cause"],
        label=labels.CAUSES.get(one["cause"], one["cause"]),
        percent=one["percent"],
        text=one["text"],
        evidence=[
            Evidence(ref, known.get(ref), _episode(known.get(ref)), _report(ref), _other_case(ref))
            for ref in one["evidence"]
        ],
    )


def _report(ref: str) -> datetime | None:
    """The time of a report that evidence names: "report hyperliquid/ETH@2026-01-15T12:00:00+00:00"."""
    name, _, at = ref.partition("@")
    return parse_datetime(at) if name.startswith("report ") else None


def _other_case(ref: str) -> int | None:
    """The case that evidence names: "case 12"."""
    name, _, number = ref.partition(" ")
    return int(number) if name == "case" and number.isdigit() else None


def _episode(entry: Entry | None) -> int | None:
    """The position that an entry belongs to: the episode of its leg that was open then."""
    if entry is None or entry.instrument_id is None:
        return None
    rows = Position.objects.filter(account=entry.account_id, instrument=entry.instrument_id)
    rows = rows.filter(leg=entry.leg) if entry.leg else rows
    open_then = rows.filter(Q(closed_at=None) | Q(closed_at__gte=entry.at), opened_at__lte=entry.at)
    return open_then.exclude(status="VOID").order_by("opened_at", "pk").values_list("pk", flat=True).first()


def _position(case: Case) -> int | None:
    rows = Position.objects.filter(account=case.account).exclude(status="VOID")
    if case.instrument_id is not None:
        rows = rows.filter(instrument=case.instrument_id, leg=case.leg)
    else:
        rows = rows.filter(instrument__kind=InstrumentKind.ASSET, instrument__base=case.asset)
    return rows.order_by("-opened_at", "-pk").values_list("pk", flat=True).first()


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run in the list of certificates."""

    run: Run
    state: str
    compared: int
    differing: int
    unseen: int
    seconds: float | None


def run_line(run: Run) -> RunLine:
    """Return a run counted."""
    lines = [*run.legs, *run.balances]
    return RunLine(
        run=run,
        state="running" if run.finished_at is None else "unread" if run.as_of is None else "finished",
        compared=len(lines),
        differing=sum(any(one["drift"] for one in line["differences"]) for line in lines),
        unseen=sum(not line["observed"] for line in lines),
        seconds=None if run.finished_at is None else (run.finished_at - run.started_at).total_seconds(),
    )


def certificate(run: Run) -> dict[str, Any]:
    """Return a run's lines with their differences in words."""
    legs = [(line, [_sides(one) for one in line["differences"]]) for line in run.legs]
    balances = [(line, [_sides(one) for one in line["differences"]]) for line in run.balances]
    return {"line": run_line(run), "legs": legs, "balances": balances, "windows": sorted(run.windows.items())}
