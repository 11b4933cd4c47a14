"""ccxt markets: loaded once per server, kept in the shared cache, injected into every instance of
a process.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from positions.venues.base import Corrupt, VenueInstrument
from positions.venues.decoding import ROW_ERRORS
from positions.venues.generic.unified_rows import instrument
from positions.venues.instruments.relisting import Relisting
from positions.venues.transport.client import Client
from positions.venues.transport.event_loop import Locks

TTL = timedelta(days=2)
_FORMAT = 1


class Markets:
    """The instruments of an exchange's markets, made when asked for. Looks like a Catalog to a decoder."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._made: dict[str, VenueInstrument | None] = {}

    def get(self, symbol: str, /) -> VenueInstrument | None:
        """The instrument, or None: not listed, or listed without what is needed to count it
        (contract size).
        """
        if symbol not in self._made:
            market = (self._exchange.markets or {}).get(symbol)
            try:
                self._made[symbol] = (
                    instrument(market, scope=scope_of(market)) if market is not None else None
                )
            except ROW_ERRORS:
                self._made[symbol] = None
        return self._made[symbol]

    def __iter__(self) -> Iterator[VenueInstrument]:
        for symbol in list(self._exchange.markets or {}):
            made = self.get(symbol)
            if made is not None:
                yield made


def scope_of(market: dict[str, Any]) -> str:
    """The part of a venue whose positions are asked together: spot, or kind and settle currency."""
    if not market.get("contract"):
        return "spot"
    kind = "option" if market.get("option") else "inverse" if market.get("inverse") else "linear"
    return f"{kind}:{market.get('settle') or market.get('quote')}"


class MarketStore:
    """Where markets come from, in order: this process, the shared cache, the venue."""

    def __init__(self) -> None:
        self._donors: dict[str, Any] = {}
        self._tables: dict[str, Markets] = {}
        self._relisting = Relisting()
        self._locks = Locks()

    async def ensure(self, client: Client, *, refresh: bool = False) -> Markets:
        """Inject the server's markets into the client's exchange; the venue is asked only if
        nobody has them.
        """
        server = client.config.server
        async with self._locks.of(server):
            donor = self._donors.get(server)
            if refresh or donor is None:
                before = dict((donor or client.exchange).markets or {})
                await self._load(client, refresh=refresh)
                _keep(client.exchange, before)
                self._donors[server] = client.exchange
                self._tables[server] = Markets(client.exchange)
            elif client.exchange.markets is not donor.markets:
                client.exchange.set_markets_from_exchange(donor)
            return self._tables[server]

    async def _load(self, client: Client, *, refresh: bool) -> None:
        exchange, server = client.exchange, client.config.server
        key = f"venues:markets:{_FORMAT}:{server}"
        raw = None if refresh else await client.ports.cache.get(key)
        if raw is not None and _inject(exchange, raw):
            return
        before = exchange.markets, exchange.currencies
        await client.call("load_markets", True)
        if not exchange.markets:
            # No exchange lists nothing: what we knew is not to be forgotten for such an answer.
            if before[0]:
                exchange.set_markets(list(before[0].values()), before[1])
            raise Corrupt(f"{client.config.venue} lists no market at all")
        await client.ports.cache.set(key, _packed(exchange), TTL)

    def hold(self, client: Client) -> None:
        """Take the markets that a client's exchange has as those of its server."""
        self._donors[client.config.server] = client.exchange
        self._tables[client.config.server] = Markets(client.exchange)

    def may_refresh(self, server: str, symbols: Collection[str], *, now: datetime) -> bool:
        """Return whether the venue may be asked now because of these unknown symbols."""
        return self._relisting.is_due(server, symbols, now=now)

    def forget(self) -> None:
        """Drop what this process holds."""
        self._donors.clear()
        self._tables.clear()
        self._relisting.forget()


def _keep(exchange: Any, before: Mapping[str, Any]) -> None:
    """Keep markets that are no longer listed, as inactive: they may still be held, or be in lists."""
    gone = [
        {**market, "active": False} for symbol, market in before.items() if symbol not in exchange.markets
    ]
    if gone:
        exchange.set_markets([*exchange.markets.values(), *gone], exchange.currencies)


def _packed(exchange: Any) -> bytes:
    helpers = exchange.options.get("marketHelperProps") or []
    content = {
        "markets": list(exchange.markets.values()),
        "currencies": exchange.currencies,
        "options": {name: exchange.options[name] for name in helpers if name in exchange.options},
    }
    return zlib.compress(json.dumps(content, separators=(",", ":"), default=str).encode(), 6)


def _inject(exchange: Any, raw: bytes) -> bool:
    try:
        content = json.loads(zlib.decompress(raw))
        exchange.set_markets(content["markets"], content["currencies"])
        exchange.options.update(content["options"])
    except (zlib.error, ValueError, KeyError, TypeError):
        return False
    return True


store = MarketStore()
