"""In-order arithmetic: one entry, one new state.

Note [Order]
`apply` accepts an entry only where `fold` would put it too, so that the hot path and a refold are bit-equal.
Later times are always accepted. Among entries that share a time, `PositionState.tie` remembers what
orders them:
  early   only funding, fees and interest so far: they come before fills of the same time, by reference
  buy, sell   fills in one direction that each begin where the one before ended: such a chain has one order
              only
  refs    fills without a position before: by reference
  mixed   anything else: only `fold` can place another entry here
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from positions.book.contracts import ContractKind
from positions.book.entries import Cause, Entry, Kind, Leg, Side
from positions.book.money import ZERO, InvalidEntry, add, copy_sign, negate, rounded, share, subtract
from positions.book.position import ChangeKind, PositionChange, PositionState
from positions.book.trade import Deal, trade

_FILL, _ADJUSTMENT, _BUST, _AMEND = Kind.FILL, Kind.ADJUSTMENT, Kind.BUST, Kind.AMEND
_SPOT, _INVERSE = ContractKind.SPOT, ContractKind.INVERSE
_BUY, _NET = Side.BUY, Leg.NET
_OPENING = Cause.OPENING


class OutOfOrder(Exception):
    """The entry belongs before what was already applied: fold the key again.

    Attributes: `venue_ref` of the entry, `after` the position's last reference.
    """

    def __init__(self, *, venue_ref: str, after: str | None) -> None:
        super().__init__(f"{venue_ref} belongs before {after}: fold again")
        self.venue_ref = venue_ref
        self.after = after


def apply(position: PositionState, entry: Entry) -> tuple[PositionState, PositionChange]:
    """Return the position after one entry, and what the entry did.

    Start with `PositionState(contract=…, instrument=…, leg=…)`. A close returns the closed episode, and the
    next fill opens a new one; a flip returns the new episode, with the finished one in
    `PositionChange.closed`.
    Funding, fees and interest after a close belong to the last closed episode. Split spot entries with
    `cash.by_asset` first.

    Raises OutOfOrder when the entry's place is not provably after all that was applied, as for bust and
    amend, which only `fold` understands; InvalidEntry when the entry is of another key, or a spot fee in
    the asset exceeds the fill.
    """
    if not follows(position, entry):
        raise OutOfOrder(venue_ref=entry.venue_ref, after=position.last_ref)
    return advance(position, entry)


def follows(position: PositionState, entry: Entry) -> bool:
    """Return whether the entry's place is provably after everything applied. See Note [Order]."""
    kind = entry.kind
    if kind is _BUST or kind is _AMEND:
        return False
    last = position.last_time
    if last is None or entry.time > last:
        return True
    if entry.time < last:
        return False
    tie = position.tie
    if not is_sized(position, entry):
        return tie == "early" and entry.venue_ref > (position.last_ref or "")
    if tie == "early":
        return True
    if entry.position_before is None:
        return tie == "refs" and entry.venue_ref > (position.last_ref or "")
    return tie == entry.side and entry.position_before == position.size


def advance(position: PositionState, entry: Entry) -> tuple[PositionState, PositionChange]:
    """Do what `apply` does for an entry that is known to be in order."""
    if entry.instrument != position.instrument:
        raise InvalidEntry(
            field="instrument",
            entry=entry.venue_ref,
            problem=f"{entry.instrument} is not {position.instrument}",
        )
    if entry.leg is not position.leg and (entry.leg is not None or position.leg is not _NET):
        raise InvalidEntry(field="leg", entry=entry.venue_ref, problem=f"{entry.leg} is not {position.leg}")
    if is_sized(position, entry):
        return _move(position, entry)
    return _record(position, entry)


def is_sized(position: PositionState, entry: Entry) -> bool:
    """Return whether the entry changes the size: a fill, a stated quantity, or cash in the spot asset."""
    kind = entry.kind
    if kind is _FILL:
        return True
    if kind is _ADJUSTMENT:
        return entry.quantity is not None
    contract = position.contract
    return contract.kind is _SPOT and entry.currency == contract.base and bool(entry.amount)


def _tie(position: PositionState, entry: Entry, *, sized: bool) -> str:
    """Return what orders the entries of this entry's time, once it is among them. See Note [Order]."""
    alone = position.last_time != entry.time
    if not sized:
        return "early" if alone or position.tie == "early" else "mixed"
    before = entry.position_before
    if before is None:
        return "refs" if alone or position.tie in ("early", "refs") else "mixed"
    side = entry.side
    if side is None or before != position.size:
        return "mixed"
    return side.value if alone or position.tie in ("early", side) else "mixed"


def _move(position: PositionState, entry: Entry) -> tuple[PositionState, PositionChange]:
    """Apply a change of size: a stated quantity, or cash that is the spot asset itself."""
    tie = _tie(position, entry, sized=True)
    quantity, fee = entry.quantity, entry.fee
    if quantity is None:
        return _cash_as_quantity(position, entry, tie)
    contract = position.contract
    notional = _notional(position, entry)
    signed = quantity if entry.side is _BUY else negate(quantity)
    if fee and contract.kind is _SPOT and entry.fee_currency == contract.base:
        return _with_base_fee(position, entry, Deal(signed, notional, fee, ZERO, tie))
    value = fee
    if fee is not None and entry.fee_currency != contract.settle:
        value = _fee_value(position, entry, fee, notional)
    after, change = trade(position, entry, Deal(signed, notional, fee, value, tie))
    if entry.kind is _ADJUSTMENT:
        change = replace(change, kind=ChangeKind.ADJUSTED)
    return after, change


def _notional(position: PositionState, entry: Entry) -> Decimal | None:
    """Return the notional in settle currency; for a spot asset the par value that the entry carries."""
    contract, price, quantity = position.contract, entry.price, entry.quantity
    if contract.kind is _SPOT and entry.par is not None:
        return rounded(entry.par.amount)
    if price is None or quantity is None:
        return None
    return contract.notional(quantity, price)


def _fee_value(
    position: PositionState, entry: Entry, fee: Decimal, notional: Decimal | None
) -> Decimal | None:
    """Return a fee of another currency in settle currency, at the entry's par values; None = unknown.

    The entry's own par value, if any, gives the rate of the settle currency; without one
    the settle currency of a linear or spot contract is itself a par currency.
    """
    if not fee:
        return ZERO
    if entry.fee_par is None:
        return None
    value = copy_sign(rounded(entry.fee_par.amount), fee)
    if entry.par is None:
        return None if position.contract.kind is _INVERSE else value
    return share(value, notional, entry.par.amount) if notional and entry.par.amount else None


def _with_base_fee(position: PositionState, entry: Entry, deal: Deal) -> tuple[PositionState, PositionChange]:
    """Apply a spot trade whose fee was taken in the asset: the quantity falls by it, the average stays.

    What the fee's quantity had cost is the fee's value. With nothing left to take it from, it opens a short
    at the price of the fill. Raises InvalidEntry for a fee larger than the fill.
    """
    fee = deal.fee or ZERO
    quantity, paid = deal.signed.copy_abs(), fee.copy_abs()
    if paid > quantity:
        raise InvalidEntry(field="fee", entry=entry.venue_ref, problem=f"{fee} is more than was traded")
    traded, change = trade(position, entry, deal._replace(fee=ZERO))
    whole, total = (traded.size.copy_abs(), traded.open_cost) if traded.size else (quantity, deal.notional)
    value = None if total is None else share(total, paid, whole)
    fee_value = None if value is None else copy_sign(value, fee)
    after, taken = trade(traded, entry, Deal(negate(fee), value, fee, fee_value, deal.tie, counts=False))
    if taken.kind is ChangeKind.FLIPPED and change.kind is ChangeKind.FLIPPED:
        # A rebate that turns what the flip has left: one entry cannot open two episodes, so it counts as
        # quantity.
        return trade(position, entry, deal._replace(signed=add(deal.signed, negate(fee))))
    if after.size and taken.kind is not ChangeKind.OPENED:
        after = replace(after, last_move=traded.last_move)
    kind = change.kind
    if taken.closed is not None and change.closed is None:
        kind = taken.kind
    elif taken.kind is ChangeKind.OPENED:
        kind = ChangeKind.FLIPPED
    return after, PositionChange(entry.venue_ref, kind, change.realized, change.closed or taken.closed)


def _cash_as_quantity(
    position: PositionState, entry: Entry, tie: str
) -> tuple[PositionState, PositionChange]:
    """Apply a transfer, fee, funding or interest in the spot asset itself as quantity, at its par value."""
    amount = entry.amount or ZERO
    value = None if entry.par is None else rounded(entry.par.amount)
    if entry.cause is _OPENING and position.last_time != entry.time:
        amount, value = _not_yet_known(position, amount, value)
        if not amount:
            stamped = replace(
                position,
                entries=position.entries + 1,
                last_ref=entry.venue_ref,
                last_time=entry.time,
                tie=tie,
            )
            return stamped, PositionChange(entry.venue_ref, ChangeKind.RECORDED, ZERO)
    after, change = trade(position, entry, Deal(amount, value, ZERO, ZERO, tie))
    if entry.kind is Kind.TRANSFER:
        return after, change
    return _accumulated(after, entry, None if value is None else copy_sign(value, amount)), change


def _not_yet_known(
    position: PositionState, amount: Decimal, value: Decimal | None
) -> tuple[Decimal, Decimal | None]:
    """Return what earlier facts do not explain of an opening balance, and that part's value.

    Note [Opening balance]: it states what a wallet held at connection. History read afterwards, from before
    it, is part of that, not besides it. Balances of other wallets, stated at the same time, add up.
    """
    rest = subtract(amount, position.size)
    return rest, share(value, rest, amount) if value is not None and amount and rest > 0 else None


def _record(position: PositionState, entry: Entry) -> tuple[PositionState, PositionChange]:
    """Apply cash that an instrument's episode earned or paid: it changes the accumulators, not the size."""
    if entry.kind is Kind.TRANSFER or entry.amount is None:
        return position, PositionChange(entry.venue_ref, ChangeKind.IGNORED, ZERO)
    stamped = replace(
        position,
        entries=position.entries + 1,
        last_ref=entry.venue_ref,
        last_time=entry.time,
        tie=_tie(position, entry, sized=False),
    )
    value: Decimal | None = entry.amount
    if entry.currency != position.contract.settle:
        in_par = entry.par is not None and position.contract.kind is not _INVERSE
        value = copy_sign(rounded(entry.par.amount), entry.amount) if entry.par and in_par else None
    kind = ChangeKind.ADJUSTED if entry.kind is _ADJUSTMENT else ChangeKind.RECORDED
    return _accumulated(stamped, entry, value), PositionChange(entry.venue_ref, kind, ZERO)


def _accumulated(position: PositionState, entry: Entry, value: Decimal | None) -> PositionState:
    """Return the position with the entry's amount added to its kind's sums; `value` in settle currency."""
    unknown = position.unknown_values + (value is None)
    worth, amount, currency = value or ZERO, entry.amount or ZERO, entry.currency or ""
    if entry.kind is _ADJUSTMENT:
        return replace(position, unknown_values=unknown, adjustment_pnl=add(position.adjustment_pnl, worth))
    name, sign = _ACCUMULATORS[entry.kind]
    sums: Mapping[str, Decimal] = getattr(position, name)
    signed_amount, signed_worth = (amount, worth) if sign > 0 else (negate(amount), negate(worth))
    changes: dict[str, Any] = {
        "unknown_values": unknown,
        name: {**sums, currency: add(sums.get(currency, ZERO), signed_amount)},
        f"{name}_value": add(getattr(position, f"{name}_value"), signed_worth),
    }
    return replace(position, **changes)


_ACCUMULATORS = {Kind.FUNDING: ("funding", 1), Kind.INTEREST: ("interest", 1), Kind.FEE: ("fees", -1)}
