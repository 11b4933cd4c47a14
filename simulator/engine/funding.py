"""Hourly funding: longs pay shorts while the perpetual is above its index, and the reverse."""

from __future__ import annotations

from decimal import Decimal

from simulator.wire import ZERO_HASH, number, to_micro

from .accounts import Account, Position, add_to
from .catalogue import PERP
from .exchange import Exchange

ZERO = Decimal(0)


def pay(exchange: Exchange) -> None:
    """Every open position pays or receives size * oracle * rate; what rounding leaves is the house's."""
    rates = {
        coin: market.fix_funding(now=exchange.now)
        for coin, market in exchange.markets.items()
        if market.listing.kind == PERP
    }
    for account in list(exchange.accounts.values()):
        for coin, position in account.positions.items():
            _pay(exchange, account, position, rates[coin])


def _pay(exchange: Exchange, account: Account, position: Position, rate: Decimal) -> None:
    listing = position.market.listing
    received = to_micro(-position.leg.size * position.market.oracle * rate)
    if position.cash is None:
        add_to(account.cash, listing.dex, received)
    else:
        position.cash += received
    position.funding.all_time -= received
    position.funding.since_open -= received
    position.funding.since_change -= received
    account.totals.funding += received
    add_to(exchange.fees, listing.quote, -received)
    if account.house:
        return
    delta = {
        "type": "funding",
        "coin": listing.coin,
        "usdc": number(received),
        "szi": number(position.leg.size),
        "fundingRate": number(rate),
        "nSamples": None,
    }
    exchange.file_funding(account, {"time": exchange.now, "hash": ZERO_HASH, "delta": delta})
