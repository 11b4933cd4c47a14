"""The only writer of snapshots: how each account stands now, from what is known already. No network."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from portfolio.models import Snapshot
from positions import queries
from positions.ledger.instruments import contract_of
from positions.models import Account, Position, VenueState
from positions.risk.measures import notional, unrealized_pnl


def take(*, now: datetime) -> int:
    """Write one snapshot of each enabled account; a second one of the same moment changes nothing."""
    found = [_snapshot(account, now) for account in Account.objects.filter(enabled=True).order_by("pk")]
    Snapshot.objects.bulk_create(found, ignore_conflicts=True)
    return len(found)


def _snapshot(account: Account, now: datetime) -> Snapshot:
    held = [position for position in queries.open_positions() if position.account_id == account.pk]
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
    realized = Position.objects.filter(account=account).aggregate(total=Sum("realized_pnl"))["total"]
    return Snapshot(
        account=account,
        at=now,
        equity=_equity(account),
        unrealized_pnl=_sum(unrealized) if in_par else None,
        realized_pnl=realized or Decimal(0),
        exposure=_sum(exposure) if in_par else None,
        open_positions=len(held),
    )


def _sum(values: list[Decimal | None]) -> Decimal | None:
    """The sum, or None when a part of it is unknown."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if len(known) == len(values) else None


def _equity(account: Account) -> Decimal | None:
    """What the venue last said of all wallets together; None if it said nothing of one."""
    stated = VenueState.objects.filter(account=account, instrument=None).order_by("pk")
    return _sum(list(stated.values_list("margin_balance", flat=True))) if stated.exists() else None
