"""What each fact of a stretch of time did to a wallet, in the order of the facts' own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from positions.book import Contract, ContractKind, Entry, Leg, PositionState, cash_legs
from positions.book.apply import advance
from positions.book.money import ZERO
from positions.ledger.fold.rewind import Rewind, steadily
from positions.ledger.fold.rules import is_opening_balance, pays
from positions.ledger.instruments import CatalogueItem
from positions.models import Account

JUST_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CashMove:
    """One fact's effect on one asset of one wallet: + in, − out; None is unknown."""

    ref: str
    time: datetime
    amount: Decimal | None


def cash_moves(
    *, account: Account, wallet: str, asset: str, since: datetime, until: datetime
) -> list[CashMove]:
    """Return what facts from `since` to `until` did to an asset of a wallet, whether T0 counts them or not.

    Opening balances are left out. Reads the facts of that stretch alone.
    """
    return steadily(
        account=account,
        at=since - JUST_BEFORE,
        read=lambda rewind: list(_moves(rewind, wallet, asset, until)),
    )


def _moves(rewind: Rewind, wallet: str, asset: str, until: datetime) -> Iterator[CashMove]:
    states: dict[tuple[CatalogueItem, Leg], PositionState] = {}
    facts = rewind.effective.later(after=rewind.at, until=until)
    for fact in sorted(facts, key=lambda one: (one.time, one.venue_ref)):
        if is_opening_balance(fact):
            continue
        contract = rewind.effective.contract(fact)
        realized = _realized(rewind, states, fact, contract)
        for leg in cash_legs(fact, contract, realized=realized):
            if (leg.wallet or "", leg.asset) == (wallet, asset):
                yield CashMove(fact.venue_ref, fact.time, leg.amount)


def _realized(
    rewind: Rewind,
    states: dict[tuple[CatalogueItem, Leg], PositionState],
    fact: Entry,
    contract: Contract | None,
) -> Decimal | None:
    """Return what a derivative's fact realized in cash: zero where it realizes none, None if unknown."""
    item = rewind.effective.catalogue.instrument(fact.instrument) if fact.instrument else None
    if item is None or contract is None or contract.kind is ContractKind.SPOT or not pays(fact):
        return ZERO
    key = item, fact.leg or Leg.NET
    if key not in states:
        states[key] = rewind.leg(instrument=item.id, leg=key[1])
    states[key], change = advance(states[key], fact)
    return change.realized
