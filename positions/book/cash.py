"""Cash: what an entry does to balances, and to the positions of spot assets."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from positions.book.contracts import Contract
from positions.book.entries import Entry


@dataclass(frozen=True, slots=True)
class CashLeg:
    """An amount (+ in, - out; None = unknown) of one asset in one wallet."""

    asset: str
    amount: Decimal | None
    wallet: str | None


def cash_legs(
    entry: Entry, contract: Contract | None, *, realized: Decimal | None = None
) -> tuple[CashLeg, ...]:
    """What the entry does to balances; one leg per asset.

    Spot fill: base against quote, and the fee in its own currency. Derivative fill: the realized P&L that `apply`
    reported for it (`Change.realized`) in settle currency, and the fee; opening a position moves no cash but the fee.
    Fill with cause opening: none. Funding, fee, interest, transfer, Δcash: the amount. Bust and amend: none, they act
    through what they target. `contract` is None for entries without an instrument.
    """
    raise NotImplementedError


def by_asset(entry: Entry, contract: Contract | None, *, par: frozenset[str]) -> tuple[Entry, ...]:
    """A spot entry as the entries of each asset's position, priced in the par currency.

    Each has the asset as its `instrument`, keeps the reference, and appears at most once per asset: BUY 10 ETH/BTC is
    a buy of ETH and a sale of BTC at the same par value; a fee in a third asset disposes of it. Par currencies are
    balances and give none; nor do derivatives, internal transfers, busts and amends (resolve first, then split).
    """
    raise NotImplementedError
