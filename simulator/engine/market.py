"""One market in motion: its seeded price path, its book, its candles and the day's figures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from simulator.wire import number, usd

from .book import Book
from .candles import MINUTE, Candle, Candles
from .catalogue import PERP, Listing
from .records import Archive, Records

ZERO = Decimal(0)
KEPT_FUNDING = 5000
HISTORY_CANDLES = 1500
# drift per minute and multiple of volatility, by regime
REGIMES: dict[str, tuple[float, float]] = {"calm": (0.0, 1.0), "trend": (0.0012, 1.2), "crash": (-0.02, 4.0)}
BASE_RATE = Decimal("0.0001")
CLAMP = Decimal("0.0005")
FUNDING_CAP = Decimal("0.04")


@dataclass(slots=True)
class Market:
    """A listing with its state. `oracle` is the path; `mark` carries the premium over it (perps)."""

    listing: Listing
    seed: int
    rng: Random
    path: float
    oracle: Decimal
    mark: Decimal
    previous_mark: Decimal
    previous_day: Decimal
    candles: Candles
    funding_history: Records
    book: Book = field(default_factory=Book)
    premium: float = 0.0
    premiums: list[Decimal] = field(default_factory=list)
    funding_rate: Decimal = Decimal("0.0000125")
    day_base: Decimal = ZERO
    day_notional: Decimal = ZERO
    open_interest: Decimal = ZERO
    trades: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=100))
    frozen: bool = False
    remembered: bool = False

    @classmethod
    def open(cls, listing: Listing, seed: int, archive: Archive) -> Market:
        """A market at its starting price, with its own stream of random numbers."""
        rng = Random(f"{seed}/price/{listing.follow or listing.coin}")
        price = listing.rounded(listing.start)
        previous = listing.rounded(price * Decimal(str(round(1 + rng.gauss(0, 0.02), 4))))
        candles = Candles(price_decimals=listing.price_decimals, size_decimals=listing.size_decimals)
        told = archive.records(KEPT_FUNDING)
        return cls(listing, seed, rng, float(price), price, price, price, previous, candles, told)

    @property
    def lowest(self) -> Decimal:
        """A price below which quotes would no longer differ: a thousand of the smallest steps."""
        return Decimal(1000).scaleb(-self.listing.price_decimals)

    def move(self, *, minutes: float, regime: str, now: int) -> None:
        """One step of the path: geometric, with the regime's drift and volatility."""
        drift, scale = REGIMES[regime]
        sigma = self.listing.volatility * scale
        shock = self.rng.gauss(0, 1)
        nudge = self.rng.gauss(0, 0.00002)
        if not self.frozen:
            self.path *= math.exp(drift * minutes + sigma * math.sqrt(minutes) * shock)
            self.path = max(self.path, float(self.lowest))
            self.premium = self.premium * 0.98 + nudge
            self.set_price(self.listing.rounded(Decimal(repr(self.path))), now=now)
        else:
            self.set_price(self.oracle, now=now)

    def set_price(self, oracle: Decimal, *, now: int) -> None:
        """Put the oracle at a valid price; the mark follows with the premium."""
        self.oracle, self.previous_mark = oracle, self.mark
        premium = Decimal(str(round(self.premium, 6))) if self.listing.kind == PERP else ZERO
        self.mark = self.listing.rounded(oracle * (1 + premium))
        if self.listing.kind == PERP:
            self.premiums.append((self.mark - oracle) / oracle)
        self._candle(now).extend(self.mark)

    def jump(self, price: Decimal, *, now: int) -> None:
        """Set the path itself, as a control does; not below `lowest`."""
        price = max(price, self.lowest)
        self.path, self.premium = float(price), 0.0
        self.set_price(self.listing.rounded(price), now=now)

    def traded(self, *, size: Decimal, price: Decimal, now: int) -> None:
        """Count a trade."""
        candle = self._candle(now)
        candle.volume += size
        candle.trades += 1
        self.day_base += size
        self.day_notional += size * price

    def _candle(self, now: int) -> Candle:
        return self.candles.current(now, self.mark)

    def minutes(self, *, now: int, since: int = 0) -> Iterator[Candle]:
        """The minute candles from `since` (ms) on; the past before the simulation is made up when asked."""
        self._candle(now)
        if not self.remembered:
            self.remembered = True
            self._prehistory()
        return self.candles.since(since)

    def _prehistory(self) -> None:
        first = self.candles.first()
        start = first.time
        rng = Random(f"{self.seed}/history/{self.listing.coin}")
        close = float(first.open)
        sigma = self.listing.volatility
        made = []
        for back in range(1, HISTORY_CANDLES + 1):
            begin = close * math.exp(rng.gauss(0, sigma))
            high = max(begin, close) * math.exp(abs(rng.gauss(0, sigma / 3)))
            low = min(begin, close) * math.exp(-abs(rng.gauss(0, sigma / 3)))
            o, h, low_, c = (self.listing.rounded(Decimal(repr(p))) for p in (begin, high, low, close))
            volume = Decimal(rng.randint(1, 5000)).scaleb(-min(3, self.listing.size_decimals))
            made.append(Candle(start - back * MINUTE, o, h, low_, c, volume, rng.randint(1, 60)))
            close = begin
        self.candles.put_before(made[::-1])

    def fix_funding(self, *, now: int) -> Decimal:
        """The hourly rate from the mean premium since the last one: (P + clamp(0.01 % - P)) / 8."""
        mean = sum(self.premiums, ZERO) / len(self.premiums) if self.premiums else ZERO
        self.premiums.clear()
        eight = mean + min(CLAMP, max(-CLAMP, BASE_RATE - mean))
        rate = (eight / 8).quantize(Decimal("0.0000000001"))
        self.funding_rate = min(FUNDING_CAP, max(-FUNDING_CAP, rate))
        row = {
            "coin": self.listing.coin,
            "fundingRate": number(self.funding_rate),
            "premium": number(mean, 10),
        }
        self.funding_history.append(row | {"time": now})
        return self.funding_rate

    @property
    def mid(self) -> Decimal | None:
        """Middle of the best bid and ask; None when a side is empty."""
        bid, ask = self.book.best(True), self.book.best(False)
        return None if bid is None or ask is None else (bid.price + ask.price) / 2

    def context(self) -> dict[str, Any]:
        """Its entry in metaAndAssetCtxs."""
        mid = self.mid
        bid, ask = self.book.best(True), self.book.best(False)
        return {
            "funding": number(self.funding_rate),
            "openInterest": number(self.open_interest),
            "prevDayPx": number(self.previous_day),
            "dayNtlVlm": usd(self.day_notional),
            "premium": number((self.mark - self.oracle) / self.oracle, 10),
            "oraclePx": number(self.oracle),
            "markPx": number(self.mark),
            "midPx": None if mid is None else number(mid),
            "impactPxs": None if bid is None or ask is None else [number(bid.price), number(ask.price)],
            "dayBaseVlm": number(self.day_base),
        }

    def spot_context(self) -> dict[str, Any]:
        """Its entry in spotMetaAndAssetCtxs."""
        mid = self.mid
        return {
            "prevDayPx": number(self.previous_day),
            "dayNtlVlm": usd(self.day_notional),
            "markPx": number(self.mark),
            "midPx": None if mid is None else number(mid),
            "circulatingSupply": "1000000000.0",
            "coin": self.listing.coin,
            "totalSupply": "1000000000.0",
            "dayBaseVlm": number(self.day_base),
        }
