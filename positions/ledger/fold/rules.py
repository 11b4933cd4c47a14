"""The rules of folding that need no book: what balances count, where a refold starts, who inherits.

Note [T0]: a wallet's balances begin with its opening balance, at the time of that entry. Facts at or before
it, whenever received, are part of positions and P&L and of no balance.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from positions.book import Cause, ContractKind, Entry, Kind, Leg, PositionChange, PositionState
from positions.book.fold import Fold
from positions.book.money import ZERO, add
from positions.ledger.admission import Effect
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import CountedCash, Episode, PositionKey

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FoldPart:
    """Consecutive facts, what each did, and the state after them."""

    facts: Sequence[Entry]
    changes: Sequence[PositionChange]
    after: PositionState


def counts(entry: Entry, opened: dict[str, datetime]) -> bool:
    """Return whether balances count it: later than its wallet's T0, or opening it. See Note [T0]."""
    # A wallet that was empty at connection has no opening entry: the account's first T0 holds for it.
    begin = opened.get(entry.wallet or "") or min(opened.values(), default=None)
    return begin is None or entry.time > begin or is_opening_balance(entry)


def is_opening_balance(entry: Entry) -> bool:
    """Return whether it states what a wallet held at connection: its time is the wallet's T0."""
    return entry.kind is Kind.TRANSFER and entry.cause is Cause.OPENING


def opened_wallets(opened: dict[str, datetime], facts: Iterable[Entry]) -> dict[str, datetime]:
    """Return T0 by wallet, also of the wallets that these facts open. See Note [T0]."""
    known = dict(opened)
    for fact in facts:
        if is_opening_balance(fact):
            known.setdefault(fact.wallet or "", fact.time)
    return known


def pays(entry: Entry) -> bool:
    """Return whether a derivative's realized P&L of this entry is paid in cash."""
    return entry.kind is Kind.FILL and entry.cause is not Cause.OPENING


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python's cycle collector from walking the heap again and again while a refold fills it.

    Ten thousand facts, none part of a cycle, else cost as much time in the collector as in the fold.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def empty(item: CatalogueItem, leg: Leg) -> PositionState:
    """Return the position of a key before its first fact."""
    return PositionState(contract=item.contract, instrument=item.symbol, leg=leg)


def legs_of(item: CatalogueItem, last: Mapping[PositionKey, Episode]) -> list[Leg]:
    """Return the legs of an instrument that have ever been used."""
    return [leg for leg in Leg if PositionKey(item.id, leg.value) in last]


def times(effects: Iterable[Effect]) -> Iterable[datetime]:
    return (part.time for effect in effects for part in (effect.before, effect.after) if part is not None)


def start_of(rows: Sequence[Episode], *, since: datetime) -> int:
    """Return the index of the row that a refold starts after; -1: from the beginning. See Note [Refold]."""
    for index in range(len(rows) - 1, -1, -1):
        state = rows[index].state
        if state.last_time is None or state.last_time >= since:
            continue
        if index + 1 == len(rows) or _opened(rows[index + 1]) > state.last_time:
            return index
    return -1


def _opened(row: Episode) -> datetime:
    return row.state.opened_at or BEGINNING


def heir_of(row: Episode, again: Fold, *, first: str | None) -> str | None:
    """Return the episode that takes the place of one that no longer exists; None if none does.

    `first` is the episode in which the fold began.

    The one that its opening fact belongs to now, else (it was busted) the one that spans its opening time.
    """
    openings = {episode.opened_by for episode in again.episodes}
    owner = first
    for entry, change in zip(again.effective, again.changes, strict=True):
        if entry.venue_ref in openings:
            owner = entry.venue_ref
        if entry.venue_ref == row.state.opened_by:
            return change.closed.opened_by if change.closed is not None else owner
    spans = (episode for episode in again.episodes if _spans(episode, row.state.opened_at))
    return next((episode.opened_by for episode in spans), None)


def _spans(episode: PositionState, moment: datetime | None) -> bool:
    if moment is None or episode.opened_at is None:
        return False
    return episode.opened_at <= moment and (episode.closed_at is None or moment <= episode.closed_at)


def sum_cash(left: CountedCash, right: CountedCash) -> CountedCash:
    total = dict(left)
    for wallet, (amount, unknown) in right.items():
        held, counted = total.get(wallet, (ZERO, 0))
        total[wallet] = add(held, amount), counted + unknown
    return total


def running_cash(
    parts: Sequence[FoldPart],
    *,
    item: CatalogueItem,
    opened: dict[str, datetime],
    openings: Iterable[str],
    first: str | None = None,
    carried: CountedCash | None = None,
) -> tuple[dict[str, CountedCash], list[CountedCash]]:
    """Return the realized P&L that moves cash, by episode; and that of the last episode after each part.

    `openings` are the entries that open episodes; `first` is the one that is open before the parts, and
    `carried` its cash so far.
    """
    total: dict[str, CountedCash] = {first: carried or {}} if first is not None else {}
    known, owner, passed = frozenset(openings), first, []
    for part in parts:
        if item.contract.kind is not ContractKind.SPOT:
            for opening, counted in _realized(part, opened, known, owner or "").items():
                total[opening] = sum_cash(total.get(opening, {}), counted)
        owner = part.after.opened_by
        passed.append(total.get(owner or "", {}))
    return total, passed


def _realized(
    part: FoldPart, opened: dict[str, datetime], known: frozenset[str], owner: str
) -> dict[str, CountedCash]:
    """Return realized cash by the episode that realized it, and by wallet. See Note [T0]."""
    found: dict[str, CountedCash] = {}
    for entry, change in zip(part.facts, part.changes, strict=True):
        closed = change.closed.opened_by if change.closed is not None else None
        if change.realized != 0 and pays(entry) and counts(entry, opened):
            wallets = found.setdefault(closed or owner, {})
            amount, unknown = wallets.get(entry.wallet or "", (ZERO, 0))
            if change.realized is None:
                wallets[entry.wallet or ""] = amount, unknown + 1
            else:
                wallets[entry.wallet or ""] = add(amount, change.realized), unknown
        if entry.venue_ref in known:
            owner = entry.venue_ref
    return found
