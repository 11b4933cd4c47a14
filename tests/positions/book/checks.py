"""Laws of the book that hold for any story: used on drawn stories and on deliberate mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext

from positions.book import (
    Contract,
    ContractKind,
    Entry,
    Fold,
    Kind,
    OutOfOrder,
    PositionState,
    Side,
    broken,
    by_asset,
    cash_legs,
    fold,
    fold_facts,
    resolve,
)
from positions.book import apply as book_apply
from positions.book.apply import advance
from tests.words import PAR, flat, pair

QUANTUM = Decimal("1e-18")
WIDE = Context(prec=120)


def book_of(entries: Iterable[Entry], contract: Contract) -> Fold:
    """The book of one instrument, or of a pair's base asset."""
    if contract.kind is not ContractKind.SPOT:
        return fold(entries, start=flat(contract))
    facts = resolve(entries)
    parts = [part for fact in facts.effective for part in by_asset(fact, contract, par=PAR)]
    start = flat(pair(f"{contract.base}/USD"))
    return fold_facts([part for part in parts if part.instrument == contract.base], start=start)


def bits(folded: Fold) -> str:
    """Every digit and every field: equal only if bit-equal."""
    return repr((folded.position, folded.episodes, folded.changes))


def same_book(entries: list[Entry], again: list[Entry], contract: Contract) -> None:
    assert bits(book_of(entries, contract)) == bits(book_of(again, contract))


def steps_equal_refold(entries: list[Entry], contract: Contract) -> None:
    """In order of arrival: apply where apply accepts, fold again where it does not. As the ledger does."""
    position = flat(contract)
    seen: list[Entry] = []
    for entry in entries:
        seen.append(entry)
        try:
            position, _ = book_apply(position, entry)
        except OutOfOrder:
            position = fold(seen, start=flat(contract)).position
        assert repr(position) == repr(fold(seen, start=flat(contract)).position)


def any_context_gives_the_same(entries: list[Entry], contract: Contract) -> None:
    expected = bits(book_of(entries, contract))
    for context in (Context(prec=3), Context(prec=9, rounding="ROUND_UP"), Context(prec=200)):
        with localcontext(context):
            assert bits(book_of(entries, contract)) == expected


def cash_adds_up(entries: list[Entry], contract: Contract, mark: Decimal) -> None:
    """Sum of cash legs + position value = P&L, exactly, at any mark."""
    folded = book_of(entries, contract)
    with localcontext(WIDE):
        value = contract.notional(abs(folded.position.size), mark)
        unrealized = contract.pnl(folded.position.size, folded.position.open_cost or Decimal(0), value)
        episodes = folded.episodes or (folded.position,)
        total = sum((episode.net_pnl for episode in episodes), Decimal(0)) + unrealized
        if contract.kind is ContractKind.SPOT:
            legs = [leg for entry in entries for leg in cash_legs(entry, contract)]
            cash = sum((leg.amount for leg in legs if leg.asset == contract.quote), Decimal(0))
            held = sum((leg.amount for leg in legs if leg.asset == contract.base), Decimal(0))
            assert held == folded.position.size
            assert cash + contract.notional(held, mark) == total
            return
        realized = zip(folded.effective, folded.changes, strict=True)
        legs = [
            leg for entry, change in realized for leg in cash_legs(entry, contract, realized=change.realized)
        ]
        assert sum((leg.amount for leg in legs), Decimal(0)) + unrealized == total
        assert _turnover(folded.effective, contract, mark) == total


def _turnover(entries: Iterable[Entry], contract: Contract, mark: Decimal) -> Decimal:
    """P&L without any average: what was sold less what was bought, with the rest at the mark."""
    total = size = Decimal(0)
    for entry in entries:
        if entry.kind is Kind.FILL:
            signed = entry.quantity if entry.side is Side.BUY else -entry.quantity
            size += signed
            total -= contract.notional(signed, entry.price)
            total -= -entry.fee if contract.kind is ContractKind.INVERSE else entry.fee
        else:
            total += -entry.amount if contract.kind is ContractKind.INVERSE else entry.amount
    total += contract.notional(size, mark)
    return -total if contract.kind is ContractKind.INVERSE else total


def no_law_is_broken(entries: list[Entry], contract: Contract) -> None:
    """After every entry, and for every finished episode."""
    folded = book_of(entries, contract)
    position = flat(folded.position.contract)
    for entry in folded.effective:
        position, change = advance(position, entry)
        assert broken(position) == ()
        assert change.closed is None or broken(change.closed) == ()


def average_moves_only_on_increase(entries: list[Entry], contract: Contract) -> None:
    position = flat(contract)
    for entry in fold(entries, start=position).effective:
        before = position
        position, change = book_apply(position, entry)
        if change.kind in ("reduced", "recorded") and before.entry_price and position.entry_price:
            assert abs(position.entry_price - before.entry_price) <= _room(position, steps=4) + QUANTUM


def _room(position: PositionState, steps: int) -> Decimal:
    """How far an average may be off for `steps` roundings of its cost: 1e-18 of cost, divided by size."""
    contract, price = position.contract, position.entry_price or Decimal(0)
    room = QUANTUM * steps / (min(Decimal(1), abs(position.size)) * contract.multiplier)
    return room * price * price if contract.kind is ContractKind.INVERSE else room


def near(ours: Decimal, theirs: Decimal, fills: int, scale: Decimal = Decimal(1)) -> None:
    """Within 1e-18 × fills × max(1, scale)."""
    assert abs(ours - theirs) <= QUANTUM * fills * max(Decimal(1), scale), f"{ours} is not {theirs}"


def near_average(ours: PositionState, theirs: PositionState, fills: int, scale: Decimal = Decimal(1)) -> None:
    """Averages: the tolerance of the cost, divided by size (inverse: carried through 1/x)."""
    if ours.entry_price is None or theirs.entry_price is None or theirs.open_cost is None:
        assert ours.entry_price is theirs.entry_price
        return
    room = max(_room(ours, fills), _room(theirs, fills)) * max(Decimal(1), scale)
    assert abs(ours.entry_price - theirs.entry_price) <= 2 * room + QUANTUM
