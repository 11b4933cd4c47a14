"""The only writer of snapshots: each account's figures of now, from what is known already. No network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from portfolio.models import Snapshot
from positions import queries
from positions.ledger.instruments import contract_of
from positions.models import Account, Position, VenueState
from positions.queries import accounts_in_use
from positions.risk.measures import notional, unrealized_pnl


def take(*, now: datetime) -> int:
    """Write one snapshot of each enabled account; a second one of the same moment changes nothing."""
    accounts = list(accounts_in_use(with_manual=True).order_by("pk"))
    held: dict[int, list[Position]] = defaultdict(list)
    for position in queries.open_positions().filter(account__in=accounts):
        held[position.account_id].append(position)
    realized, equity = _realized(accounts), _equity(accounts)
    snapshots = [
        _snapshot(account, held[account.pk], realized=realized, equity=equity, now=now)
        for account in accounts
    ]
    Snapshot.objects.bulk_create(snapshots, ignore_conflicts=True)
    return len(snapshots)


def _snapshot(
    account: Account,
    held: Sequence[Position],
    *,
    realized: Mapping[int, Decimal],
    equity: Mapping[int, Decimal | None],
    now: datetime,
) -> Snapshot:
    marks = [getattr(position.instrument, "mark", None) for position in held]
    prices = [mark.price if mark is not None else None for mark in marks]
    contracts = [contract_of(position.instrument) for position in held]
    in_par = all(contract.settle in settings.PAR_CURRENCIES for contract in contracts)
    unrealized = [
        unrealized_pnl(contract=contract, size=row.quantity, mark=price, open_cost=row.open_cost)
        for contract, row, price in zip(contracts, held, prices, strict=True)
    ]
    exposure = [
        notional(contract=contract, size=row.quantity, price=price)
        for contract, row, price in zip(contracts, held, prices, strict=True)
    ]
    return Snapshot(
        account=account,
        at=now,
        equity=equity.get(account.pk),
        unrealized_pnl=_sum(unrealized) if in_par else None,
        realized_pnl=realized.get(account.pk, Decimal(0)),
        exposure=_sum(exposure) if in_par else None,
        open_positions=len(held),
    )


def _sum(values: list[Decimal | None]) -> Decimal | None:
    """The sum, or None when a part of it is unknown."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if len(known) == len(values) else None


def _realized(accounts: Collection[Account]) -> dict[int, Decimal]:
    """Return the realized P&L of all positions, ended ones too, by account id."""
    positions = Position.objects.filter(account__in=accounts).order_by()
    return dict(positions.values_list("account").annotate(total=Sum("realized_pnl")))


def _equity(accounts: Collection[Account]) -> dict[int, Decimal | None]:
    """Return the last margin balance of all wallets together by account id, None where one is unknown.

    Accounts without a wallet are absent.
    """
    wallets = VenueState.objects.filter(account__in=accounts, instrument=None).order_by("pk")
    balances: dict[int, list[Decimal | None]] = defaultdict(list)
    for account, balance in wallets.values_list("account", "margin_balance"):
        balances[account].append(balance)
    return {account: _sum(known) for account, known in balances.items()}
