"""Liquidation, backstop, auto-deleveraging, and orders that wait for the mark.

Source: hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations. Equity below maintenance margin: the
positions go to the book as market orders, at first a fifth of those above 100,000 USD. Equity below two
thirds of it: the backstop vault takes them over at the price that leaves the account nothing. ADL closes a
position against the other side's most profitable holders at the mark before.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any

from positions.venues.simulator.wire import number, usd

from .accounts import Account, Position
from .matching import Rejected, Request, cancel, place
from .settlement import Trade, settle

if TYPE_CHECKING:
    from .exchange import Exchange

ZERO = Decimal(0)
LARGE = Decimal(100_000)
FIRST_SHARE = Decimal("0.2")
BACKSTOP_SHARE = Decimal(2) / Decimal(3)
SLIPPAGE = Decimal("0.3")


def sweep(exchange: Exchange) -> None:
    """Liquidate everybody whose equity is below maintenance margin at the present marks."""
    for account in list(exchange.accounts.values()):
        if account.positions and not account.house:
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
    """Close `positions` (behind one margin): to the book, or to the backstop when `severe`."""
    dex = positions[0].market.listing.dex
    cooling = account.cooling.get(dex, 0)
    notional = sum((one.holding().notional for one in positions), ZERO)
    if not severe and exchange.now < cooling:
        return
    _announce(exchange, account, positions, equity=equity, notional=notional)
    _cancel_orders(exchange, account, dex)
    if severe:
        take_over(exchange, account, positions, equity=equity, notional=notional)
        return
    gentle = notional > LARGE and not cooling
    account.cooling[dex] = exchange.now + exchange.cooldown if gentle else 0
    for position in list(positions):
        size = abs(position.leg.size)
        if gentle:
            step = Decimal(1).scaleb(-position.market.listing.size_decimals)
            size = max(step, (size * FIRST_SHARE).quantize(step, rounding=ROUND_DOWN))
        close_in_market(exchange, account, position, size)


def close_in_market(exchange: Exchange, account: Account, position: Position, size: Decimal) -> None:
    """Send part of a position to the book as the venue's own market order."""
    market, is_buy = position.market, position.leg.size < 0
    limit = market.listing.rounded(market.mark * (1 + SLIPPAGE if is_buy else 1 - SLIPPAGE))
    request = Request(
        market,
        is_buy,
        limit,
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


def take_over(
    exchange: Exchange, account: Account, positions: Sequence[Position], *, equity: Decimal, notional: Decimal
) -> None:
    """The backstop vault buys the positions at prices that leave the account's equity at (about) zero."""
    for position in list(positions):
        side = 1 if position.leg.size > 0 else -1
        shifted = position.market.mark * (1 - side * equity / notional)
        # In the user's favour to the tick, so that nobody owes.
        price = position.market.listing.rounded(shifted, ROUND_UP if side > 0 else ROUND_DOWN)
        price = max(price, position.market.listing.tick(position.market.mark))
        note = _note(account, position, "backstop")
        transfer(exchange, account, exchange.backstop, position, abs(position.leg.size), price, note=note)


def deleverage(exchange: Exchange, account: Account, position: Position) -> list[str]:
    """ADL: close `position` against the most profitable others, at the mark before; who was hit."""
    coin, mark = position.market.listing.coin, position.market.previous_mark
    side = position.leg.size > 0
    others = [
        (other, other.positions[coin])
        for other in exchange.accounts.values()
        if other is not account and coin in other.positions and (other.positions[coin].leg.size > 0) != side
    ]
    others.sort(key=lambda pair: (-_adl_rank(pair[1]), pair[0].address))
    hit = []
    for other, theirs in others:
        left = abs(position.leg.size)
        if left == 0:
            break
        size = min(left, abs(theirs.leg.size))
        transfer(exchange, account, other, position, size, mark, name="Auto-Deleveraging")
        hit.append(other.address)
    return hit


def _adl_rank(position: Position) -> Decimal:
    holding = position.holding()
    at_entry = abs(holding.size) * holding.entry
    return holding.unrealized / at_entry * position.leverage if at_entry else ZERO


def transfer(
    exchange: Exchange,
    giver: Account,
    taker: Account,
    position: Position,
    size: Decimal,
    price: Decimal,
    *,
    note: dict[str, Any] | None = None,
    name: str | None = None,
) -> None:
    """Move `size` of giver's position to taker outside the book, without fees."""
    signed = -size if position.leg.size > 0 else size
    tid, digest, oid = exchange.next_tid(), exchange.next_hash(), exchange.next_oid()
    market = position.market
    for account, units in ((giver, signed), (taker, -signed)):
        side = Trade(
            market,
            units,
            price,
            oid,
            tid,
            digest,
            exchange.now,
            account is giver,
            ZERO,
            name,
            liquidation=note,
        )
        settle(exchange, account, side)
    market.traded(size=size, price=price, now=exchange.now)


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
