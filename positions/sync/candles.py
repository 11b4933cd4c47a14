"""Candles of what a position holds, asked of its venue and kept in Redis for a while.

Candles are the same for everybody, so what one reader asked for serves the next one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import redis
import structlog
from django.conf import settings

from core.storage.redis import client
from core.values.money import fixed
from positions.models import Account, Instrument, InstrumentKind
from positions.sync import connections
from positions.venues.base import Candle

INTERVALS = {
    "1m": timedelta(minutes=1), "5m": timedelta(minutes=5), "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1),
}  # fmt: skip
"""What every venue that has candles knows, by its name there."""
MOST = 400
"""Candles of one range: venues give about as many at once."""
_KEPT_OPEN, _KEPT_ENDED = timedelta(seconds=20), timedelta(hours=6)

log = structlog.get_logger("candles")


class NoMarket(Exception):
    """What is held has no market whose candles could be read. The message says why."""


def interval_for(since: datetime, until: datetime) -> str:
    """Return the finest interval that fits a range into MOST candles, the coarsest for a longer range."""
    return next((name for name, step in INTERVALS.items() if until - since <= step * MOST), "1d")


def market_of(instrument: Instrument) -> Instrument:
    """Return the market whose prices are those of an instrument: for a coin a pair, else a linear contract,
    against a par currency. Raises NoMarket.
    """
    if instrument.kind != InstrumentKind.ASSET:
        return instrument
    pairs = Instrument.objects.filter(
        **instrument.world.lookup(), base=instrument.base, quote__in=settings.PAR_CURRENCIES, multiplier=1,
        kind__in=[InstrumentKind.SPOT, InstrumentKind.LINEAR],
    )  # fmt: skip
    found = sorted(pairs, key=lambda one: (one.kind != InstrumentKind.SPOT, one.pk))
    if not found:
        raise NoMarket(f"this venue lists no market of {instrument.base} against a par currency")
    return found[0]


def candles(
    *, account: Account, market: Instrument, since: datetime, until: datetime, now: datetime
) -> tuple[str, list[Candle]]:
    """Return the interval and the candles of a range, the oldest first; where nothing traded there is none.

    Must run outside a transaction: it may ask the venue. Raises VenueError, CredentialsUnreadable.
    """
    name = interval_for(since, until)
    step = INTERVALS[name]
    first, last = _aligned(since, step), min(_aligned(until, step) + step, now)
    is_over = last <= now - step
    key = f"plumbline:candles:{market.world}:{market.venue_symbol}:{name}:{first.timestamp():.0f}"
    key += f":{last.timestamp():.0f}" if is_over else ""
    if (kept := _kept(key)) is not None:
        return name, kept
    venue = connections.connect(account=account)
    wanted = venue.candles(symbol=market.venue_symbol, interval=name, since=first, until=last)
    found = sorted(connections.run(wanted, timeout=15), key=lambda candle: candle.time)
    inside = [candle for candle in found if first <= candle.time < last]
    _keep(key, inside, _KEPT_ENDED if is_over else _KEPT_OPEN)
    return name, inside


def _aligned(at: datetime, step: timedelta) -> datetime:
    seconds = step.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def _kept(key: str) -> list[Candle] | None:
    """Return what is kept; None: nothing, or Redis does not answer."""
    try:
        content = client().get(key)
    except redis.RedisError as error:
        log.warning("candles are not kept: Redis does not answer", error=str(error))
        return None
    if not isinstance(content, bytes):
        return None
    return [
        Candle(
            time=datetime.fromtimestamp(at, UTC),
            open=Decimal(opening), high=Decimal(high), low=Decimal(low), close=Decimal(close),
        )
        for at, opening, high, low, close in orjson.loads(content)
    ]  # fmt: skip


def _keep(key: str, found: Sequence[Candle], kept_for: timedelta) -> None:
    rows = [
        [one.time.timestamp(), fixed(one.open), fixed(one.high), fixed(one.low), fixed(one.close)]
        for one in found
    ]
    try:
        client().set(key, orjson.dumps(rows), ex=kept_for)
    except redis.RedisError as error:
        log.warning("candles are not kept: Redis does not answer", error=str(error))
