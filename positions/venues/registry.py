"""The venues we have an adapter for, and the factory: plain data and ports in, a Venue out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from positions.venues.base import AccountConfig, Capability, Method, Ports, Unsupported, Venue
from positions.venues.evidence import evidence_of
from positions.venues.generic.adapter import Generic
from positions.venues.hyperliquid.adapter import Hyperliquid
from positions.venues.keys.vetting import KeyGate, needs_vetting
from positions.venues.quirks.aster import Aster
from positions.venues.quirks.binance import Binance, BinanceCoinm, BinanceUsdm
from positions.venues.quirks.bitget import Bitget
from positions.venues.quirks.bybit import Bybit
from positions.venues.quirks.coinbase import Coinbase
from positions.venues.quirks.deribit import Deribit
from positions.venues.quirks.htx import Htx
from positions.venues.quirks.kraken import Kraken
from positions.venues.quirks.okx import Okx
from positions.venues.quirks.partial_wallets import KrakenFutures, Lighter, Whitebit
from positions.venues.quirks.phemex import Phemex
from positions.venues.quirks.woo import Woo
from positions.venues.transport.lazy_ccxt import UnknownExchange

Factory = Callable[[AccountConfig, Ports], Venue]

VENUES: Mapping[str, Factory] = {
    "hyperliquid": Hyperliquid,
    "coinbase": Coinbase,
    "binance": Binance,
    "binanceusdm": BinanceUsdm,
    "binancecoinm": BinanceCoinm,
    "bybit": Bybit,
    "okx": Okx,
    "deribit": Deribit,
}
# Unproven, as any exchange of ccxt, with what ccxt is known to read wrongly put right or refused.
CORRECTED: Mapping[str, Factory] = {
    "aster": Aster,
    "bitget": Bitget,
    "htx": Htx,
    "kraken": Kraken,
    "krakenfutures": KrakenFutures,
    "lighter": Lighter,
    "phemex": Phemex,
    "whitebit": Whitebit,
    "woo": Woo,
}


def open_venue(config: AccountConfig, ports: Ports) -> Venue:
    """The adapter of an account's venue; any other ccxt exchange gets the generic one. Raises Unsupported,
    Denied.
    """
    factory = VENUES.get(config.venue) or CORRECTED.get(config.venue, Generic)
    try:
        return factory(config, ports)
    except UnknownExchange:
        known = ", ".join(VENUES)
        raise Unsupported(
            f"no venue is called {config.venue!r}; there are {known}, and ccxt's exchanges"
        ) from None


def open_vetted(config: AccountConfig, ports: Ports) -> Venue:
    """Return the adapter, which refuses every call while its key is not accepted (see keys/vetting.py)."""
    venue = open_venue(config, ports)
    if isinstance(venue, Generic) and needs_vetting(config):
        venue.client.gate = KeyGate(venue)
    return venue


def capabilities(venue: str) -> Mapping[Method, Capability]:
    """Return how far each method of a venue is proven; all are unproven without an adapter of its own."""
    return evidence_of(venue)
