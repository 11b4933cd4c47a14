"""Open positions as totals need them: plain values, of which a thousand are read in some milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from positions.book import Contract, money
from positions.models import Account, Instrument, InstrumentKind

COINS = (InstrumentKind.ASSET, InstrumentKind.SPOT)


@dataclass(frozen=True, slots=True)
class HeldMarket:
    """An instrument with what follows from it, built once for all positions in it."""

    instrument: Instrument
    contract: Contract
    in_par: bool
    is_coin: bool
    is_inverse: bool
    underlying: str

    @classmethod
    def of(cls, instrument: Instrument, contract: Contract, *, in_par: bool) -> HeldMarket:
        """Return the market of an instrument."""
        return cls(
            instrument=instrument,
            contract=contract,
            in_par=in_par,
            is_coin=instrument.kind in COINS,
            is_inverse=instrument.kind == InstrumentKind.INVERSE,
            underlying=instrument.underlying or instrument.base,
        )

    def units(self, quantity: Decimal, notional: Decimal | None) -> Decimal | None:
        """Return the signed units of the underlying that a position is worth; None: no price is known."""
        if self.is_inverse:
            if notional is None:
                return None
            units = notional if quantity > 0 else -notional
        else:
            units = money.multiply(quantity, self.instrument.multiplier)
        return money.rounded(money.multiply(units, self.instrument.underlying_ratio))


class HeldPosition(NamedTuple):
    """An open position. `realized_pnl` None: nothing of it is known. `is_new`: opened since the day began."""

    id: int
    account: Account
    market: HeldMarket
    leg: str
    quantity: Decimal
    open_cost: Decimal | None
    realized_pnl: Decimal | None
    net_pnl: Decimal
    strategy: str
    is_new: bool
    stated_quantity: Decimal | None
    liquidation_price: Decimal | None
    no_liquidation: bool
