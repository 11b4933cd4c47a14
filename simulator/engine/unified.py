"""Unified accounts: one balance per token for spot and perp, shown in the spot state.

Source: hyperliquid.gitbook.io/hyperliquid-docs/trading/account-abstraction-modes ("unified account … shows
all balances and holds in the spot clearinghouse state. Individual perp dex user states are not meaningful").
As users report it, `total` is settled money, without unrealized P&L, and the perp states of an account
without positions are zeros. Guesses: what those say while positions are open, and that the spot state's
`tokenToAvailableAfterMaintenance` is `total` less maintenance margin.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from simulator.margin import Margin, summary, total
from simulator.wire import EXACT

from .catalogue import COLLATERAL

ZERO = Decimal(0)
# Portfolio margin shows the same; that it also lends against other tokens is not simulated.
MODES = frozenset({"unifiedAccount", "portfolioMargin"})


def dex_of(token: str) -> str | None:
    """The perp dex that a token backs, if it does."""
    return next((dex for dex, collateral in COLLATERAL.items() if collateral == token), None)


def settled(margin: Margin) -> Decimal:
    """Money of a dex without unrealized P&L: cash, and what open positions have cost."""
    spent = total(EXACT.multiply(one.size, one.entry) for one in margin.holdings)
    return EXACT.add(EXACT.add(margin.cash, total(one.cash for one in margin.holdings)), spent)


def hold(margin: Margin) -> Decimal:
    """What positions and orders keep."""
    return EXACT.add(total(one.margin_used for one in margin.holdings), margin.held_by_orders)


def available(margin: Margin) -> Decimal:
    """What is left after maintenance margin, at least 0."""
    return max(ZERO, EXACT.subtract(settled(margin), total(one.maintenance for one in margin.holdings)))


def unpledged(margin: Margin) -> dict[str, Any]:
    """The figures of clearinghouseState that leave the collateral out: only unrealized P&L is left."""

    def of(holdings: list[Any]) -> dict[str, str]:
        unrealized = total(one.unrealized for one in holdings)
        return summary(
            value=unrealized,
            notional=total(one.notional for one in holdings),
            cash=EXACT.subtract(unrealized, total(one.value for one in holdings)),
            used=total(one.margin_used for one in holdings),
        )

    return {
        "marginSummary": of(list(margin.holdings)),
        "crossMarginSummary": of(margin.cross),
        "withdrawable": "0.0",
    }
