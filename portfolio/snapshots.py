"""The only writer of snapshots: each account's figures of now, from what is known already. No network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import structlog
from django.db.models import Sum

from portfolio import pipeline, rollup
from portfolio.models import Snapshot
from portfolio.rollup import PositionSums
from portfolio.totals import account_summaries
from positions import queries
from positions.models import Account, Position, VenueState
from positions.queries import accounts_in_use

log = structlog.get_logger("snapshots")


def take(*, now: datetime) -> int:
    """Write one snapshot of each enabled account; a second one of the same moment changes nothing.

    An account whose positions cannot be added up gets none, and a line in the log; the others get theirs.
    """
    accounts = list(accounts_in_use(with_manual=True).order_by("pk"))
    sums = _sums(queries.open_positions().filter(account__in=accounts), now=now)
    cash = {one["id"]: one for one in account_summaries.of_accounts(now=now)}
    realized, at_venue = _realized(accounts), _equity_at_venue(accounts)
    snapshots = []
    for account in accounts:
        held = sums.get(account.pk, PositionSums(account.environment))
        if held is None:
            continue
        stated = at_venue.get(account.pk)
        snapshots.append(
            Snapshot(
                account=account,
                at=now,
                equity=rollup.account_equity(cash[account.pk], held),
                venue_equity=None if stated is None else stated[0],
                venue_wallets=[] if stated is None else stated[1],
                unrealized_pnl=held.unrealized.whole,
                realized_pnl=realized.get(account.pk, Decimal(0)),
                exposure=held.notional.whole,
                open_positions=held.positions,
            )
        )
    Snapshot.objects.bulk_create(snapshots, ignore_conflicts=True)
    return len(snapshots)


def _sums(held: Collection[Position], *, now: datetime) -> Mapping[int, PositionSums | None]:
    """Return what the positions of each account add up to; None where that cannot be said."""
    try:
        return pipeline.position_sums(held, now=now)[0]
    except (ArithmeticError, ValueError) as error:
        log.warning("positions are added up account by account", error=str(error))
    by_account: dict[int, list[Position]] = defaultdict(list)
    for position in held:
        by_account[position.account_id].append(position)
    return {account: _sums_of(account, rows, now) for account, rows in by_account.items()}


def _sums_of(account: int, held: Sequence[Position], now: datetime) -> PositionSums | None:
    try:
        return pipeline.position_sums(held, now=now)[0].get(account)
    except (ArithmeticError, ValueError):
        log.exception("no snapshot: the positions of an account cannot be added up", account=account)
        return None


def _realized(accounts: Collection[Account]) -> dict[int, Decimal]:
    """Return the realized P&L of all positions, ended ones too, by account id."""
    positions = Position.objects.filter(account__in=accounts).order_by()
    return dict(positions.values_list("account").annotate(total=Sum("realized_pnl")))


def _equity_at_venue(accounts: Collection[Account]) -> dict[int, tuple[Decimal | None, list[str]]]:
    """Return, by account id, the last margin balances together (None where one is unknown) and the wallets
    that they cover: a venue states one for what carries margin, not for coins.
    """
    wallets = VenueState.objects.filter(account__in=accounts, instrument=None).order_by("pk")
    found: dict[int, tuple[Decimal | None, list[str]]] = {}
    for account, wallet, balance in wallets.values_list("account", "wallet", "margin_balance"):
        total, names = found.get(account, (Decimal(0), []))
        known = None if total is None or balance is None else total + balance
        found[account] = known, [*names, wallet]
    return found
