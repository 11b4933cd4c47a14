"""What is traded: the contract defines how a quantity and a price become money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from positions.book.money import (
    QUANTUM,
    InvalidEntry,
    currency,
    divide,
    multiply,
    positive,
    quantize,
    subtract,
)

ONE = Decimal(1)


class ContractKind(StrEnum):
    """How price turns quantity into money: linear in quote, inverse in base, or the asset itself."""

    LINEAR = "linear"
    INVERSE = "inverse"
    SPOT = "spot"


class BaseFee(StrEnum):
    """What a spot fee taken in the base asset does.

    SEPARATE: quantity reduced, average kept, counted as a fee. CAPITALISED: cost kept, so the average rises,
    and the fee is not counted again (Hyperliquid).
    """

    SEPARATE = "separate"
    CAPITALISED = "capitalised"


_INVERSE = ContractKind.INVERSE


@dataclass(frozen=True, slots=True)
class Contract:
    """The terms of an instrument that its accounting needs.

    `multiplier` is base units per unit of quantity (linear, spot) or quote units per unit of quantity
    (inverse). P&L and cost are in `settle`: the quote of a linear or spot contract, the base of an inverse
    one.
    Raises InvalidEntry for a multiplier that is not positive, a currency that is not a symbol, a kind in
    plain text.
    """

    kind: ContractKind
    base: str
    quote: str
    settle: str
    multiplier: Decimal = ONE
    base_fee: BaseFee = BaseFee.SEPARATE

    def __post_init__(self) -> None:
        name = f"{self.base}/{self.quote}"
        for field, members in (("kind", ContractKind), ("base_fee", BaseFee)):
            if not isinstance(getattr(self, field), members):
                raise InvalidEntry(
                    field=field, entry=name, problem=f"{getattr(self, field)!r} is no {members.__name__}"
                )
        for field in ("base", "quote", "settle"):
            currency(getattr(self, field), field=field, entry=name)
        positive(self.multiplier, field="multiplier", entry=name)

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the value of a quantity at a price, in settle currency, rounded once (half-even).

        Linear and spot: quantity · multiplier · price. Inverse: quantity · multiplier / price. Sign of the
        quantity.
        """
        if self.kind is _INVERSE:
            return quantize(divide(multiply(quantity, self.multiplier), price), QUANTUM)
        return quantize(multiply(multiply(quantity, self.multiplier), price), QUANTUM)

    def average(self, size: Decimal, cost: Decimal) -> Decimal:
        """Return the entry price of a size and its cost, rounded to 18 places (inverse: harmonic mean).

        `size` is not zero; sign of size and cost is disregarded.
        """
        size, cost = size.copy_abs(), cost.copy_abs()
        if self.kind is _INVERSE:
            return quantize(divide(multiply(size, self.multiplier), cost), QUANTUM)
        return quantize(divide(cost, multiply(size, self.multiplier)), QUANTUM)

    def pnl(self, size: Decimal, cost: Decimal, value: Decimal) -> Decimal:
        """Return the P&L in settle currency of a signed size with a cost and a value (both unsigned).

        Linear and spot: side · (value - cost). Inverse: side · (cost - value), as value falls when price
        rises.
        """
        if (size > 0) is (self.kind is not _INVERSE):
            return subtract(value, cost)
        return subtract(cost, value)


def spot(asset: str, *, par: str = "USD") -> Contract:
    """Return the contract of a spot position: an asset priced in the par currency."""
    return Contract(kind=ContractKind.SPOT, base=asset, quote=par, settle=par)
