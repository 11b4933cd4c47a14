"""What a position is worth at a price: one rule for rows of the board and for totals."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from positions.book.contracts import Contract
from positions.risk.bands import risk_band
from positions.risk.measures import liquidation_distance_pct


class Worth(NamedTuple):
    """What a position is worth at a price, and how far the price is from liquidation."""

    notional: Decimal | None
    unrealized_pnl: Decimal | None
    liquidation_distance_pct: Decimal | None
    risk: str


def worth(
    contract: Contract,
    *,
    quantity: Decimal,
    open_cost: Decimal | None,
    mark: Decimal | None,
    liquidation_price: Decimal | None,
    liquidates: bool,
) -> Worth:
    """Return what a position is worth at a mark (None: not known). What no price `liquidates` has no risk."""
    notional = unrealized = distance = None
    if mark is not None:
        notional = contract.notional(quantity.copy_abs(), mark)
        if open_cost is not None:
            unrealized = contract.pnl(quantity, open_cost, notional)
        if liquidation_price is not None:
            distance = liquidation_distance_pct(size=quantity, mark=mark, liquidation_price=liquidation_price)
    band = "unknown" if distance is None else risk_band(distance_pct=distance) or "unknown"
    return Worth(notional, unrealized, distance, band if liquidates else "none")
