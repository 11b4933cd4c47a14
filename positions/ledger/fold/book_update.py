"""What a batch comes to: changed episodes, moved balances, checkpoints made and made wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from positions.book import Contract, Entry, PositionState, cash_legs
from positions.book.fold import Fold
from positions.book.money import ZERO, add, negate
from positions.ledger.fold.rules import FoldPart, counts, heir_of, running_cash
from positions.ledger.instruments import CatalogueItem
from positions.ledger.rows import (
    BalanceAmounts,
    CountedCash,
    Episode,
    EpisodeChange,
    PositionKey,
    StateCheckpoint,
)
from positions.ledger.statuses import folded_status
from positions.models import Status


@dataclass(slots=True)
class BookUpdate:
    """Adds up while the book is folded. `opened` is T0 by wallet.

    `balances` are differences; `realized` is all that folds from the first fact on realized in cash.
    """

    opened: dict[str, datetime]
    changes: list[EpisodeChange] = field(default_factory=list)
    balances: BalanceAmounts = field(default_factory=dict)
    realized: BalanceAmounts = field(default_factory=dict)
    checkpoints: list[StateCheckpoint] = field(default_factory=list)
    forgotten: dict[PositionKey, datetime] = field(default_factory=dict)

    def count(self, entry: Entry, contract: Contract | None, *, sign: int) -> None:
        """Add (or take away) the cash of an entry that does not depend on the fold."""
        if not counts(entry, self.opened):
            return
        for leg in cash_legs(entry, contract, realized=ZERO):
            self._move(leg.wallet or "", leg.asset, leg.amount, sign)

    def _move(self, wallet: str, asset: str, amount: Decimal | None, sign: int, unknowns: int = 1) -> None:
        held, unknown = self.balances.get((wallet, asset), (ZERO, 0))
        if amount is None:
            self.balances[wallet, asset] = held, unknown + sign * unknowns
        else:
            self.balances[wallet, asset] = add(held, amount if sign > 0 else negate(amount)), unknown

    def change(
        self,
        key: PositionKey,
        before: Episode | None,
        after: PositionState,
        cash: CountedCash,
        *,
        corrected: bool,
    ) -> None:
        """Add an episode as it is now; `cash` is what it has counted in all."""
        self.recount(after.contract.settle, before=before.cash if before else {}, after=cash)
        current = before.status if before else None
        status = folded_status(current=current, folded=after.status)
        self.changes.append(EpisodeChange(key, before, after, status, cash, corrected))

    def dissolve(self, key: PositionKey, row: Episode, again: Fold, *, first: str | None) -> None:
        """Add an episode that a fold no longer has; `first` is the one in which the fold began."""
        self.recount(row.state.contract.settle, before=row.cash, after={})
        heir = heir_of(row, again, first=first)
        self.changes.append(EpisodeChange(key, row, None, Status.VOID, {}, True, heir))

    def recount(self, asset: str, *, before: CountedCash, after: CountedCash) -> None:
        """Count realized P&L by wallet instead of what was counted before."""
        for sign, counted in ((-1, before), (1, after)):
            for wallet, (amount, unknown) in counted.items():
                self._move(wallet, asset, amount, sign)
                if unknown:
                    self._move(wallet, asset, None, sign, unknown)

    def realize(self, item: CatalogueItem, counted: CountedCash) -> None:
        """Add an episode's counted cash to `realized`."""
        key = item.contract.settle
        for wallet, (amount, unknown) in counted.items():
            held, unknowns = self.realized.get((wallet, key), (ZERO, 0))
            self.realized[wallet, key] = add(held, amount), unknowns + unknown

    def realize_all(self, item: CatalogueItem, again: Fold) -> None:
        """Add what a fold from the first fact on realized in cash."""
        openings = [episode.opened_by or "" for episode in again.episodes]
        whole = FoldPart(again.effective, again.changes, again.position)
        cash, _ = running_cash([whole], item=item, opened=self.opened, openings=openings)
        for counted in cash.values():
            self.realize(item, counted)
