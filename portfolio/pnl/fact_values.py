"""What booked facts are worth: their cash legs at their time, and what they contribute to equity."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

from portfolio.attribution import Component, Contribution, contributions_of, leg_effects, worth
from positions.book import Cause, Contract, ContractKind, Entry, Kind, Side
from positions.book.entries import FEE_FREE
from positions.book.money import ZERO, add, copy_sign, divide, negate, rounded, share
from positions.queries import FactEffect, LegMove

_COMPONENTS = {
    Kind.TRANSFER: Component.FLOWS,
    Kind.FUNDING: Component.FUNDING,
    Kind.FEE: Component.FEES,
    Kind.INTEREST: Component.INTEREST,
    Kind.ADJUSTMENT: Component.CORRECTIONS,
}
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class LegPlace:
    """A contribution to an episode of a leg, or (no `opened_by`) to the cash or coins of an asset."""

    instrument: int | None
    leg: str
    opened_by: str | None
    asset: str


Placed = tuple[LegPlace, Contribution]


def booked(effect: FactEffect, *, par: Collection[str]) -> dict[str, Decimal | None]:
    """Return by asset what a fact's cash legs were worth in USD at its time; None: nobody knows."""
    fact, contract = effect.fact, effect.contract
    if fact.amount is not None and fact.currency is not None:
        return {leg.asset: _cash_value(fact, par) for leg in effect.cash}
    if contract is None:
        return {}
    if contract.kind is ContractKind.SPOT:
        values = _spot_values(fact, contract, par)
        return {leg.asset: values.get(leg.asset) for leg in effect.cash}
    price = conversion(fact, contract, par=par)
    found: dict[str, Decimal | None] = {}
    for leg in effect.cash:
        if leg.asset in par:
            found[leg.asset] = leg.amount
        elif leg.asset == contract.settle:
            found[leg.asset] = worth(leg.amount, price)
        else:
            found[leg.asset] = _fee_par(fact)
    return found


def _cash_value(fact: Entry, par: Collection[str]) -> Decimal | None:
    """Return the USD value of the amount that a fact states."""
    amount = fact.amount or ZERO
    if fact.currency in par or not amount:
        return amount
    return None if fact.par is None else copy_sign(rounded(fact.par.amount), amount)


def _fee_par(fact: Entry) -> Decimal | None:
    fee = fact.fee or ZERO
    return None if fact.fee_par is None else negate(copy_sign(rounded(fact.fee_par.amount), fee))


def _traded_value(fact: Entry, contract: Contract, par: Collection[str]) -> Decimal | None:
    if fact.par is not None:
        return rounded(fact.par.amount)
    if fact.price is None or fact.quantity is None or contract.quote not in par:
        return None
    return contract.notional(fact.quantity, fact.price)


def _spot_values(fact: Entry, contract: Contract, par: Collection[str]) -> dict[str, Decimal | None]:
    value = _traded_value(fact, contract, par)
    signed = value if value is None or fact.side is Side.BUY else negate(value)
    found: dict[str, Decimal | None] = {contract.base: signed}
    if fact.kind is Kind.FILL:
        found[contract.quote] = None if signed is None else negate(signed)
    fee = spot_fee(fact, contract, par=par)
    if fact.fee and fact.fee_currency is not None:
        before = found.get(fact.fee_currency, ZERO)
        found[fact.fee_currency] = None if before is None or fee is None else add(before, negate(fee))
    return found


def spot_fee(fact: Entry, contract: Contract, *, par: Collection[str]) -> Decimal | None:
    """Return what a spot fill's fee was worth in USD (paid is positive); None: not known."""
    fee, currency = fact.fee, fact.fee_currency
    if fee is None:
        return ZERO if fact.cause in FEE_FREE or fact.kind is not Kind.FILL else None
    if not fee or currency in par:
        return fee
    value = _traded_value(fact, contract, par)
    if currency == contract.base and value is not None and fact.quantity:
        return copy_sign(share(value, fee.copy_abs(), fact.quantity), fee)
    if currency == contract.quote and value is not None and fact.quantity and fact.price:
        return copy_sign(share(value, fee.copy_abs(), contract.notional(fact.quantity, fact.price)), fee)
    paid = _fee_par(fact)
    return None if paid is None else negate(paid)


def conversion(fact: Entry, contract: Contract, *, par: Collection[str]) -> Decimal | None:
    """Return what one unit of a contract's settle currency was worth when a fact was booked."""
    if contract.settle in par:
        return ONE
    if contract.kind is ContractKind.INVERSE and contract.quote in par and fact.price is not None:
        return fact.price
    if fact.par is None:
        return None
    whole = fact.amount if fact.currency == contract.settle else None
    if whole is None and fact.quantity is not None and fact.price is not None:
        whole = contract.notional(fact.quantity, fact.price)
    return None if not whole else divide(fact.par.amount, whole.copy_abs())


def contributions(effect: FactEffect, *, par: Collection[str]) -> Iterator[Placed]:
    """Yield what a fact contributed to equity, and where. Price moves of coins come from marks, not here."""
    fact, contract = effect.fact, effect.contract
    derivative = contract is not None and contract.kind is not ContractKind.SPOT
    if contract is not None and derivative and effect.moves:
        for move in effect.moves:
            yield from _of_move(effect, move, conversion(fact, contract, par=par))
    elif fact.amount is not None and fact.currency is not None:
        if fact.amount:
            place = LegPlace(None, "", None, fact.currency)
            yield place, Contribution(_COMPONENTS[fact.kind], _cash_value(fact, par), fact.venue_ref)
    elif contract is not None and not derivative:
        yield from _of_spot(fact, contract, par)


def _of_move(effect: FactEffect, move: LegMove, price: Decimal | None) -> Iterator[Placed]:
    fact = effect.fact
    paid = effect.paid or fact.quantity is None
    for one in leg_effects(before=move.before, after=move.after, closed=move.closed):
        place = LegPlace(move.key.instrument, move.key.leg, one.opened_by, "")
        for found in contributions_of(one, ref=fact.venue_ref, paid=paid, conversion=price):
            yield place, found


def _of_spot(fact: Entry, contract: Contract, par: Collection[str]) -> Iterator[Placed]:
    place = LegPlace(None, "", None, contract.base)
    if fact.kind is Kind.ADJUSTMENT:
        value = _spot_values(fact, contract, par)[contract.base]
        yield place, Contribution(Component.CORRECTIONS, value, fact.venue_ref)
    elif fact.cause is not Cause.OPENING:
        fee = spot_fee(fact, contract, par=par)
        if fee != 0:
            amount = None if fee is None else negate(fee)
            yield place, Contribution(Component.FEES, amount, fact.venue_ref)
