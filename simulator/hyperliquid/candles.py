"""Candles of any interval out of minutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from simulator.engine.candles import MINUTE, Candle
from simulator.engine.market import Market
from simulator.wire import Malformed, number

HOUR, DAY = 60, 1440
INTERVALS = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": 7 * DAY,
    "1M": 30 * DAY,
}
PAGE = 5000


def snapshot(market: Market, interval: str, *, start: int, end: int, now: int) -> list[dict[str, Any]]:
    """The candles that begin between `start` and `end` (ms), oldest first. Raises Malformed."""
    length = length_of(interval)
    first = start - start % length
    minutes = market.minutes(now=now, since=first)
    found = [one for one in joined(minutes, length) if start - length < one.time <= end]
    return [wire(market, one, interval) for one in found[-PAGE:]]


def latest(market: Market, interval: str, *, now: int) -> dict[str, Any]:
    """The candle that is open now. Raises Malformed."""
    length = length_of(interval)
    *_, last = joined(market.minutes(now=now, since=now - now % length), length)
    return wire(market, last, interval)


def length_of(interval: str) -> int:
    """Milliseconds of an interval's name. Raises Malformed."""
    if interval not in INTERVALS:
        raise Malformed(f"unknown interval {interval}")
    return INTERVALS[interval] * MINUTE


def joined(minutes: Iterable[Candle], length: int) -> Iterator[Candle]:
    """Minutes put together to candles of `length` ms."""
    current: Candle | None = None
    for minute in minutes:
        begin = minute.time - minute.time % length
        if current is None or current.time != begin:
            if current is not None:
                yield current
            current = Candle(
                begin, minute.open, minute.high, minute.low, minute.close, minute.volume, minute.trades
            )
            continue
        current.high, current.low = max(current.high, minute.high), min(current.low, minute.low)
        current.close = minute.close
        current.volume += minute.volume
        current.trades += minute.trades
    if current is not None:
        yield current


def wire(market: Market, candle: Candle, interval: str) -> dict[str, Any]:
    """As in candleSnapshot."""
    return {
        "t": candle.time,
        "T": candle.time + length_of(interval) - 1,
        "s": market.listing.coin,
        "i": interval,
        "o": number(candle.open),
        "c": number(candle.close),
        "h": number(candle.high),
        "l": number(candle.low),
        "v": number(candle.volume),
        "n": candle.trades,
    }
