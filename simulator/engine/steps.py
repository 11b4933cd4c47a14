"""One step of the exchange in time: prices move, then triggers, liquidations and funding follow."""

from __future__ import annotations

from . import funding, liquidation
from .exchange import Exchange


def step(exchange: Exchange, *, now: int, minutes: float) -> None:
    """Move prices by `minutes` of market time, then fire triggers, liquidate and pay funding."""
    exchange.now = now
    for coin, market in exchange.markets.items():
        if coin not in exchange.delisted:
            market.move(minutes=minutes, regime=exchange.regime, now=exchange.now)
    settle_marks(exchange)
    if exchange.now >= exchange.next_funding:
        funding.pay(exchange)
        exchange.next_funding = exchange.now - exchange.now % exchange.funding_every + exchange.funding_every
    exchange.reveal()


def settle_marks(exchange: Exchange) -> None:
    """Apply what new marks cause: triggered orders and liquidations."""
    liquidation.fire_triggers(exchange)
    liquidation.sweep(exchange)
