"""One position at average cost, by Hyperliquid's rules: what a fill realizes and how it is named.

closedPnl = side * closed size * (price - entry cut to the price decimals), gross of fees; a flip realizes the
part it closes and opens the rest at the fill's price. Found in 7,000 real fills (tests/data/vectors).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .wire import EXACT, cut, to_micro

ZERO = Decimal(0)


@dataclass(slots=True)
class Leg:
    """A net position in one coin: signed `size` (units), exact average `entry` (USD; 0 when flat)."""

    price_decimals: int
    size: Decimal = ZERO
    entry: Decimal = ZERO

    def trade(self, signed: Decimal, price: Decimal) -> Decimal:
        """Apply a fill of `signed` units at `price`; the venue's closedPnl (USD, six decimals)."""
        before, after = self.size, EXACT.add(self.size, signed)
        closing = before * signed < 0
        closed = min(abs(before), abs(signed)) if closing else ZERO
        pnl = to_micro(self._gain(closed, price)) if closing else ZERO
        if not closing:
            cost = EXACT.add(EXACT.multiply(before, self.entry), EXACT.multiply(signed, price))
            self.entry = EXACT.divide(cost, after)
        elif abs(signed) > abs(before):
            self.entry = price
        elif after == 0:
            self.entry = ZERO
        self.size = after
        return pnl

    def _gain(self, closed: Decimal, price: Decimal) -> Decimal:
        distance = EXACT.subtract(price, cut(self.entry, self.price_decimals))
        gain = EXACT.multiply(closed, distance)
        return gain if self.size > 0 else EXACT.minus(gain)


def direction(before: Decimal, signed: Decimal) -> str:
    """The venue's name for a perp fill of `signed` units on a position of `before` units."""
    after = before + signed
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    if before * signed < 0:
        return "Close Long" if before > 0 else "Close Short"
    return "Open Long" if signed > 0 else "Open Short"
