"""The book as of a moment, as known now; and what happened to a position, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from positions.book import ChangeKind, Entry, Kind, Leg, PositionChange, PositionState, Side, plain
from positions.book.apply import advance
from positions.book.money import ZERO
from positions.ledger import instruments as catalogues
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.refold import folds
from positions.ledger.fold.rewind import Rewind, named_legs, steadily
from positions.ledger.fold.rules import empty
from positions.ledger.history import PostgresHistory
from positions.ledger.instruments import par_currencies
from positions.ledger.rows import BalanceAmounts
from positions.models import Account, PositionEvent
from positions.models import Position as Row


@dataclass(frozen=True, slots=True)
class PastPosition:
    """What a key held at a moment: the fold's state (open, or the last closed episode)."""

    instrument: int
    symbol: str
    leg: str
    state: PositionState


@dataclass(frozen=True, slots=True)
class BookAsOf:
    """Positions with a size, and balances by (wallet, asset): amount and how many unknowns it leaves out."""

    at: datetime
    positions: list[PastPosition]
    balances: BalanceAmounts


def position_as_of(*, account: Account, instrument: int, leg: str, at: datetime) -> PastPosition:
    """Return what a key held at a venue time, from all facts known now; flat if it never opened."""

    def read(rewind: Rewind) -> PastPosition:
        held = rewind.leg(instrument=instrument, leg=Leg(leg))
        return PastPosition(instrument, held.instrument, leg, held)

    return steadily(account=account, at=at, read=read)


def book_as_of(*, account: Account, at: datetime) -> BookAsOf:
    """Return an account's open positions and balances at a venue time, from all facts known now."""

    def read(rewind: Rewind) -> BookAsOf:
        balances, moved = rewind.balances()
        held = rewind.positions(moved).items()
        return BookAsOf(
            at, [PastPosition(key.instrument, one.instrument, key.leg, one) for key, one in held], balances
        )

    return steadily(account=account, at=at, read=read)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a position's history. `size` is the signed size after it; None where it did not change."""

    at: datetime
    what: str
    text: str
    size: Decimal | None
    realized: Decimal | None
    who: str
    source: str
    trace_id: str


def history(*, position: Row) -> list[HistoryLine]:
    """Return what happened to an episode, by time: each fact's effect, and our own events."""
    ours = position.events.exclude(kind__in=_FACT_EVENTS).order_by("pk")
    lines = [*_of_facts(position), *(_of_event(event) for event in ours)]
    return sorted(lines, key=lambda line: line.at)


_FACT_EVENTS = ("opened", "changed", "closed", "liquidated")


def _of_facts(position: Row) -> Iterable[HistoryLine]:
    account = position.account
    effective = EffectiveEntries(catalogues.of(account), par_currencies(), PostgresHistory(account.pk, {}))
    (item,) = effective.catalogue.load_ids([position.instrument_id])
    facts = effective.of(item, after=None)
    fold = folds(item, facts, named_legs(facts))[Leg(position.leg)]
    return _lines(position, fold.effective, empty(item, Leg(position.leg)))


def _lines(position: Row, facts: Iterable[Entry], state: PositionState) -> Iterable[HistoryLine]:
    """Yield the lines of one episode: from the fact that opened it to the one that closed it."""
    inside = False
    for entry in facts:
        state, change = advance(state, entry)
        inside = inside or entry.venue_ref == position.opening_ref
        opens = change.kind in (ChangeKind.OPENED, ChangeKind.FLIPPED)
        if inside and opens and entry.venue_ref != position.opening_ref and change.closed is None:
            return
        if inside:
            ends = change.closed is not None and change.closed.opened_by == position.opening_ref
            yield HistoryLine(
                at=entry.time,
                what=change.kind.value,
                text=words(entry, change),
                size=ZERO if ends else state.size,
                realized=change.realized,
                who="",
                source=entry.cause.value if entry.cause else entry.kind.value,
                trace_id="",
            )
            if ends and change.kind is ChangeKind.FLIPPED:
                return


_DID = {
    ChangeKind.OPENED: "opened",
    ChangeKind.INCREASED: "increased",
    ChangeKind.REDUCED: "reduced",
    ChangeKind.CLOSED: "closed",
    ChangeKind.FLIPPED: "turned",
    ChangeKind.ADJUSTED: "adjusted",
}


def words(entry: Entry, change: PositionChange) -> str:
    """Return a fact and its effect in words: "bought 0.5 at 42000: opened"."""
    did = _DID.get(change.kind)
    if entry.quantity is None:
        text = f"{entry.kind.value} {plain(entry.amount or ZERO)} {entry.currency or ''}".strip()
        return f"{text}: {did}" if did else text
    verb = "bought" if entry.side is Side.BUY else "sold"
    verb = verb if entry.kind is Kind.FILL else f"adjusted: {verb}"
    price = f" at {plain(entry.price)}" if entry.price is not None else " at an unknown price"
    cause = f" ({entry.cause.value})" if entry.cause and entry.cause != "trade" else ""
    return f"{verb} {plain(entry.quantity)}{price}{cause}" + (f": {did}" if did else "")


def _of_event(event: PositionEvent) -> HistoryLine:
    text = event.kind
    if event.status_before != event.status_after:
        text += f": {event.status_before.lower() or 'new'} → {event.status_after.lower()}"
    before, after = event.before or {}, event.after or {}
    moved = [
        f"{name} {before.get(name)} → {value}" for name, value in after.items() if value != before.get(name)
    ]
    if moved:
        text += f" ({', '.join(moved)})"
    return HistoryLine(
        at=event.recorded_at,
        what=event.kind,
        text=text + (f" because {event.reason}" if event.reason else ""),
        size=None,
        realized=None,
        who=event.who,
        source=event.source,
        trace_id=event.trace_id,
    )
