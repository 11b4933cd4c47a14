"""A change of size: open, increase, reduce, close, flip. The arithmetic of average cost, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from positions.book.entries import FEE_FREE, Cause, Entry, Kind
from positions.book.money import ZERO, add, negate, share, subtract
from positions.book.position import ChangeKind, PositionChange, PositionState

_FILL, _TRANSFER, _ADJUSTMENT, _DUST = Kind.FILL, Kind.TRANSFER, Kind.ADJUSTMENT, Cause.DUST
_OPENED, _INCREASED, _REDUCED = ChangeKind.OPENED, ChangeKind.INCREASED, ChangeKind.REDUCED
_CLOSED, _FLIPPED = ChangeKind.CLOSED, ChangeKind.FLIPPED


class Deal(NamedTuple):
    """What an entry moves: `signed` units for `notional`, and the fee.

    `notional` is unsigned, in settle currency (None = unknown). `fee_value` is the fee in settle currency
    (None = unknown). `counts` is False for a part of an entry that was already counted.
    """

    signed: Decimal
    notional: Decimal | None
    fee: Decimal | None
    fee_value: Decimal | None
    tie: str
    counts: bool = True


def trade(position: PositionState, entry: Entry, deal: Deal) -> tuple[PositionState, PositionChange]:
    """Return the position after the deal, at average cost, and what the deal did.

    An increase adds to the cost and leaves P&L alone; a reduction takes its share of the cost, so the average
    stays; a fill through zero is two: it closes one episode and opens the next.
    """
    size, cost, signed = position.size, position.open_cost, deal.signed
    if not size:
        return _open(position, entry, deal), PositionChange(entry.venue_ref, _OPENED, ZERO)
    after = add(size, signed)
    if (size > 0) is (signed > 0):
        grown = None if cost is None or deal.notional is None else add(cost, deal.notional)
        return _carry(position, entry, deal, after, grown, ZERO, _INCREASED), PositionChange(
            entry.venue_ref, _INCREASED, ZERO
        )
    if after and (after > 0) is not (size > 0):
        return _flip(position, entry, deal)
    part = share(cost, signed, negate(size)) if after and cost is not None else cost
    realized = _realized(position, entry, deal, part)
    if not after:
        closed = _carry(position, entry, deal, ZERO, ZERO, realized, _CLOSED)
        return closed, PositionChange(entry.venue_ref, _CLOSED, realized, closed)
    rest = None if cost is None or part is None else subtract(cost, part)
    return _carry(position, entry, deal, after, rest, realized, _REDUCED), PositionChange(
        entry.venue_ref, _REDUCED, realized
    )


def _realized(position: PositionState, entry: Entry, deal: Deal, cost: Decimal | None) -> Decimal | None:
    """Return the P&L of closing a cost for the deal's notional; a transfer makes no P&L."""
    if entry.kind is _TRANSFER:
        return ZERO
    if cost is None or deal.notional is None:
        return None
    return position.contract.pnl(position.size, cost, deal.notional)


def _flip(position: PositionState, entry: Entry, deal: Deal) -> tuple[PositionState, PositionChange]:
    """Close the episode and open the next: notional and fee are split by quantity between the two."""
    closing = negate(position.size)

    def halves(total: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
        if total is None:
            return None, None
        first = share(total, closing, deal.signed)
        return first, subtract(total, first)

    (out, into), (fee_out, fee_in) = halves(deal.notional), halves(deal.fee)
    value_out, value_in = halves(deal.fee_value)
    closes = Deal(closing, out, fee_out, value_out, deal.tie, deal.counts)
    opens = Deal(add(position.size, deal.signed), into, fee_in, value_in, deal.tie, deal.counts)
    realized = _realized(position, entry, closes, position.open_cost)
    closed = _carry(position, entry, closes, ZERO, ZERO, realized, _CLOSED)
    return _open(closed, entry, opens), PositionChange(entry.venue_ref, _FLIPPED, realized, closed)


def _carry(
    position: PositionState,
    entry: Entry,
    deal: Deal,
    size: Decimal,
    cost: Decimal | None,
    realized: Decimal | None,
    kind: ChangeKind,
) -> PositionState:
    """Return the episode with another size."""
    _, notional, fee, fee_value, tie, counts = deal
    closes, apart = kind is _CLOSED, entry.kind is _ADJUSTMENT or entry.cause is _DUST
    fills = counts and entry.kind is _FILL
    gain, peak = ZERO if realized is None else realized, size.copy_abs()
    exits = fills and not apart and kind is not _INCREASED and notional is not None
    enters = kind is _INCREASED and notional is not None
    return PositionState(
        position.contract,
        position.instrument,
        position.leg,
        size,
        cost,
        position.realized_pnl if apart else add(position.realized_pnl, gain),
        add(position.adjustment_pnl, gain) if apart else position.adjustment_pnl,
        _paid(position.fees, entry, fee) if fee else position.fees,
        position.funding,
        position.interest,
        add(position.fees_value, fee_value) if fee_value else position.fees_value,
        position.funding_value,
        position.interest_value,
        position.unknown_pnl + (realized is None),
        position.unknown_fees + (fee is None and _fee_expected(entry)),
        position.unknown_values + (fee is not None and fee_value is None),
        position.opened_by,
        position.opened_at,
        entry.time if closes else None,
        entry.cause if closes else None,
        peak if peak > position.peak_size else position.peak_size,
        add(position.entered_size, deal.signed.copy_abs()) if enters else position.entered_size,
        add(position.entered_cost, notional) if enters and notional else position.entered_cost,
        add(position.exit_size, deal.signed.copy_abs()) if exits else position.exit_size,
        add(position.exit_cost, notional) if exits and notional else position.exit_cost,
        position.entry_price if closes else None,
        kind,
        position.fills + fills,
        position.entries + counts,
        entry.venue_ref,
        entry.time,
        tie,
    )


def _open(position: PositionState, entry: Entry, deal: Deal) -> PositionState:
    """Return a new episode. What was recorded before the key's first episode is carried into it."""
    first = position
    if position.opened_by is not None:
        first = PositionState(position.contract, position.instrument, position.leg)
    signed, notional, fee, fee_value, tie, counts = deal
    size = add(signed, ZERO)
    return PositionState(
        first.contract,
        first.instrument,
        first.leg,
        size,
        notional,
        first.realized_pnl,
        first.adjustment_pnl,
        _paid(first.fees, entry, fee) if fee else first.fees,
        first.funding,
        first.interest,
        add(first.fees_value, fee_value) if fee_value else first.fees_value,
        first.funding_value,
        first.interest_value,
        first.unknown_pnl,
        first.unknown_fees + (fee is None and _fee_expected(entry)),
        first.unknown_values + (fee is not None and fee_value is None),
        entry.venue_ref,
        entry.time,
        None,
        None,
        size.copy_abs(),
        ZERO if notional is None else size.copy_abs(),
        ZERO if notional is None else notional,
        ZERO,
        ZERO,
        None,
        _OPENED,
        first.fills + (counts and entry.kind is _FILL),
        first.entries + counts,
        entry.venue_ref,
        entry.time,
        tie,
    )


def _paid(fees: Mapping[str, Decimal], entry: Entry, fee: Decimal) -> Mapping[str, Decimal]:
    currency = entry.fee_currency or ""
    return {**fees, currency: add(fees.get(currency, ZERO), fee)}


def _fee_expected(entry: Entry) -> bool:
    return entry.kind is _FILL and entry.cause not in FEE_FREE
