"""One market's minutes: the open one as it is, closed ones packed."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

ZERO = Decimal(0)
MINUTE = 60_000
KEPT_CANDLES = 5000
PACKED = struct.Struct("<7q")


@dataclass(slots=True)
class Candle:
    """One minute: open time (ms), open, high, low, close, volume in units, number of trades."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    trades: int = 0

    def extend(self, price: Decimal) -> None:
        """Take in a price."""
        self.close = price
        self.high = max(self.high, price)
        self.low = min(self.low, price)


class Candles:
    """The newest minutes, oldest first. Prices and volumes have so many decimals at most."""

    def __init__(self, *, price_decimals: int, size_decimals: int) -> None:
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        self.closed: deque[bytes] = deque(maxlen=KEPT_CANDLES - 1)
        self.last: Candle | None = None

    def current(self, now: int, price: Decimal) -> Candle:
        """The candle of the minute `now` (ms), opened at `price` when it is new."""
        start = now - now % MINUTE
        if self.last is None or self.last.time < start:
            if self.last is not None:
                self.closed.append(self._pack(self.last))
            self.last = Candle(start, price, price, price, price)
        return self.last

    def put_before(self, past: list[Candle]) -> None:
        """Candles that came before all others, oldest first."""
        self.closed.extendleft(map(self._pack, islice(reversed(past), KEPT_CANDLES - 1 - len(self.closed))))

    def first(self) -> Candle:
        """The oldest. Raises IndexError when there is none."""
        if self.closed:
            return self._unpack(self.closed[0])
        if self.last is None:
            raise IndexError("no candle yet")
        return self.last

    def since(self, start: int) -> Iterator[Candle]:
        """Those that begin at `start` (ms) or later."""
        found = 0
        for packed in reversed(self.closed):
            if PACKED.unpack(packed)[0] < start:
                break
            found += 1
        for packed in islice(self.closed, len(self.closed) - found, None):
            yield self._unpack(packed)
        if self.last is not None:
            yield self.last

    def _pack(self, one: Candle) -> bytes:
        prices = (self._units(one_, self.price_decimals) for one_ in (one.open, one.high, one.low, one.close))
        return PACKED.pack(one.time, *prices, self._units(one.volume, self.size_decimals), one.trades)

    @staticmethod
    def _units(value: Decimal, decimals: int) -> int:
        return int(value.scaleb(decimals))

    def _unpack(self, packed: bytes) -> Candle:
        time, *prices, volume, trades = PACKED.unpack(packed)
        o, h, low, c = (Decimal(price).scaleb(-self.price_decimals) for price in prices)
        return Candle(time, o, h, low, c, Decimal(volume).scaleb(-self.size_decimals), trades)
