"""The board's side panel: one position with its newest entries, its proof and its open cases. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from portfolio.pages import reads
from positions import queries
from positions.models import Position
from reconciliation.models import Case, Verdict
from reconciliation.queries import verdicts_about

NEWEST = 8  # entries and events


@dataclass(frozen=True, slots=True)
class ProofLine:
    """What proves a leg, or one of the wallets that hold a coin. `as_of` is the venue's time; None: never."""

    wallet: str
    as_of: datetime | None
    run: int | None


@dataclass(frozen=True, slots=True)
class PositionPanel:
    """A position as the side panel shows it."""

    detail: reads.PositionDetail
    proofs: list[ProofLine]
    cases: list[Case]


def of_position(*, pk: int, now: datetime) -> PositionPanel:
    """Return a position with what is around it. Raises Position.DoesNotExist."""
    position = queries.board().get(pk=pk)
    verdicts = list(verdicts_about(position).order_by("pk"))
    return PositionPanel(
        detail=reads.position(pk=pk, now=now, newest=NEWEST),
        proofs=[ProofLine(verdict.wallet, verdict.as_of, verdict.run_id) for verdict in verdicts],
        cases=_open_cases(position, verdicts),
    )


def _open_cases(position: Position, verdicts: list[Verdict]) -> list[Case]:
    about = Q(instrument=position.instrument_id, leg=position.leg)
    for verdict in verdicts:
        about |= Q(**{name: getattr(verdict, name) for name in ("instrument", "leg", "wallet", "asset")})
    cases = Case.objects.filter(about, account=position.account_id, closed_at__isnull=True)
    return list(cases.order_by("pk"))
