"""What each position's proof is now, in the interface's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from positions.models import Position
from positions.sync import evidence
from reconciliation.models import Run, Status, Verdict

LABELS: dict[str, str] = dict(Status.choices)
WORST_FIRST: list[str] = [Status.FAILED, Status.DRIFT, Status.PENDING, Status.SYNCED]
WORDS = {
    "missing_in_book": "Missing in the book",
    "missing_at_venue": "Missing at the venue",
    "quantity": "Quantity",
    "entry_price": "Entry price",
    "balance": "Balance",
    "equity": "Equity",
}
UNPROVEN = "Synced, reading unproven"
SHOWN_RUNS = 50


def label(proof: str, *, reading: evidence.EvidenceGrade) -> str:
    """The interface's word for a proof; a Synced says so where the reading it rests on was never proven."""
    return UNPROVEN if proof == Status.SYNCED and not reading.is_proven else LABELS[proof]


def of(positions: Sequence[Position], *, now: datetime) -> dict[int, str]:
    """Return {position id: PENDING, SYNCED, DRIFT or FAILED}, in one query; never reconciled is PENDING."""
    verdicts = Verdict.objects.filter(account__in={position.account_id for position in positions})
    known = {(row.account_id, row.instrument_id, row.leg): row.status_now(now=now) for row in verdicts}
    return {
        position.pk: known.get((position.account_id, position.instrument_id, position.leg), Status.PENDING)
        for position in positions
    }


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg's proof. `differences` of the last report are (what, book, venue); None is nothing held."""

    verdict: Verdict
    proof: str
    label: str
    age: float | None
    differences: list[tuple[str, str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Certificate:
    """One run, counted."""

    run: Run
    legs: int
    differing: int
    unseen: int


def legs(*, now: datetime) -> list[Leg]:
    """Every leg that was ever compared, the worst first."""
    verdicts = Verdict.objects.select_related("account", "instrument").order_by("account__label", "pk")
    found = [
        Leg(
            verdict=verdict,
            proof=(proof := verdict.status_now(now=now)),
            label=label(
                proof, reading=evidence.of_leg(account=verdict.account, instrument=verdict.instrument)
            ),
            age=None if verdict.as_of is None else (now - verdict.as_of).total_seconds(),
            differences=[
                (WORDS.get(one["kind"], one["kind"]), one["book"], one["venue"]) for one in verdict.suspected
            ],
        )
        for verdict in verdicts
    ]
    return sorted(found, key=lambda leg: WORST_FIRST.index(leg.proof))


def certificates() -> list[Certificate]:
    """The newest runs of all accounts."""
    return [
        Certificate(
            run=run,
            legs=len(run.legs),
            differing=sum(bool(leg["differences"]) for leg in run.legs),
            unseen=sum(not leg["observed"] for leg in run.legs),
        )
        for run in Run.objects.select_related("account").order_by("-started_at", "-pk")[:SHOWN_RUNS]
    ]
