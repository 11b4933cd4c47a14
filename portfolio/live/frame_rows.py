"""Reads a position's row as a book frame carries it, where amounts and times are texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from portfolio.live import board_position
from portfolio.live.board_position import BOOK_COLUMNS, BoardPosition, LegVerdict


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


def newness(verdict: LegVerdict) -> tuple[int, float]:
    """Return by what verdicts are ordered: the newest wins."""
    return verdict.revision, verdict.as_of.timestamp() if verdict.as_of else 0.0
