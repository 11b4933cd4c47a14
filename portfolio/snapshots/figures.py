"""What snapshots hold: figures of positions, accounts and environments, from one read of the book."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db.models import Count, Q, Sum

from portfolio import rollup
from portfolio.live import rows
from portfolio.models import AccountSnapshot, PortfolioSnapshot, PositionSnapshot
from portfolio.rollup import AccountSummary, PositionSums
from portfolio.snapshots.quality import STALE, UNKNOWN, Quality
from portfolio.totals import account_summaries
from positions.book import money
from positions.book.contracts import Contract
from positions.labels import TELLING_FEEDS
from positions.ledger.instruments import contract_of
from positions.models import OPEN_STATUSES, Account, Instrument, InstrumentKind, Position, VenueState
from positions.queries import accounts_in_use
from positions.risk.features import position_size_norm, time_held_minutes
from positions.risk.measures import unrealized_pnl_pct

ZERO = Decimal(0)
LARGEST = Decimal(10) ** 20
"""What no column of a snapshot can hold any more."""

log = structlog.get_logger("snapshots")


class PositionRow(NamedTuple):
    """A row of PositionSnapshot, in the order of its columns: a thousand models take ten times as long."""

    position_id: int
    at: datetime
    quality: int
    quantity: Decimal
    mark_price: Decimal | None
    unrealized_pnl: Decimal | None
    realized_pnl: Decimal
    net_pnl: Decimal
    unrealized_pnl_pct: Decimal | None
    time_held_minutes: Decimal
    position_size_norm: Decimal | None = None


@dataclass(slots=True)
class Figures:
    """The rows of one moment."""

    positions: list[PositionRow | PositionSnapshot] = field(default_factory=list)
    accounts: list[AccountSnapshot] = field(default_factory=list)
    environments: list[PortfolioSnapshot] = field(default_factory=list)


class HeldPosition(NamedTuple):
    """What a snapshot needs of an open position's row."""

    id: int
    account: int
    instrument: int
    quantity: Decimal
    open_cost: Decimal | None
    realized_pnl: Decimal
    net_pnl: Decimal
    unknown_count: int
    opened_at: datetime


class MarketPrice(NamedTuple):
    """An instrument's terms and its believed price; `stale`: it is older than a price should be."""

    contract: Contract
    price: Decimal | None
    stale: bool
    is_spot: bool
    in_par: bool


class ValuedPosition(NamedTuple):
    """A position's row before its share of the exposure is known."""

    held: HeldPosition
    market: MarketPrice
    notional: Decimal | None
    unrealized: Decimal | None
    quality: int


def compute(*, now: datetime, feeds: Mapping[int, str]) -> Figures:
    """Return the rows of all open positions, accounts in use and environments. Raises DatabaseError."""
    accounts = list(accounts_in_use(with_manual=True).order_by("pk"))
    held = _held(accounts)
    markets = _markets({one.instrument for one in held}, now=now)
    cash = {one["id"]: one for one in account_summaries.of_accounts(now=now, feeds=feeds)}
    results, stated = _results(accounts), _stated(accounts)
    by_account: dict[int, list[HeldPosition]] = {}
    for one in held:
        by_account.setdefault(one.account, []).append(one)
    found, failed = Figures(), list[Account]()
    written: list[tuple[PositionRow, ValuedPosition, str]] = []
    for account in accounts:
        try:
            mine = [_valued(one, markets[one.instrument]) for one in by_account.get(account.pk, ())]
            shown = [_position_row(one, now=now) for one in mine]
            total = _account_row(account, cash[account.pk], mine, results.get(account.pk), now=now)
        except (ArithmeticError, ValueError):
            log.exception("no snapshot: an account's figures cannot be computed", account=account.pk)
            failed.append(account)
            continue
        total.venue_equity, total.venue_wallets = stated.get(account.pk, (None, []))
        found.accounts.append(total)
        written += [(one, value, account.environment) for one, value in zip(shown, mine, strict=True)]
    environments = {one.pk: one.environment for one in accounts}
    found.environments = _environments(found.accounts, environments, failed, now=now)
    exposure = {one.environment: one.exposure for one in found.environments}
    for row, value, environment in written:
        found.positions.append(row._replace(position_size_norm=_share(value, exposure[environment])))
    return found


def of_account(account: Account, *, now: datetime) -> list[PositionRow]:
    """Return the rows of one account's open positions; their share is that of the environment's exposure.

    Raises ArithmeticError.
    """
    accounts = list(accounts_in_use(with_manual=True).filter(environment=account.environment))
    held = _held(accounts)
    markets = _markets({one.instrument for one in held}, now=now)
    valued = [_valued(one, markets[one.instrument]) for one in held]
    exposure = _exposure(valued)
    mine = [one for one in valued if one.held.account == account.pk]
    return [_position_row(one, now=now)._replace(position_size_norm=_share(one, exposure)) for one in mine]


def _held(accounts: Collection[Account]) -> list[HeldPosition]:
    found = Position.objects.filter(account__in=accounts, status__in=OPEN_STATUSES).order_by("pk")
    columns = (
        "pk", "account_id", "instrument_id", "quantity", "open_cost", "realized_pnl", "net_pnl",
        "unknown_count", "opened_at",
    )  # fmt: skip
    return [HeldPosition(*one) for one in found.values_list(*columns)]


def _markets(instruments: Collection[int], *, now: datetime) -> dict[int, MarketPrice]:
    read = list(Instrument.objects.filter(pk__in=instruments).select_related("mark"))
    coins = rows.coin_marks(read)
    found = {}
    for one in read:
        mark = getattr(one, "mark", None)
        price = rows.believed((mark.price, mark.at) if mark else coins.get(one.pk), now=now)
        value = price[0] if price is not None else None
        old = price is not None and (now - price[1]).total_seconds() > rows.stale_after()
        contract = contract_of(one)
        found[one.pk] = MarketPrice(
            contract,
            value,
            stale=value is not None and old,
            is_spot=one.kind in (InstrumentKind.ASSET, InstrumentKind.SPOT),
            in_par=contract.settle in settings.PAR_CURRENCIES,
        )
    return found


def _valued(held: HeldPosition, market: MarketPrice) -> ValuedPosition:
    """Value a position as the board does. Raises ArithmeticError for what no row can hold."""
    # Plain numbers: to add flags to flags takes longer than all the arithmetic.
    quality = Quality.MARK_STALE.value if market.stale else 0
    if held.unknown_count or held.open_cost is None:
        quality |= Quality.COST_UNKNOWN.value
    if market.price is None:
        return ValuedPosition(held, market, None, None, quality | Quality.MARK_UNKNOWN.value)
    notional = market.contract.notional(held.quantity.copy_abs(), market.price)
    unrealized = None
    if held.open_cost is not None:
        unrealized = market.contract.pnl(held.quantity, held.open_cost, notional)
    _check_size(notional, unrealized)
    return ValuedPosition(held, market, notional, unrealized, quality)


def _check_size(*amounts: Decimal | None) -> None:
    for amount in amounts:
        if amount is not None and not abs(amount) < LARGEST:
            raise OverflowError(f"{amount:.3E} is more than a snapshot can hold")


def _position_row(one: ValuedPosition, *, now: datetime) -> PositionRow:
    held = one.held
    pct = unrealized_pnl_pct(unrealized_pnl=one.unrealized, entry_notional=held.open_cost)
    _check_size(pct, held.realized_pnl, held.net_pnl)
    return PositionRow(
        position_id=held.id,
        at=now,
        quality=one.quality,
        quantity=held.quantity,
        mark_price=one.market.price,
        unrealized_pnl=one.unrealized,
        realized_pnl=held.realized_pnl,
        net_pnl=held.net_pnl,
        unrealized_pnl_pct=pct,
        time_held_minutes=time_held_minutes(opened_at=held.opened_at, until=max(now, held.opened_at)) or ZERO,
    )


def _share(one: ValuedPosition, exposure: Decimal | None) -> Decimal | None:
    notional = one.notional if one.market.in_par else None
    return position_size_norm(notional=notional, total_exposure=exposure)


def _exposure(valued: Iterable[ValuedPosition]) -> Decimal | None:
    total = rollup.Sum()
    for one in valued:
        total = total.with_amount(one.notional, in_par=one.market.in_par)
    return total.whole


def _sums(account: Account, valued: Sequence[ValuedPosition]) -> PositionSums:
    sums = PositionSums(account.environment, positions=len(valued))
    for one in valued:
        in_par = one.market.in_par
        sums.unrealized = sums.unrealized.with_amount(one.unrealized, in_par=in_par)
        sums.notional = sums.notional.with_amount(one.notional, in_par=in_par)
        if one.held.quantity < 0:
            sums.shorts = sums.shorts.with_amount(one.notional, in_par=in_par)
        if not one.market.is_spot:
            sums.derivatives = sums.derivatives.with_amount(one.unrealized, in_par=in_par)
    return sums


def _account_row(
    account: Account,
    cash: AccountSummary,
    valued: Sequence[ValuedPosition],
    results: Results | None,
    *,
    now: datetime,
) -> AccountSnapshot:
    sums, results = _sums(account, valued), results or Results()
    bits = 0
    for one in valued:
        bits |= one.quality if one.market.in_par else one.quality | Quality.OTHER_CURRENCY.value
    quality = results.quality | Quality(bits)
    if cash["cash_unknown"]:
        quality |= Quality.CASH_UNKNOWN
    if cash["feed"] not in TELLING_FEEDS:
        quality |= Quality.FEED_STALE
    equity = rollup.account_equity(cash, sums)
    if equity is None and not quality & UNKNOWN:
        quality |= Quality.CASH_UNKNOWN  # nothing is counted yet
    known = None if cash["cash"] is None else money.add(Decimal(cash["cash"]), sums.derivatives.value)
    whole = sums.notional.left_out == 0
    row = AccountSnapshot(
        account=account,
        at=now,
        quality=int(quality),
        open_positions=len(valued),
        equity=equity,
        equity_known=equity if equity is not None else known,
        unrealized_pnl=sums.unrealized.whole,
        realized_pnl=results.realized,
        net_pnl=results.net,
        exposure=sums.notional.whole,
        net_exposure=sums.net if whole else None,
    )
    _check_size(row.equity, row.equity_known, row.realized_pnl, row.net_pnl, row.exposure)
    return row


@dataclass(frozen=True, slots=True)
class Results:
    """What all positions of an account made, ended ones too, in par currencies."""

    realized: Decimal = ZERO
    net: Decimal = ZERO
    quality: Quality = Quality.COMPLETE


def _results(accounts: Collection[Account]) -> dict[int, Results]:
    in_par = Q(pnl_currency__in=settings.PAR_CURRENCIES)
    sums = (
        Position.objects.filter(account__in=accounts)
        .order_by()
        .values_list("account")
        .annotate(
            realized=Sum("realized_pnl", filter=in_par),
            net=Sum("net_pnl", filter=in_par),
            others=Count("pk", filter=~in_par & ~Q(realized_pnl=0)),
        )
    )
    return {
        account: Results(
            realized or ZERO, net or ZERO, Quality.OTHER_CURRENCY if others else Quality.COMPLETE
        )
        for account, realized, net, others in sums
    }


def _stated(accounts: Collection[Account]) -> dict[int, tuple[Decimal | None, list[str]]]:
    """Return, by account id, the last margin balances together (None where one is unknown) and the wallets
    that they cover: a venue states one for what carries margin, not for coins.
    """
    wallets = VenueState.objects.filter(account__in=accounts, instrument=None).order_by("pk")
    found: dict[int, tuple[Decimal | None, list[str]]] = {}
    for account, wallet, balance in wallets.values_list("account", "wallet", "margin_balance"):
        total, names = found.get(account, (ZERO, []))
        known = None if total is None or balance is None else total + balance
        found[account] = known, [*names, wallet]
    return found


def _environments(
    accounts: Iterable[AccountSnapshot],
    environments: Mapping[int, str],
    failed: Iterable[Account],
    *,
    now: datetime,
) -> list[PortfolioSnapshot]:
    """Add accounts up by environment. One that failed leaves the sums incomplete, and is counted."""
    found: dict[str, PortfolioSnapshot] = {}
    for row in accounts:
        total = found.setdefault(environments[row.account_id], _empty(environments[row.account_id], now))
        stale, unknown = row.quality & STALE, row.equity is None
        total.accounts += 1
        total.accounts_stale += bool(stale)
        total.accounts_incomplete += unknown
        total.open_positions += row.open_positions
        total.quality |= row.quality
        total.realized_pnl = money.add(total.realized_pnl, row.realized_pnl)
        total.net_pnl = money.add(total.net_pnl, row.net_pnl)
        if stale and row.equity_known is not None:
            total.equity_stale = money.add(total.equity_stale, row.equity_known)
        if row.equity_known is not None:
            total.equity_known = money.add(total.equity_known or ZERO, row.equity_known)
        for name in ("equity", "unrealized_pnl", "exposure", "net_exposure"):
            setattr(total, name, _sum(getattr(total, name), getattr(row, name)))
    for account in failed:
        total = found.setdefault(account.environment, _empty(account.environment, now))
        total.accounts += 1
        total.accounts_incomplete += 1
        total.quality |= Quality.FAILED
        total.equity = total.unrealized_pnl = total.exposure = total.net_exposure = None
    return list(found.values())


def _empty(environment: str, now: datetime) -> PortfolioSnapshot:
    return PortfolioSnapshot(
        environment=environment, at=now, accounts=0, open_positions=0, equity=ZERO, equity_known=None,
        equity_stale=ZERO, unrealized_pnl=ZERO, realized_pnl=ZERO, net_pnl=ZERO, exposure=ZERO,
        net_exposure=ZERO,
    )  # fmt: skip


def _sum(total: Decimal | None, amount: Decimal | None) -> Decimal | None:
    """Add; unknown stays unknown."""
    return None if total is None or amount is None else money.add(total, amount)
