"""Auto-deleveraging: a position that nobody may take over is closed against the other side's holders.

Source: hyperliquid.gitbook.io/hyperliquid-docs/trading/auto-deleveraging. Documented: who is in
profit on the other side is hit in the order of `(mark / entry) * (notional / account value)`, and no debt is
left. Ours: a short counts `entry / mark`; holders without profit come last; the price (`closing_price`).
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal

from .accounts import Account, Position
from .exchange import Exchange
from .settlement import transfer

ZERO = Decimal(0)
NAME = "Auto-Deleveraging"


def bankruptcy_price(position: Position, *, equity: Decimal, notional: Decimal) -> Decimal:
    """The price that leaves nothing of the equity behind a position, to the tick in its holder's favour.

    `equity` (USD) is shared out by `notional` (USD) of everything it answers for: each position closed at its
    own price, all of them end at zero.
    """
    side = 1 if position.leg.size > 0 else -1
    listing, mark = position.market.listing, position.market.mark
    wanted = max(mark * (1 - side * equity / notional), listing.tick(mark))
    return listing.rounded(wanted, ROUND_UP if side > 0 else ROUND_DOWN)


def closing_price(account: Account, position: Position) -> Decimal:
    """What an ADL pays: the bankruptcy price.

    An account that still has its margin (a fault picked it) gets the mark before, as documented, unless that
    would leave it in debt.
    """
    equity = account.equity_behind(position)
    limit = bankruptcy_price(position, equity=equity, notional=account.notional_behind(position))
    if equity < account.maintenance_behind(position):
        return limit
    before = position.market.previous_mark
    return max(before, limit) if position.leg.size > 0 else min(before, limit)


def deleverage(exchange: Exchange, account: Account, position: Position, price: Decimal) -> list[str]:
    """Close `position` at `price` against the other side by rank; the addresses hit, first first.

    What nobody can bear without falling into debt stays open.
    """
    hit = []
    for other, theirs in ranking(exchange, account, position):
        size = min(abs(position.leg.size), bearable(other, theirs, price))
        if size > 0:
            transfer(exchange, account, other, position, size, price, name=NAME)
            hit.append(other.address)
        if position.leg.size == 0:
            break
    return hit


def possible(exchange: Exchange, account: Account, position: Position, price: Decimal) -> bool:
    """Whether anybody can be deleveraged against `position` at `price`."""
    return any(bearable(other, theirs, price) > 0 for other, theirs in ranking(exchange, account, position))


def ranking(exchange: Exchange, account: Account, position: Position) -> list[tuple[Account, Position]]:
    """Holders of the other side, the first to be deleveraged first; the venue's own have no privilege."""
    coin, long = position.market.listing.coin, position.leg.size > 0
    found = [
        (other, other.positions[coin])
        for other in exchange.accounts.values()
        if other is not account and coin in other.positions and (other.positions[coin].leg.size > 0) != long
    ]
    return sorted(found, key=lambda pair: (-index(*pair), pair[0].address))


def index(account: Account, position: Position) -> Decimal:
    """The sorting index of a holder in profit; without profit (or equity) it is below every other: <= 0."""
    holding, equity = position.holding(), account.equity_behind(position)
    if equity <= 0:
        return ZERO
    gain = holding.mark / holding.entry if holding.size > 0 else holding.entry / holding.mark
    return gain * holding.notional / equity if holding.unrealized > 0 else gain - 1


def bearable(account: Account, position: Position, price: Decimal) -> Decimal:
    """Units of `position` that can be closed at `price` without leaving its holder in debt."""
    equity, size, mark = account.equity_behind(position), position.leg.size, position.market.mark
    if equity < 0:
        return ZERO
    loss = mark - price if size > 0 else price - mark
    if loss * abs(size) <= equity:
        return abs(size)
    step = Decimal(1).scaleb(-position.market.listing.size_decimals)
    return (equity / loss).quantize(step, rounding=ROUND_DOWN)
