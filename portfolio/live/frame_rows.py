"""Reads positions, verdicts and prices as frames of the live log carry them: amounts and times are texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from portfolio.live import board_position
from portfolio.live.board_position import BOOK_COLUMNS, BoardPosition, LegVerdict, PriceAt
from reconciliation.models import VerdictStatus

CLOCKS_DIFFER = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _FrameSums:
    """The fold's sums as a book frame carries them: what a row shows of it."""

    realized_pnl: Decimal
    adjustment_pnl: Decimal
    fees: Mapping[str, Decimal]
    funding: Mapping[str, Decimal]
    fees_value: Decimal
    funding_value: Decimal
    interest_value: Decimal
    unknown_pnl: int
    unknown_fees: int
    incomplete: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _FrameSums:
        sums = row["sums"]
        return cls(
            realized_pnl=Decimal(row["realized_pnl"]),
            adjustment_pnl=Decimal(row["adjustment_pnl"]),
            fees={name: Decimal(amount) for name, amount in row["fees"].items()},
            funding={name: Decimal(amount) for name, amount in row["funding"].items()},
            fees_value=Decimal(sums["fees_value"]),
            funding_value=Decimal(sums["funding_value"]),
            interest_value=Decimal(sums["interest_value"]),
            unknown_pnl=sums["unknown_pnl"],
            unknown_fees=sums["unknown_fees"],
            incomplete=row["unknown_count"],
        )


def apply_frame_row(position: BoardPosition, row: Mapping[str, Any]) -> None:
    """Take over the book's part of a position from a book frame, where amounts and times are texts."""
    position.version, position.status = row["version"], row["status"]
    position.quantity, position.net_pnl = Decimal(row["quantity"]), Decimal(row["net_pnl"])
    position.open_cost = board_position.decimal(row["open_cost"])
    results = board_position.results_of(_FrameSums.of(row))
    position.kept = (*results, *[row[name] for name in BOOK_COLUMNS])


def verdicts_of(body: Mapping[str, Any]) -> Iterator[tuple[int, str, LegVerdict]]:
    """Return (instrument id, leg, verdict) of what a verdict frame says of legs, changed or proven again."""
    for one in body["verdicts"]:
        as_of = one["as_of"] and datetime.fromisoformat(one["as_of"])
        yield one["instrument_id"] or 0, one["leg"], LegVerdict(one["revision"], one["status"], as_of)
    for again in body.get("proven", ()):
        as_of = datetime.fromisoformat(again["as_of"])
        for instrument, leg, revision in again["legs"]:
            yield instrument, leg, LegVerdict(revision, VerdictStatus.SYNCED.value, as_of)


def prices_of(marks: Iterable[Mapping[str, Any]], *, now: datetime) -> dict[int, PriceAt]:
    """Return prices by instrument; one of the future is left out, as it would stand in the way of others."""
    prices: dict[int, PriceAt] = {}
    for mark in marks:
        if mark["at"] is not None and (moment := datetime.fromisoformat(mark["at"])) <= now + CLOCKS_DIFFER:
            prices[mark["instrument"]] = board_position.decimal(mark["price"]), moment
    return prices


def newness(verdict: LegVerdict) -> tuple[int, float]:
    """Return by what verdicts are ordered: the newest wins."""
    return verdict.revision, verdict.as_of.timestamp() if verdict.as_of else 0.0
