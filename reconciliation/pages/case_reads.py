"""What the case inbox and a case's page show, read for one paint each. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from core.http.inputs import id_of
from core.templatetags import numbers
from positions.labels import venue_name
from positions.ledger.instruments import par_currencies
from positions.models import Account, Entry, InstrumentKind, Position
from reconciliation import labels
from reconciliation.api import serializers
from reconciliation.cases.effects import PlanEffect
from reconciliation.models import Case, CaseEvent, CaseState, Correction, Run, Verdict, VerdictStatus
from reconciliation.pages.reads import Chip, DifferenceSides, difference_sides
from reconciliation.queries import verdict_of

Figures = Mapping[str, str | None]

HALF_A_CENT, HALF_A_CRUMB = Decimal("0.005"), Decimal("0.000000005")

STATE_LEVELS = {
    CaseState.OPEN: "act",
    CaseState.ACKNOWLEDGED: "watch",
    CaseState.RESOLVED: "ok",
    CaseState.DISMISSED: "",
}


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """One case in the inbox, in a sentence."""

    case: Case
    chip: Chip
    venue: str
    headline: str
    likely: str
    percent: int | None
    age: float


def inbox(*, cases: Iterable[Case], now: datetime) -> list[CaseSummary]:
    """Return cases (with account and instrument) as the inbox shows them."""
    return [
        CaseSummary(
            case=case,
            chip=case_chip(case),
            venue=venue_name(case.account.venue),
            headline=headline(case),
            **_likeliest(case),
            age=((case.closed_at or now) - case.opened_at).total_seconds(),
        )
        for case in cases
    ]


def case_chip(case: Case) -> Chip:
    """Return a case's state with its colour."""
    return Chip(CaseState(case.state).label, STATE_LEVELS[CaseState(case.state)])


def _likeliest(case: Case) -> dict[str, Any]:
    if not case.diagnosis:
        return {"likely": "Not diagnosed", "percent": None}
    first = serializers.diagnosis(case)[0]
    return {"likely": labels.CAUSES.get(first["cause"], "Unknown"), "percent": first["percent"]}


def headline(case: Case) -> str:
    """Return what differs: "Book says 0.5 BTC, Hyperliquid says 0.45 BTC"."""
    if not case.differences:
        return "The difference is gone"
    one = case.differences[0]
    venue = venue_name(case.account.venue)
    return f"Book says {_amount(one['book'], case)}, {venue} says {_amount(one['venue'], case)}"


def _amount(value: str | None, case: Case) -> str:
    return "nothing" if value is None else f"{numbers.held(value, case.asset)} {unit_of(case)}".strip()


def unit_of(case: Case) -> str:
    """Return the unit of a case's difference: an asset or a currency."""
    if case.instrument is None:
        return case.asset
    if case.family == "entry_price" or case.instrument.kind == InstrumentKind.INVERSE:
        return case.instrument.quote
    return case.instrument.base


@dataclass(frozen=True, slots=True)
class CitedRecord:
    """A record that a cause cites: an entry of the book with its position, a report, another case.

    All four None: a record of the venue that is not in the book.
    """

    ref: str
    entry: Entry | None
    position: int | None
    report: datetime | None = None
    case: int | None = None


@dataclass(frozen=True, slots=True)
class LikelyCause:
    """A possible cause with its share of all (percent) and the records it cites."""

    cause: str
    label: str
    percent: int
    text: str
    evidence: list[CitedRecord]


@dataclass(frozen=True, slots=True)
class CaseCorrection:
    """A correction as its case shows it; `reversible`: it booked entries that can be taken back."""

    correction: Correction
    label: str
    chip: Chip | None
    reversible: bool


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event of a case in words."""

    at: datetime
    label: str
    text: str
    who: str


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One figure of the book before and after an action, as text."""

    label: str
    before: str
    after: str
    unit: str


@dataclass(frozen=True, slots=True)
class PreviewEffect:
    """What an action does to realized P&L: text, the sign's word, and the currency."""

    text: str
    sign: str
    unit: str


@dataclass(frozen=True, slots=True)
class CaseDetail:
    """A case with everything its page shows."""

    case: Case
    chip: Chip
    venue: str
    unit: str
    verdict: Verdict | None
    verdict_label: str
    proof_age: float | None
    headline: str
    sides: list[DifferenceSides]
    causes: list[LikelyCause]
    actions: list[labels.Action]
    corrections: list[CaseCorrection]
    events: list[HistoryLine]
    position: int | None
    run: Run
    confirmed: bool


def case_detail(*, case: Case, now: datetime) -> CaseDetail:
    """Return a case (with account and instrument) with its diagnosis, its evidence and what can be done."""
    verdict = verdict_of(case=case)
    sides = [difference_sides(one) for one in case.differences]
    first = sides[0] if sides else None
    status = verdict.status_now(now=now) if verdict else VerdictStatus.PENDING
    refs = {ref for one in case.diagnosis for ref in one["evidence"]}
    known = _entries(case.account, refs)
    return CaseDetail(
        case=case,
        chip=case_chip(case),
        venue=venue_name(case.account.venue),
        unit=unit_of(case),
        verdict=verdict,
        verdict_label=labels.verdict_label(status),
        proof_age=(now - verdict.as_of).total_seconds() if verdict and verdict.as_of else None,
        headline=headline(case),
        sides=sides,
        causes=[_likely_cause(one, known) for one in serializers.diagnosis(case)],
        actions=labels.actions(
            names=serializers.actions_for(case),
            family=case.family,
            unit=unit_of(case),
            amount=first.amount if first else Decimal(0),
            venue=case.differences[0]["venue"] if case.differences else None,
            in_cents=case.asset in par_currencies(),
        ),
        corrections=[_correction(one) for one in case.corrections.order_by("pk")],
        events=[_history_line(one) for one in case.events.order_by("-pk")],
        position=_position(case),
        run=(verdict.run if verdict and verdict.run else case.run),
        confirmed=status in (VerdictStatus.DRIFT, VerdictStatus.FAILED),
    )


def preview_rows(*, case: Case, effect: PlanEffect) -> list[PreviewRow]:
    """Return what an action would change, as a plan states it: size and entry price, or a balance."""
    unit, before, after = unit_of(case), effect.before, effect.after
    if "size" not in before:
        return [
            _preview_row("Book", before, after, "book", lambda value: numbers.held(value, case.asset), unit)
        ]
    size_unit = "" if case.family == "entry_price" else unit
    return [
        _preview_row(labels.KINDS["quantity"], before, after, "size", numbers.quantity, size_unit),
        _preview_row(labels.KINDS["entry_price"], before, after, "entry_price", numbers.price, ""),
    ]


def preview_effect(*, pnl: Decimal | None, currency: str) -> PreviewEffect:
    """Return the change of realized P&L in words: to the cent, or to 8 places of a coin; less is "none"."""
    if pnl is None:
        return PreviewEffect("unknown", "unknown", "")
    is_par = currency in par_currencies()
    if abs(pnl) < (HALF_A_CENT if is_par else HALF_A_CRUMB):
        return PreviewEffect("none", "zero", "")
    text = numbers.signed(pnl) if is_par else ("+" if pnl > 0 else "") + numbers.quantity(pnl)
    return PreviewEffect(text, numbers.sign(pnl), currency)


def _preview_row(
    label: str, before: Figures, after: Figures, name: str, write: Callable[[str | None], str], unit: str
) -> PreviewRow:
    return PreviewRow(label, write(before.get(name)), write(after.get(name)), unit)


def _correction(row: Correction) -> CaseCorrection:
    if row.reversed_at:
        chip = Chip(f"Undone {row.reversed_at:%H:%M:%S}")
    elif row.outcome:
        chip = Chip(*labels.OUTCOME_CHIPS.get(row.outcome, (row.outcome.capitalize(), "watch")))
    else:
        chip = None
    undone = row.reversed_at or row.outcome == "refused" or row.action == "reverse_manual"
    return CaseCorrection(
        correction=row,
        label=labels.DONE.get(row.action, row.action),
        chip=chip,
        reversible=bool(row.entries) and not undone,
    )


def _history_line(event: CaseEvent) -> HistoryLine:
    label = labels.EVENTS.get(event.kind, event.kind.title())
    if event.kind == "assigned":
        return HistoryLine(event.at, f"{label} to {event.text or 'nobody'}", "", event.who)
    return HistoryLine(event.at, label, event.text, event.who)


def _entries(account: Account, refs: set[str]) -> dict[str, Entry]:
    rows = Entry.objects.filter(account=account, venue_ref__in=refs).select_related("instrument")
    return {row.venue_ref: row for row in rows}


def _likely_cause(one: dict[str, Any], known: dict[str, Entry]) -> LikelyCause:
    return LikelyCause(
        cause=one["cause"],
        label=labels.CAUSES.get(one["cause"], one["cause"]),
        percent=one["percent"],
        text=one["text"],
        evidence=[
            CitedRecord(ref, known.get(ref), _episode(known.get(ref)), _report(ref), _other_case(ref))
            for ref in one["evidence"]
        ],
    )


def _report(ref: str) -> datetime | None:
    """Return the time of a report that evidence names: "report hyperliquid/ETH@2026-01-15T12:00:00+00:00"."""
    name, _, at = ref.partition("@")
    return parse_datetime(at) if name.startswith("report ") else None


def _other_case(ref: str) -> int | None:
    """Return the case that evidence names: "case 12"."""
    name, _, number = ref.partition(" ")
    return id_of(number) if name == "case" else None


def _episode(entry: Entry | None) -> int | None:
    """Return the position that an entry belongs to: the episode of its leg that was open then."""
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
