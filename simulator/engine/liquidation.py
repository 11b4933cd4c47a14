"""Liquidation, backstop, and orders that wait for the mark.

Source: hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations. Equity below maintenance margin: the
positions go to the book as market orders, at first a fifth of those above 100,000 USD. Equity below two
thirds of it: the backstop vault takes them over at the price that leaves the account nothing, or, where it
cannot, they are auto-deleveraged at that price.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

from simulator.wire import number, usd

from . import deleveraging
from .accounts import Account, Position
from .exchange import Exchange
from .matching import Rejected, Request, cancel, place
from .settlement import fee_rate, transfer

ZERO = Decimal(0)
LARGE = Decimal(100_000)
FIRST_SHARE = Decimal("0.2")
BACKSTOP_SHARE = Decimal(2) / Decimal(3)
SLIPPAGE = Decimal("0.3")
# Kept back when a liquidation is priced: fees are rounded fill by fill.
CENT = Decimal("0.01")


def sweep(exchange: Exchange) -> None:
    """Liquidate everybody whose equity is below maintenance margin at the present marks."""
    for account in list(exchange.accounts.values()):
        # The vault has no privilege: what it took over can ruin it like anybody. The maker has no limits.
        if account.positions and (not account.house or account is exchange.backstop):
            check(exchange, account)


def check(exchange: Exchange, account: Account) -> None:
    """Liquidate what of one account is below its maintenance margin."""
    for dex in sorted({one.market.listing.dex for one in account.positions.values()}):
        margin = account.margin(dex)
        crossed = [
            one for one in account.positions.values() if one.market.listing.dex == dex and one.cash is None
        ]
        if crossed and margin.cross_value < margin.cross_maintenance:
            severe = margin.cross_value < margin.cross_maintenance * BACKSTOP_SHARE
            liquidate(exchange, account, crossed, equity=margin.cross_value, severe=severe)
    for position in list(account.positions.values()):
        if position.cash is None:
            continue
        holding = position.holding()
        equity = position.cash + holding.value
        if equity < holding.maintenance:
            severe = equity < holding.maintenance * BACKSTOP_SHARE
            liquidate(exchange, account, [position], equity=equity, severe=severe)


def liquidate(
    exchange: Exchange, account: Account, positions: Sequence[Position], *, equity: Decimal, severe: bool
) -> None:
    """Close `positions` (behind one margin): to the book, or when `severe` to the backstop, or by ADL."""
    dex = positions[0].market.listing.dex
    cooling = account.cooling.get(dex, 0)
    notional = sum((one.holding().notional for one in positions), ZERO)
    if not severe and exchange.now < cooling:
        return
    prices = [deleveraging.bankruptcy_price(one, equity=equity, notional=notional) for one in positions]
    lots = list(zip(positions, prices, strict=True))
    rescued = severe and bears(exchange, account, lots, equity=equity)
    if severe and not rescued and not any(deleveraging.possible(exchange, account, *lot) for lot in lots):
        # Nobody on the other side can bear it now: open it stays, until the next marks.
        return
    _announce(exchange, account, positions, equity=equity, notional=notional)
    _cancel_orders(exchange, account, dex)
    if rescued:
        take_over(exchange, account, lots)
    elif severe:
        for position, price in lots:
            deleveraging.deleverage(exchange, account, position, price)
    else:
        gentle = notional > LARGE and not cooling
        account.cooling[dex] = exchange.now + exchange.cooldown if gentle else 0
        _sell_off(exchange, account, positions, gentle=gentle)


def _sell_off(exchange: Exchange, account: Account, positions: Sequence[Position], *, gentle: bool) -> None:
    for position in list(positions):
        size = abs(position.leg.size)
        if gentle:
            step = Decimal(1).scaleb(-position.market.listing.size_decimals)
            size = max(step, (size * FIRST_SHARE).quantize(step, rounding=ROUND_DOWN))
        close_in_market(exchange, account, position, size)


def close_in_market(exchange: Exchange, account: Account, position: Position, size: Decimal) -> None:
    """Send part of a position to the book as the venue's own market order, at no price that means debt."""
    market, is_buy = position.market, position.leg.size < 0
    request = Request(
        market,
        is_buy,
        _worst_price(account, position),
        size,
        tif="LiquidationMarket",
        reduce_only=True,
        liquidation=_note(account, position, "market"),
    )
    try:
        place(exchange, account, request)
    except Rejected:
        # Nobody on the other side: the backstop takes it at the next check, when equity has fallen further.
        return


def _worst_price(account: Account, position: Position) -> Decimal:
    """The limit of a liquidation: 30 % off the mark, or sooner where price and fee use up the equity."""
    market = position.market
    side = 1 if position.leg.size > 0 else -1
    share = (account.equity_behind(position) - CENT) / account.notional_behind(position)
    fee = max(ZERO, fee_rate(account, market, crossed=True))
    broke = market.mark * (1 - side * share) / (1 - side * fee)
    far = market.mark * (1 - side * SLIPPAGE)
    limit = max(broke, far) if side > 0 else min(broke, far)
    return market.listing.rounded(limit, ROUND_UP if side > 0 else ROUND_DOWN)


def bears(
    exchange: Exchange, account: Account, lots: Sequence[tuple[Position, Decimal]], *, equity: Decimal
) -> bool:
    """Whether the backstop vault takes positions over at these prices and keeps its own maintenance margin.

    It does so for the venue's own dex only, and not for an isolated position that is worth less than nothing:
    both as documented.
    """
    vault, first = exchange.backstop, lots[0][0]
    if account is vault or first.market.listing.dex or (first.cash is not None and equity < 0):
        return False
    paid = sum((one.leg.size * (one.market.mark - price) for one, price in lots), ZERO)
    margin = vault.margin("")
    # Opposite positions would net: counting both errs towards caution.
    needed = margin.cross_maintenance + sum((one.holding().maintenance for one, _ in lots), ZERO)
    return margin.cross_value + paid >= needed


def take_over(exchange: Exchange, account: Account, lots: Sequence[tuple[Position, Decimal]]) -> None:
    """The backstop vault buys each position at its price."""
    for position, price in lots:
        note = _note(account, position, "backstop")
        transfer(exchange, account, exchange.backstop, position, abs(position.leg.size), price, note=note)


def fire_triggers(exchange: Exchange) -> None:
    """Turn orders whose trigger the mark has reached into live ones."""
    for account in exchange.accounts.values():
        waiting = [order for order in account.orders.values() if order.trigger is not None]
        for order in waiting:
            if order.trigger is None or not order.trigger.reached(order.market.mark, order.is_buy):
                continue
            cancel(exchange, order, "triggered")
            request = Request(
                order.market,
                order.is_buy,
                order.price,
                order.size,
                tif="Ioc" if order.trigger.is_market else "Gtc",
                reduce_only=order.reduce_only,
                cloid=order.cloid,
            )
            try:
                place(exchange, account, request)
            except Rejected as refusal:
                exchange.file_order(order, refusal.status)


def _note(account: Account, position: Position, method: str) -> dict[str, Any]:
    return {"liquidatedUser": account.address, "markPx": number(position.market.mark), "method": method}


def _cancel_orders(exchange: Exchange, account: Account, dex: str) -> None:
    for order in list(account.orders.values()):
        if order.market.listing.dex == dex and order.market.listing.kind == "perp":
            cancel(exchange, order, "liquidatedCanceled")


def _announce(
    exchange: Exchange, account: Account, positions: Sequence[Position], *, equity: Decimal, notional: Decimal
) -> None:
    delta = {
        "type": "liquidation",
        "liquidatedNtlPos": usd(notional),
        "accountValue": usd(max(equity, ZERO)),
        "leverageType": "Isolated" if positions[0].cash is not None else "Cross",
        "liquidatedPositions": [
            {"coin": one.market.listing.coin, "szi": number(one.leg.size)} for one in positions
        ],
    }
    exchange.file_ledger(account, delta)
    exchange.note_liquidation(account, delta)
