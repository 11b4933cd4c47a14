"""What accounts' wallets are worth in USD, by the book: the one rule for it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from positions import queries
from positions.book.money import multiply
from positions.book.world import World
from positions.ledger.instruments import par_currencies
from positions.models import Balance
from positions.risk.exact import rounded


@dataclass(frozen=True, slots=True)
class CashValue:
    """What one account's wallets are worth. `value` adds up what is known (None: nothing is), in USD.

    `left_out` gives a reason for each amount that is not in it or only in part.
    """

    value: Decimal | None
    left_out: tuple[str, ...]


def cash(*, balances: Iterable[Balance], priced_since: datetime | None = None) -> dict[int, CashValue]:
    """Return what balances (with their accounts) are worth by account id; one that holds nothing is absent.

    Par currencies count as 1, coins at the last price of their venue; with `priced_since` only at one that is
    not older. One query per world.
    """
    held: dict[int, list[Balance]] = {}
    for row in balances:
        if row.amount or row.unknown_count:
            held.setdefault(row.account_id, []).append(row)
    prices = _prices([row for rows in held.values() for row in rows], priced_since)
    return {account: _added_up(rows, prices) for account, rows in held.items()}


def _prices(rows: Sequence[Balance], since: datetime | None) -> dict[tuple[World, str], Decimal]:
    par = par_currencies()
    coins: dict[World, set[str]] = {}
    found: dict[tuple[World, str], Decimal] = {}
    for row in rows:
        if row.asset in par:
            found[row.account.world, row.asset] = Decimal(1)
        else:
            coins.setdefault(row.account.world, set()).add(row.asset)
    for world, names in coins.items():
        prices = queries.coin_prices(world=world, coins=names)
        found |= {
            (world, coin): one.price for coin, one in prices.items() if since is None or one.at >= since
        }
    return found


def _added_up(rows: Sequence[Balance], prices: dict[tuple[World, str], Decimal]) -> CashValue:
    known, left_out = [], []
    for row in rows:
        price = prices.get((row.account.world, row.asset))
        if row.unknown_count:
            left_out.append(f"unknown entries in {row.asset}")
        if price is None and row.amount:
            left_out.append(f"no price of {row.asset}")
        elif price is not None:
            known.append(multiply(row.amount, price))
    return CashValue(rounded(sum(known, Decimal(0))) if known else None, tuple(left_out))
