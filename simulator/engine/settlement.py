"""What a fill does to the two accounts that traded: position, cash, fees, and the row each is shown."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator.ledger import Leg, direction
from simulator.margin import CumulativeFunding
from simulator.wire import number, to_micro

from .accounts import Account, Position, add_to
from .book import Builder
from .catalogue import PERP, TOKEN_INDEX, TOKENS
from .exchange import Exchange
from .market import Market

ZERO = Decimal(0)
TAKER = {"perp": Decimal("0.00045"), "spot": Decimal("0.0007")}
MAKER = {"perp": Decimal("0.00015"), "spot": Decimal("0.0004")}
# The house's market maker earns a rebate, as the largest makers do.
REBATE = Decimal("-0.00003")


@dataclass(frozen=True, slots=True)
class Trade:
    """One side of a match: `signed` units (+ bought) at `price`; `rate` is the fee as a share of notional."""

    market: Market
    signed: Decimal
    price: Decimal
    oid: int
    tid: int
    hash: str
    time: int
    crossed: bool
    rate: Decimal
    direction: str | None = None
    cloid: str | None = None
    builder: Builder | None = None
    liquidation: dict[str, Any] | None = None

    @property
    def notional(self) -> Decimal:
        """Signed USD that leaves the buyer."""
        return self.signed * self.price


def fee_rate(account: Account, market: Market, *, crossed: bool) -> Decimal:
    """The fee of an account as a share of notional; negative is a rebate."""
    if account.house:
        return REBATE
    return (TAKER if crossed else MAKER)[market.listing.kind]


def settle(exchange: Exchange, account: Account, trade: Trade) -> dict[str, Any]:
    """Book one side; the row of userFills, already filed in the account."""
    if trade.market.listing.kind == PERP:
        row = _settle_perp(exchange, account, trade)
    else:
        row = _settle_spot(exchange, account, trade)
    account.totals.fills += 1
    account.totals.volume += abs(trade.notional)
    exchange.file_fill(account, row)
    return row


def _settle_perp(exchange: Exchange, account: Account, trade: Trade) -> dict[str, Any]:
    listing = trade.market.listing
    builder_fee = to_micro(abs(trade.notional) * trade.builder.rate) if trade.builder else ZERO
    fee = to_micro(abs(trade.notional) * trade.rate) + builder_fee
    position = account.positions.get(listing.coin) or open_position(account, trade.market)
    before = position.leg.size
    if position.cash is None:
        add_to(account.cash, listing.dex, -trade.notional - fee)
    else:
        _move_isolated(account, position, trade, fee)
    closed_pnl = position.leg.trade(trade.signed, trade.price)
    _refresh_funding(position, before)
    if position.leg.size == 0:
        _release(account, position)
    account.totals.closed_pnl += closed_pnl
    exchange.charge(account, listing.quote, fee - builder_fee)
    if trade.builder is not None:
        exchange.pay_builder(account, trade.builder, listing.quote, builder_fee)
    trade.market.open_interest += max(position.leg.size, ZERO) - max(before, ZERO)
    name = trade.direction or direction(before, trade.signed)
    return fill_row(
        trade,
        before=before,
        name=name,
        closed_pnl=closed_pnl,
        fee=fee,
        token=listing.quote,
        builder_fee=builder_fee,
    )


def open_position(account: Account, market: Market) -> Position:
    """An empty position with the account's leverage settings."""
    cross, leverage = account.leverage(market)
    coin = market.listing.coin
    funding = CumulativeFunding(all_time=account.all_time_funding.get(coin, ZERO))
    position = Position(
        market, Leg(market.listing.price_decimals), leverage, None if cross else ZERO, funding
    )
    account.positions[coin] = position
    return position


def _move_isolated(account: Account, position: Position, trade: Trade, fee: Decimal) -> None:
    """Cash of an isolated position: margin comes in with what opens, equity goes out with what closes."""
    assert position.cash is not None
    dex, size = trade.market.listing.dex, position.leg.size
    closing = min(abs(size), abs(trade.signed)) if size * trade.signed < 0 else ZERO
    opening = abs(trade.signed) - closing
    released = ZERO
    if closing:
        equity = position.cash + size * trade.price
        released = to_micro(equity * closing / abs(size)) if closing < abs(size) else equity
        released = max(released, ZERO) if closing < abs(size) else released
    added = to_micro(opening * trade.price / position.leverage) if opening else ZERO
    position.cash += added - released - trade.notional - fee
    add_to(account.cash, dex, released - added)


def _release(account: Account, position: Position) -> None:
    """A flat position leaves; what cash it still has goes back to the account."""
    coin = position.market.listing.coin
    account.all_time_funding[coin] = position.funding.all_time
    if position.cash:
        add_to(account.cash, position.market.listing.dex, position.cash)
    del account.positions[coin]


def _refresh_funding(position: Position, before: Decimal) -> None:
    position.funding.since_change = ZERO
    if before == 0 or before * position.leg.size < 0:
        position.funding.since_open = ZERO


def _settle_spot(exchange: Exchange, account: Account, trade: Trade) -> dict[str, Any]:
    listing = trade.market.listing
    base, quote = listing.base, listing.quote
    before = account.spot.get(base, ZERO)
    size, cost = abs(trade.signed), account.cost.get(base, ZERO)
    closed_pnl = ZERO
    if trade.signed > 0:
        token = base if trade.rate > 0 else quote
        fee = (
            _token_amount(base, size * trade.rate) if token == base else to_micro(trade.notional * trade.rate)
        )
        add_to(account.spot, base, size - (fee if token == base else ZERO))
        account.add_spot(quote, -trade.notional - (fee if token == quote else ZERO))
        account.cost[base] = cost + trade.notional
    else:
        token, fee = quote, to_micro(-trade.notional * trade.rate)
        average = cost / before if before > 0 else trade.price
        closed_pnl = to_micro(size * (trade.price - average))
        add_to(account.spot, base, -size)
        account.add_spot(quote, -trade.notional - fee)
        account.cost[base] = cost - average * size if account.spot[base] > 0 else ZERO
    account.totals.closed_pnl += closed_pnl
    exchange.charge(account, token, fee)
    name = trade.direction or ("Buy" if trade.signed > 0 else "Sell")
    return fill_row(trade, before=before, name=name, closed_pnl=closed_pnl, fee=fee, token=token)


def _token_amount(token: str, amount: Decimal) -> Decimal:
    places = min(8, TOKENS[TOKEN_INDEX[token]].wei_decimals)
    return amount.quantize(Decimal(1).scaleb(-places))


def fill_row(
    trade: Trade,
    *,
    before: Decimal,
    name: str,
    closed_pnl: Decimal,
    fee: Decimal,
    token: str,
    builder_fee: Decimal = ZERO,
) -> dict[str, Any]:
    """A row of userFills; `fee` contains `builder_fee`."""
    row: dict[str, Any] = {
        "coin": trade.market.listing.coin,
        "px": number(trade.price),
        "sz": number(abs(trade.signed)),
        "side": "B" if trade.signed > 0 else "A",
        "time": trade.time,
        "startPosition": number(before),
        "dir": name,
        "closedPnl": number(closed_pnl),
        "hash": trade.hash,
        "oid": trade.oid,
        "crossed": trade.crossed,
        "fee": number(fee),
        "tid": trade.tid,
        "feeToken": token,
        "twapId": None,
    }
    if trade.cloid is not None:
        row["cloid"] = trade.cloid
    if builder_fee:
        row["builderFee"] = number(builder_fee)
    if trade.liquidation is not None:
        row["liquidation"] = trade.liquidation
    return row


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
