"""What accounts hold, in USD and in units of each asset, from our book and the last marks. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from positions import queries as ledger
from positions.api import queries
from positions.book.money import multiply
from positions.ledger.instruments import contract_of, par_currencies
from positions.models import Account, Instrument, InstrumentKind, Position
from positions.risk.exact import rounded
from positions.risk.measures import unrealized_pnl
from positions.sync.feed_queries import is_opened
from positions.valuation import CashValue, cash
from reconciliation.rules.allocation import AccountEquity, AssetHolding


def equities(*, accounts: Sequence[Account], now: datetime) -> list[AccountEquity]:
    """Return each account's equity in USD: its wallets at par and at the last prices, and open P&L at mark.

    Unknown, with the reason, where a wallet has unknown entries or was never opened, or a price is not known
    (any more).
    """
    ids = frozenset(one.pk for one in accounts)
    balances = list(queries.balances(accounts=ids).order_by("account", "wallet", "asset"))
    wallets = cash(balances=balances, priced_since=now - _believed())
    counted = {row.account_id for row in balances}
    open_rows = _by_account(queries.seen_by(ledger.open_positions(), accounts=ids))
    return [
        _equity(one, wallets.get(one.pk), open_rows.get(one.pk, []), now, opened=one.pk in counted)
        for one in accounts
    ]


def lines(*, accounts: Sequence[Account], now: datetime) -> list[AssetHolding]:
    """Return what each account holds of each asset: cash in par, coins, and exposure by derivatives."""
    ids = frozenset(one.pk for one in accounts)
    par = queries.balances(accounts=ids).filter(asset__in=par_currencies())
    found = [
        AssetHolding(
            asset=row.asset,
            account=row.account.label,
            venue=row.account.venue,
            derivative=False,
            quantity=None if row.unknown_count else row.amount,
            value=None if row.unknown_count else row.amount,
        )
        for row in par.order_by("account__label", "wallet", "asset")
        if row.amount or row.unknown_count
    ]
    held = list(queries.seen_by(ledger.open_positions(), accounts=ids))
    return found + [_line(row, now) for row in held]


def _by_account(rows: Iterable[Position]) -> dict[int, list[Position]]:
    found: dict[int, list[Position]] = {}
    for row in rows:
        found.setdefault(row.account_id, []).append(row)
    return found


def _equity(
    account: Account, wallets: CashValue | None, held: Sequence[Position], now: datetime, *, opened: bool
) -> AccountEquity:
    total = (wallets.value if wallets else None) or Decimal(0)
    missing = list(wallets.left_out) if wallets else []
    for row in held:
        if row.instrument.kind in (InstrumentKind.ASSET, InstrumentKind.SPOT):
            continue  # coins are counted as balances
        value = _open_pnl(row, now)
        if value is None:
            missing.append(f"no price of {row.instrument.symbol}")
        else:
            total += value
    if not opened and not is_opened(account=account.pk):
        missing.append("its balances were never read")
    why = "; ".join(dict.fromkeys(missing))
    return AccountEquity(account.pk, account.label, account.venue, None if missing else total, why)


def _open_pnl(row: Position, now: datetime) -> Decimal | None:
    contract = contract_of(row.instrument)
    value = unrealized_pnl(
        contract=contract, size=row.quantity, mark=_mark(row.instrument, now), open_cost=row.open_cost
    )
    if value is None or contract.settle in par_currencies():
        return value
    price = _coin_prices(row.account, [contract.settle], now).get(contract.settle)
    return None if price is None else rounded(multiply(value, price))


def _mark(instrument: Instrument, now: datetime) -> Decimal | None:
    mark = getattr(instrument, "mark", None)
    return mark.price if mark is not None and now - mark.at <= _believed() else None


def _coin_prices(account: Account, coins: Sequence[str], now: datetime) -> dict[str, Decimal]:
    """USD prices that may still be believed."""
    if not coins:
        return {}
    found = ledger.coin_prices(world=account.world, coins=coins)
    return {coin: one.price for coin, one in found.items() if now - one.at <= _believed()}


def _believed() -> timedelta:
    return timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD)


def _line(row: Position, now: datetime) -> AssetHolding:
    instrument = row.instrument
    is_coin = instrument.kind == InstrumentKind.ASSET
    coins = _coin_prices(row.account, [instrument.base], now) if is_coin else {}
    price = coins.get(instrument.base) if is_coin else _mark(instrument, now)
    contract = contract_of(instrument)
    value = contract.notional(row.quantity, price) if price is not None else None
    if instrument.kind == InstrumentKind.INVERSE:
        units = value  # in base already
        value = None if units is None or price is None else rounded(multiply(units, price))
    else:
        units = multiply(multiply(row.quantity, contract.multiplier), instrument.underlying_ratio)
    return AssetHolding(
        asset=instrument.underlying or instrument.base,
        account=row.account.label,
        venue=row.account.venue,
        derivative=not is_coin,
        quantity=units,
        value=value,
    )
