"""The book taken back to a moment: what it is now, less the facts that came after the moment.

Note [Rewind]: an account of ten thousand facts is not folded again to show its book of a minute ago. A key
without a later fact is what it was. One with later facts is folded from its last whole state at or before
the moment (Note [Checkpoints], Note [Refold]) up to it. A balance is the stored one less the later facts' own
cash and less what the keys' episodes realized since. All of it is exact, so this is the same book as a fold
of every fact up to the moment; only legs that share facts without a leg are folded from their first fact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import transaction

from positions.book import Entry, Leg, PositionState
from positions.book.fold import Fold, fold_facts
from positions.ledger import instruments as catalogues
from positions.ledger import serialise, sql
from positions.ledger.fold.advance import HEDGED
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.checkpoints import RefoldStart, from_start
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.refold import Refolding, folds
from positions.ledger.fold.rules import FoldPart, collector_paused, empty, legs_of, running_cash, sum_cash
from positions.ledger.history import PostgresHistory
from positions.ledger.instruments import CatalogueItem, contract_of, par_currencies
from positions.ledger.rows import BalanceAmounts, CountedCash, PositionKey
from positions.models import OPEN_STATUSES, Account, AccountHead, Balance
from positions.models import Position as Row

INSTANT = timedelta(microseconds=1)
READS = 3
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class PastLeg:
    """One leg at a moment: its last episode, and what its episodes counted by then and by now."""

    state: PositionState
    then: CountedCash
    now: CountedCash


class Rewind:
    """Takes keys and balances of one account back to a venue time, as all facts known now have it."""

    def __init__(self, *, account: Account, at: datetime) -> None:
        self.account, self.at = account, at
        head = AccountHead.objects.filter(account=account).first()
        self.sequence = head.sequence if head else None
        opened = head.opened if head else {}
        self.opened = {wallet: datetime.fromisoformat(time) for wallet, time in opened.items()}
        self.ledger = PostgresHistory(account.pk, {})
        self.effective = EffectiveEntries(catalogues.of(account), par_currencies(), self.ledger)

    def leg(self, *, instrument: int, leg: Leg) -> PositionState:
        """Return a leg's last episode at the moment; flat without facts if it never opened."""
        (item,) = self.effective.catalogue.load_ids([instrument])
        return self._legs({item: {leg}})[PositionKey(instrument, leg.value)].state

    def balances(self) -> tuple[BalanceAmounts, dict[PositionKey, PositionState]]:
        """Return what all wallets held, and of each key that has later facts its last episode."""
        update = BookUpdate(self.opened)
        for row in Balance.objects.filter(account=self.account):
            update.balances[row.wallet, row.asset] = row.amount, row.unknown_count
        named: dict[CatalogueItem, set[Leg | None]] = defaultdict(set)
        for entry in self.effective.later(after=self.at):
            update.count(entry, self.effective.contract(entry), sign=-1)
            for item, part in self.effective.parts(entry).items():
                named[item].add(part.leg)
        moved = self._legs(named)
        for one in moved.values():
            update.recount(one.state.contract.settle, before=one.now, after=one.then)
        return update.balances, {key: one.state for key, one in moved.items()}

    def positions(self, moved: Mapping[PositionKey, PositionState]) -> dict[PositionKey, PositionState]:
        """Return the open positions by key: `moved` at the moment, and those that have not changed since."""
        rows = Row.objects.filter(account=self.account, status__in=OPEN_STATUSES).select_related("instrument")
        found = {
            PositionKey(row.instrument_id, row.leg): serialise.loads(
                row.state, contract=contract_of(row.instrument)
            )
            for row in rows.order_by("instrument__venue_symbol", "leg")
        }
        return {key: held for key, held in {**found, **moved}.items() if held.is_open}

    def _legs(self, named: Mapping[CatalogueItem, Collection[Leg | None]]) -> dict[PositionKey, PastLeg]:
        """Take these legs of instruments and coins back; where legs share facts, all of them."""
        self.ledger.contracts = {item.id: item.contract for item in named}
        last = sql.last_episodes(account=self.account.pk, contracts=self.ledger.contracts) if named else {}
        found: dict[PositionKey, PastLeg] = {}
        with collector_paused():
            for item, legs in named.items():
                used = {*legs, *legs_of(item, last)}
                if used & set(HEDGED) and self.effective.shares(item):
                    found |= self._shared(item, [leg for leg in Leg if leg in used])
                else:
                    found |= {
                        PositionKey(item.id, leg.value): self._alone(item, leg)
                        for leg in {leg or Leg.NET for leg in legs}
                    }
        return found

    def _alone(self, item: CatalogueItem, leg: Leg) -> PastLeg:
        start = Refolding(self.effective, BookUpdate(self.opened)).start(item, leg, self.at + INSTANT)
        facts = self.effective.between(item, after=start.state.last_time, until=self.at)
        fold = fold_facts([one for one in facts if (one.leg or Leg.NET) is leg], start=start.state)
        return self._rewound(item, fold, start)

    def _shared(self, item: CatalogueItem, legs: Iterable[Leg]) -> dict[PositionKey, PastLeg]:
        facts = self.effective.between(item, after=None, until=self.at)
        # Among those known by then: as it was shared when nobody knew the others.
        known = folds(item, facts, named_legs(facts))
        found = {}
        for leg in legs:
            key = PositionKey(item.id, leg.value)
            start = RefoldStart(empty(item, leg), self.ledger.episodes(key))
            found[key] = self._rewound(item, known.get(leg) or fold_facts([], start=start.state), start)
        return found

    def _rewound(self, item: CatalogueItem, fold: Fold, start: RefoldStart) -> PastLeg:
        cash, _ = running_cash(
            [FoldPart(fold.effective, fold.changes, fold.position)],
            item=item,
            opened=self.opened,
            openings=[episode.opened_by or "" for episode in from_start(fold, start).episodes],
            first=start.opening,
            carried=start.cash,
        )
        return PastLeg(fold.position, _sum(cash.values()), _sum(row.cash for row in start.rows))


def named_legs(facts: Iterable[Entry]) -> list[Leg]:
    """Return the legs that facts of one instrument name; net if they name none."""
    named = {part.leg for part in facts if part.leg is not None}
    return [leg for leg in Leg if leg in named] or [Leg.NET]


def _sum(counted: Iterable[CountedCash]) -> CountedCash:
    total: CountedCash = {}
    for one in counted:
        total = sum_cash(total, one)
    return total


def steadily(*, account: Account, at: datetime, read: Callable[[Rewind], Found]) -> Found:
    """Return what several reads of one account find, when nothing was booked between them.

    Where something was, they are done again; the last time while booking waits.
    """
    for _ in range(READS):
        rewind = Rewind(account=account, at=at)
        found = read(rewind)
        if _sequence(account) == rewind.sequence:
            return found
    # For as long as one rewind takes: an account that books without pause must still be readable.
    with transaction.atomic():
        sql.lock_head(account.pk)
        return read(Rewind(account=account, at=at))


def _sequence(account: Account) -> int | None:
    return AccountHead.objects.filter(account=account).values_list("sequence", flat=True).first()
