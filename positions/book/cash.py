"""Cash: what an entry does to balances, and to the positions of spot assets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from positions.book.contracts import BaseFee, Contract, ContractKind
from positions.book.entries import (
    CASH_KINDS,
    FEE_FREE,
    TARGETED_KINDS,
    Cause,
    Entry,
    Kind,
    Leg,
    ParValue,
    Side,
)
from positions.book.money import ZERO, add, negate, rounded, share, subtract

_MOVES_NO_CASH = frozenset({Cause.OPENING})


@dataclass(frozen=True, slots=True)
class CashLeg:
    """An amount (+ in, - out; None = unknown) of one asset in one wallet."""

    asset: str
    amount: Decimal | None
    wallet: str | None


def cash_legs(
    entry: Entry, contract: Contract | None, *, realized: Decimal | None = None
) -> tuple[CashLeg, ...]:
    """Return what the entry does to balances, one leg per asset.

    Spot fill: base against quote, and the fee in its own currency. Derivative fill: the realized P&L in
    settle currency that `apply` returned (`PositionChange.realized`; None = unknown), and the fee; opening a
    position moves no cash but the fee. Fill with cause opening: none. Funding, fee, interest, transfer,
    Δcash: the amount. Δquantity: the asset itself for spot, nothing for a derivative. Bust and amend: none,
    they act through what they target. `contract` is None for entries without an instrument.
    """
    if entry.kind in TARGETED_KINDS:
        return ()
    if entry.amount is not None and entry.currency is not None:
        return (CashLeg(entry.currency, entry.amount, entry.wallet),)
    if contract is None or entry.cause in _MOVES_NO_CASH:
        return ()
    moved: dict[str, Decimal | None] = {}
    for asset, amount in _traded(entry, contract, realized):
        held = moved.get(asset, ZERO)
        moved[asset] = None if amount is None or held is None else add(held, amount)
    return tuple(CashLeg(asset, amount, entry.wallet) for asset, amount in moved.items() if amount != 0)


def _traded(
    entry: Entry, contract: Contract, realized: Decimal | None
) -> Iterator[tuple[str, Decimal | None]]:
    quantity = entry.quantity or ZERO
    signed = quantity if entry.side is Side.BUY else negate(quantity)
    if contract.kind is ContractKind.SPOT:
        yield contract.base, signed
        if entry.kind is Kind.FILL:
            price = entry.price
            yield contract.quote, None if price is None else negate(contract.notional(signed, price))
    elif entry.kind is Kind.FILL:
        yield contract.settle, realized
    if entry.kind is Kind.FILL and entry.fee is None and entry.cause not in FEE_FREE:
        yield entry.fee_currency or contract.settle, None
    elif entry.fee and entry.fee_currency is not None:
        yield entry.fee_currency, negate(entry.fee)


def by_asset(entry: Entry, contract: Contract | None, *, par: frozenset[str]) -> tuple[Entry, ...]:
    """Split a spot entry into one entry per asset's position, priced in the par currency.

    Each has the asset as its `instrument`, keeps the reference, and appears at most once per asset: BUY 10
    ETH/BTC is a buy of ETH and a sale of BTC at the same par value; a fee in a third asset disposes of it at
    its par value. Par currencies are balances and give none; nor do derivatives, internal transfers, busts
    and amends: resolve first, then split. `contract` is the pair's, None for cash.
    """
    if entry.kind in TARGETED_KINDS or entry.cause is Cause.INTERNAL:
        return ()
    if entry.kind in CASH_KINDS or entry.quantity is None:
        return _cash_by_asset(entry, contract, par)
    if contract is None or contract.kind is not ContractKind.SPOT:
        return ()
    value = _par_value(entry, contract, par)
    traded = [_base(entry, contract, value, par)]
    if contract.quote not in par and entry.kind is Kind.FILL and entry.cause not in _MOVES_NO_CASH:
        traded.append(_quote(entry, contract, value))
    third = entry.fee_currency
    if entry.fee and third is not None and third not in {*par, contract.base, contract.quote}:
        traded.append(_disposal(entry, third, entry.fee, entry.fee_par))
    return tuple(part for part in traded if part is not None)


def _par_value(entry: Entry, contract: Contract, par: frozenset[str]) -> ParValue | None:
    """Return the par value of what was traded: the entry's own, else its notional in a par currency."""
    if entry.par is not None:
        return entry.par
    if contract.quote not in par or entry.price is None or entry.quantity is None:
        return None
    return ParValue(contract.notional(entry.quantity, entry.price), "par", entry.time)


def _base(entry: Entry, contract: Contract, value: ParValue | None, par: frozenset[str]) -> Entry | None:
    """Return the base asset's part, which carries the fee as a cost."""
    if contract.base in par:
        return None
    part = replace(
        entry, instrument=contract.base, leg=Leg.NET, par=value, price=_price(entry, contract, par)
    )
    if not entry.fee:
        return part
    if entry.fee_currency != contract.base:
        return replace(part, fee_par=_fee_par(entry, contract, value, par))
    if contract.base_fee is BaseFee.SEPARATE:
        return part
    # Capitalised: the cost buys (or the proceeds are for) what really changed hands, and the fee is in that.
    quantity = entry.quantity or ZERO
    held = subtract(quantity, entry.fee) if entry.side is Side.BUY else add(quantity, entry.fee)
    return replace(part, quantity=held, fee=ZERO, fee_currency=None)


def _price(entry: Entry, contract: Contract, par: frozenset[str]) -> Decimal | None:
    return entry.price if contract.quote in par else None


def _fee_par(
    entry: Entry, contract: Contract, value: ParValue | None, par: frozenset[str]
) -> ParValue | None:
    fee = (entry.fee or ZERO).copy_abs()
    if entry.fee_currency in par:
        return ParValue(fee, "par", entry.time)
    if entry.fee_currency != contract.quote:
        return entry.fee_par
    if value is None or entry.price is None or entry.quantity is None:
        return None
    return replace(value, amount=share(value.amount, fee, contract.notional(entry.quantity, entry.price)))


def _quote(entry: Entry, contract: Contract, value: ParValue | None) -> Entry | None:
    """Return the quote asset's part: the other side of the trade, and a fee taken in the quote."""
    if entry.price is None or entry.quantity is None:
        return None
    gone = contract.notional(entry.quantity, entry.price)
    gone = gone if entry.side is Side.BUY else negate(gone)
    if entry.fee and entry.fee_currency == contract.quote:
        total = add(gone, entry.fee)
        if value is not None:
            value = replace(value, amount=share(value.amount, total.copy_abs(), gone.copy_abs()))
        gone = total
    return _disposal(entry, contract.quote, gone, value)


def _disposal(entry: Entry, asset: str, gone: Decimal, value: ParValue | None) -> Entry | None:
    """Return the fill in which `gone` units of an asset leave (negative: arrive) at a par value."""
    if not gone:
        return None
    return Entry(
        kind=Kind.FILL,
        cause=entry.cause,
        venue_ref=entry.venue_ref,
        time=entry.time,
        instrument=asset,
        side=Side.SELL if gone > 0 else Side.BUY,
        quantity=rounded(gone.copy_abs()),
        fee=ZERO,
        par=value,
        wallet=entry.wallet,
        received=entry.received,
    )


def _cash_by_asset(entry: Entry, contract: Contract | None, par: frozenset[str]) -> tuple[Entry, ...]:
    """Return cash that is itself a spot asset as a change of that asset's quantity."""
    derivative = contract is not None and contract.kind is not ContractKind.SPOT
    if derivative or entry.currency is None or entry.currency in par or not entry.amount:
        return ()
    own = replace(entry, instrument=entry.currency, leg=Leg.NET)
    if entry.kind is not Kind.ADJUSTMENT:
        return (own,)
    side = Side.BUY if entry.amount > 0 else Side.SELL
    return (replace(own, side=side, quantity=entry.amount.copy_abs(), amount=None, currency=None),)
