"""The newest prices of one world in memory, and which of them are news for open positions. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core.values.money import fixed
from positions.risk.bands import risk_band
from positions.risk.mark_price import STALE_AFTER, DisplayPrice, Freshness, Quote, best, shown
from positions.risk.measures import liquidation_distance_pct
from positions.sync.feed_queries import HeldInstrument
from positions.venues.base import VenueMark

# A move that changes P&L by less than this, and no risk band, is not worth a frame.
WORTH_TELLING = Decimal("0.01")
# What did not move is told again, so that its age on screen is true.
TELL_AGAIN = timedelta(seconds=5)
# Where prices stream, one that did not come is asked for less often: it has most likely not moved.
ASK_STREAMED_EVERY = timedelta(seconds=2.5)
ASK_OTHERS_EVERY = timedelta(seconds=1)


@dataclass(slots=True)
class PriceBoard:
    """Quotes by venue symbol and source; what is held; what was told and written last."""

    unknown_after: timedelta
    quotes: dict[str, dict[str, Quote]] = field(default_factory=dict)
    held: list[HeldInstrument] = field(default_factory=list)
    streams: bool = False
    asked_at: datetime | None = None
    told: dict[int, tuple[DisplayPrice, datetime]] = field(default_factory=dict)
    written: dict[str, Quote] = field(default_factory=dict)

    def take(self, marks: Iterable[VenueMark], *, streamed: bool = True) -> None:
        """Keep the newest price of each kind."""
        for mark in marks:
            kinds = self.quotes.setdefault(mark.venue_symbol, {})
            known = kinds.get(mark.source)
            if known is None or known.at <= mark.time:
                kinds[mark.source] = Quote(mark.price, mark.source, mark.time)
        self.streams = self.streams or streamed

    def quote(self, symbol: str | None) -> Quote | None:
        """Return the price of a market that counts."""
        return best(quotes=self.quotes.get(symbol or "", {}).values())

    def news(self, *, now: datetime) -> dict[int, DisplayPrice]:
        """Return what should be told now, by instrument id. `tell` says that it was."""
        found = {}
        for one in self.held:
            quotes = self.quotes.get(one.priced_by or "", {}).values()
            state = shown(quotes=quotes, now=now, unknown_after=self.unknown_after)
            told = self.told.get(one.instrument)
            if told is None or _is_news(one, told[0], state) or self._is_due(told, state, now):
                found[one.instrument] = state
        return found

    def _is_due(self, told: tuple[DisplayPrice, datetime], state: DisplayPrice, now: datetime) -> bool:
        return now - told[1] >= TELL_AGAIN and state.at != told[0].at

    def tell(self, news: dict[int, DisplayPrice], *, now: datetime) -> None:
        """Note that these were published."""
        self.told.update({instrument: (state, now) for instrument, state in news.items()})

    def silent(self, *, now: datetime) -> set[str]:
        """Return the markets of what is held whose price must be asked for."""
        every = ASK_STREAMED_EVERY if self.streams else ASK_OTHERS_EVERY
        if self.asked_at is not None and now - self.asked_at < every:
            return set()
        symbols = {one.priced_by for one in self.held if one.priced_by}
        newest = {symbol: self.quote(symbol) for symbol in symbols}
        return {symbol for symbol, quote in newest.items() if quote is None or now - quote.at >= every}

    def lost(self, *, now: datetime) -> list[HeldInstrument]:
        """Return what is held and has no fresh price of its own venue: the reference venue may help."""
        return [one for one in self.held if self._is_lost(one, now)]

    def _is_lost(self, one: HeldInstrument, now: datetime) -> bool:
        quotes = self.quotes.get(one.priced_by or "", {}).values()
        own = best(
            quotes=[quote for quote in quotes if quote.source in ("mark", "mid", "last", "close", "stream")]
        )
        return one.priced_by is not None and (own is None or now - own.at > STALE_AFTER)

    def unwritten(self, *, everything: bool) -> dict[str, Quote]:
        """Return quotes that changed since they were written: of what is held, or of all markets."""
        symbols = self.quotes if everything else {one.priced_by for one in self.held if one.priced_by}
        newest = {symbol: self.quote(symbol) for symbol in symbols}
        return {
            symbol: quote
            for symbol, quote in newest.items()
            if quote is not None and self.written.get(symbol) != quote
        }


def _is_news(one: HeldInstrument, before: DisplayPrice, after: DisplayPrice) -> bool:
    if before.freshness is not after.freshness or (before.price is None) != (after.price is None):
        return True
    if before.price is None or after.price is None or before.price == after.price:
        return False
    if one.size is None or abs(after.price - before.price) * one.size >= WORTH_TELLING:
        return True
    return _bands(one, before.price) != _bands(one, after.price)


def _bands(one: HeldInstrument, price: Decimal) -> list[Any]:
    distances = [
        liquidation_distance_pct(size=size, mark=price, liquidation_price=liquidation)
        for size, liquidation in one.liquidations
    ]
    return [risk_band(distance_pct=distance) for distance in distances]


def row(instrument: int, state: DisplayPrice) -> dict[str, Any]:
    """Return a price as mark frames carry it. UNKNOWN is None; `at` is then when it was last known."""
    return {
        "instrument": instrument,
        "price": None if state.price is None else fixed(state.price),
        "source": state.source,
        "at": state.at and state.at.isoformat(),
        "freshness": state.freshness.value,
    }


__all__ = ["Freshness", "PriceBoard", "row"]
