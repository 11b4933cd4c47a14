"""What coins are worth in USD, by the marks of one environment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from positions.book.world import World
from positions.models import InstrumentKind, Mark


@dataclass(frozen=True, slots=True)
class CoinPrice:
    """What one unit of a coin is worth in USD, by which source, and as of when."""

    price: Decimal
    source: str
    at: datetime


def coin_prices(*, world: World, coins: Iterable[str]) -> dict[str, CoinPrice]:
    """Return USD prices of coins within one environment: of the world's venue, else the newest of any other.

    Only coins whose price is known are in the answer. Par currencies are worth 1: leave them out.
    A price comes from the coin's own mark, else from a pair or linear contract against a par currency.
    """
    marks = (
        Mark.objects.filter(
            instrument__environment=world.environment,
            instrument__base_url=world.base_url,
            instrument__base__in=list(coins),
            instrument__quote__in=settings.PAR_CURRENCIES,
            instrument__kind__in=[InstrumentKind.ASSET, InstrumentKind.SPOT, InstrumentKind.LINEAR],
        )
        .select_related("instrument")
        .order_by("at")
    )
    best: dict[str, tuple[tuple[bool, bool, datetime], CoinPrice]] = {}
    for mark in marks:
        instrument = mark.instrument
        rank = (instrument.venue == world.venue, instrument.kind != InstrumentKind.LINEAR, mark.at)
        price = CoinPrice(
            mark.price / instrument.multiplier, f"{instrument.venue} {instrument.symbol}", mark.at
        )
        if instrument.base not in best or rank > best[instrument.base][0]:
            best[instrument.base] = rank, price
    return {coin: price for coin, (_, price) in best.items()}
