"""Placing and cancelling: what the venue accepts, what it says when it does not, and who trades with whom."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator.wire import number

from .accounts import Account
from .book import Builder, Order, Trigger
from .catalogue import PERP
from .exchange import Exchange
from .market import Market
from .settlement import Trade, fee_rate, settle

ZERO = Decimal(0)
MINIMUM_NOTIONAL = Decimal(10)
FAR = Decimal("0.8")
# What a fill must leave (USD): fees are rounded fill by fill.
CENT = Decimal("0.01")
MARKETABLE = {"Ioc", "FrontendMarket", "LiquidationMarket"}


class Rejected(ValueError):
    """The venue refuses an order; the text is its own. `status` is what orderStatus would say."""

    def __init__(self, text: str, status: str = "rejected") -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """An order as asked for: `size` in units, `price` a limit even for a market order."""

    market: Market
    is_buy: bool
    price: Decimal
    size: Decimal
    tif: str = "Gtc"
    reduce_only: bool = False
    cloid: str | None = None
    trigger: Trigger | None = None
    builder: Builder | None = None
    liquidation: dict[str, Any] | None = None


def place(exchange: Exchange, account: Account, request: Request) -> dict[str, Any] | str:
    """Place an order; the venue's status object. Raises Rejected."""
    size = _checked(account, request)
    order = Order(
        oid=exchange.next_oid(),
        account=account,
        market=request.market,
        is_buy=request.is_buy,
        price=request.price,
        size=size,
        original=size,
        time=exchange.now,
        tif=request.tif,
        reduce_only=request.reduce_only,
        cloid=request.cloid,
        trigger=request.trigger,
        builder=request.builder,
        liquidation=request.liquidation,
    )
    if order.trigger is not None:
        _keep(exchange, order)
        return "waitingForTrigger"
    return execute(exchange, order)


def execute(exchange: Exchange, order: Order) -> dict[str, Any]:
    """Match an order and rest what is left, as its time in force says. Raises Rejected."""
    market = order.market
    meets = market.book.crossing(order.is_buy, order.price)
    if order.tif == "Alo" and meets is not None:
        raise Rejected(_post_only(market), "badAloPxRejected")
    if order.tif in MARKETABLE and meets is None:
        raise Rejected("Order could not immediately match against any resting orders.", "iocCancelRejected")
    filled, notional, ruinous = _match(exchange, order)
    if ruinous and filled == 0:
        raise Rejected("Insufficient margin to place order.", "perpMarginRejected")
    if order.size == 0:
        exchange.file_order(order, "filled")
    elif ruinous:
        exchange.file_order(order, "marginCanceled")
    elif order.tif in MARKETABLE:
        if filled == 0:
            raise Rejected(
                "Order could not immediately match against any resting orders.", "iocCancelRejected"
            )
        exchange.file_order(order, "canceled")
    else:
        _keep(exchange, order)
        market.book.add(order)
    if filled == 0:
        return {"resting": _ids(order)}
    average = number(notional / filled, market.listing.price_decimals)
    return {"filled": {"totalSz": number(filled), "avgPx": average} | _ids(order)}


def cancel(exchange: Exchange, order: Order, status: str = "canceled") -> None:
    """Take a live order away."""
    del order.account.orders[order.oid]
    if order.cloid is not None:
        order.account.by_cloid.pop(order.cloid, None)
    if order.trigger is None:
        order.market.book.remove(order)
    exchange.file_order(order, status)


def _ids(order: Order) -> dict[str, Any]:
    return {"oid": order.oid} | ({} if order.cloid is None else {"cloid": order.cloid})


def _keep(exchange: Exchange, order: Order) -> None:
    order.account.orders[order.oid] = order
    if order.cloid is not None:
        order.account.by_cloid[order.cloid] = order.oid
    exchange.file_order(order, "open")


def _post_only(market: Market) -> str:
    bid, ask = market.book.best(True), market.book.best(False)
    prices = [number(one.price) if one else "0" for one in (bid, ask)]
    return f"Post only order would have immediately matched, bbo was {prices[0]}@{prices[1]}."


def _checked(account: Account, request: Request) -> Decimal:
    """The size that may be placed. Raises Rejected with the venue's own text."""
    listing, market = request.market.listing, request.market
    if request.size == 0:
        raise Rejected("Order has zero size.")
    if request.size < 0 or not listing.valid_size(request.size):
        raise Rejected("Order has invalid size.")
    if not listing.valid_price(request.price):
        raise Rejected("Price must be divisible by tick size.", "tickRejected")
    if account.house or request.liquidation is not None:
        return request.size
    if abs(request.price / market.oracle - 1) > FAR and request.trigger is None and not _takes(request):
        raise Rejected("Order price cannot be more than 80% away from the reference price", "oracleRejected")
    size = _reducing(account, request)
    if size * request.price < MINIMUM_NOTIONAL and not request.reduce_only:
        raise Rejected("Order must have minimum value of $10.", "minTradeNtlRejected")
    if listing.kind == PERP:
        _check_margin(account, request, size)
    else:
        _check_balance(account, request, size)
    return size


def _takes(request: Request) -> bool:
    return request.tif in MARKETABLE


def _reducing(account: Account, request: Request) -> Decimal:
    """The size, clipped to the position when it may only reduce it."""
    if not request.reduce_only:
        return request.size
    position = account.positions.get(request.market.listing.coin)
    held = position.leg.size if position else ZERO
    if held == 0 or (held > 0) == request.is_buy:
        if request.trigger is not None:
            return request.size
        raise Rejected("Reduce only order would increase position.", "reduceOnlyRejected")
    return min(request.size, abs(held))


def _check_margin(account: Account, request: Request, size: Decimal) -> None:
    if request.trigger is not None:
        return
    listing = request.market.listing
    position = account.positions.get(listing.coin)
    held = position.leg.size if position else ZERO
    signed = size if request.is_buy else -size
    added = max(ZERO, abs(held + signed) - abs(held)) if held * signed < 0 else size
    if added == 0:
        return
    margin = account.margin(listing.dex)
    _, leverage = account.leverage(request.market)
    price = min(request.price, request.market.mark * 2) if request.is_buy else request.market.mark
    if added * price / leverage > margin.withdrawable:
        raise Rejected("Insufficient margin to place order.", "perpMarginRejected")


def _check_balance(account: Account, request: Request, size: Decimal) -> None:
    listing = request.market.listing
    token = listing.quote if request.is_buy else listing.base
    needed = size * request.price if request.is_buy else size
    if account.free_spot(token) < needed:
        raise Rejected("Insufficient spot balance", "insufficientSpotBalanceRejected")


def _match(exchange: Exchange, order: Order) -> tuple[Decimal, Decimal, bool]:
    """Trade against the book; (units filled, notional, stopped because more would ruin the owner?)."""
    filled = notional = ZERO
    book = order.market.book
    while order.size > 0:
        resting = book.crossing(order.is_buy, order.price)
        if resting is None:
            break
        if resting.account is order.account:
            cancel(exchange, resting, "selfTradeCanceled")
            continue
        size = min(order.size, _reducible(resting))
        if size == 0:
            cancel(exchange, resting, "reduceOnlyCanceled")
            continue
        if not affordable(resting, size, resting.price, crossed=False):
            cancel(exchange, resting, "marginCanceled")
            continue
        if not affordable(order, size, resting.price, crossed=True):
            return filled, notional, True
        trade(exchange, taker=order, maker=resting, size=size)
        filled += size
        notional += size * resting.price
    return filled, notional, False


def affordable(order: Order, size: Decimal, price: Decimal, *, crossed: bool) -> bool:
    """Whether a fill leaves its owner equity: who is ruined by a price far from the mark gets no fill."""
    account, market = order.account, order.market
    if account.house or market.listing.kind != PERP or order.liquidation is not None:
        return True
    position = account.positions.get(market.listing.coin)
    held = position.leg.size if position else ZERO
    closing = min(abs(held), size) if held and (held > 0) != order.is_buy else ZERO
    rate = fee_rate(account, market, crossed=crossed) + (order.builder.rate if order.builder else ZERO)
    cost = price - market.mark if order.is_buy else market.mark - price
    cross, leverage = account.leverage(market)
    if position is not None:
        cross, leverage = position.cash is None, position.leverage
    if cross:
        return account.cross_equity(market.listing.dex) - size * (cost + price * rate) >= CENT
    if position is not None and closing:
        left = account.equity_behind(position) - closing * cost - size * price * rate
        if left < CENT:
            return False
    added = (size - closing) * price / leverage
    return added == 0 or account.cross_equity(market.listing.dex) - added >= CENT


def _reducible(order: Order) -> Decimal:
    if not order.reduce_only:
        return order.size
    position = order.account.positions.get(order.market.listing.coin)
    held = position.leg.size if position else ZERO
    return min(order.size, abs(held)) if held and (held < 0) == order.is_buy else ZERO


def trade(exchange: Exchange, *, taker: Order, maker: Order, size: Decimal) -> None:
    """Match two orders at the resting one's price."""
    market, price = maker.market, maker.price
    tid, digest = exchange.next_tid(), exchange.next_hash()
    for order in (taker, maker):
        order.size -= size
        crossed = order is taker
        settle(
            exchange,
            order.account,
            Trade(
                market=market,
                signed=size if order.is_buy else -size,
                price=price,
                oid=order.oid,
                tid=tid,
                hash=digest,
                time=exchange.now,
                crossed=crossed,
                rate=fee_rate(order.account, market, crossed=crossed),
                cloid=order.cloid,
                builder=order.builder,
                liquidation=taker.liquidation,
            ),
        )
    if maker.size == 0:
        _complete(exchange, maker)
    else:
        exchange.file_order(maker, "open")
    market.traded(size=size, price=price, now=exchange.now)
    exchange.file_trade(taker=taker, maker=maker, size=size, tid=tid, digest=digest)


def _complete(exchange: Exchange, order: Order) -> None:
    order.market.book.remove(order)
    del order.account.orders[order.oid]
    if order.cloid is not None:
        order.account.by_cloid.pop(order.cloid, None)
    exchange.file_order(order, "filled")
