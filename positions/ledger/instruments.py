"""What an account can trade, as the book needs it: kept in memory, because terms never change.

`observe` refuses to change the terms of an instrument, so a cached one stays right; an unknown symbol is
looked up again each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from positions.book import BaseFee, Contract, ContractKind, Entry, spot
from positions.book.world import World
from positions.models import Account, Instrument, InstrumentKind

COIN_PREFIX = "coin:"


def par_currencies() -> frozenset[str]:
    """Return the currencies that count as 1 USD: balances, never positions."""
    return frozenset(settings.PAR_CURRENCIES)


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueItem:
    """An instrument as entries name it: the venue's symbol, or the coin for an asset. One object each."""

    id: int
    symbol: str
    contract: Contract
    is_coin: bool


def contract_of(instrument: Instrument) -> Contract:
    """Return the accounting terms of an instrument; a coin is priced in the par currency."""
    if instrument.kind == InstrumentKind.ASSET:
        return spot(instrument.base, par=instrument.quote)
    return Contract(
        kind=ContractKind(instrument.kind),
        base=instrument.base,
        quote=instrument.quote,
        settle=instrument.settle,
        multiplier=instrument.multiplier,
        base_fee=BaseFee(instrument.base_fee),
    )


def catalogue_item(instrument: Instrument) -> CatalogueItem:
    """Return an instrument as entries name it."""
    is_coin = instrument.kind == InstrumentKind.ASSET
    return CatalogueItem(
        id=instrument.pk,
        symbol=instrument.base if is_coin else instrument.venue_symbol,
        contract=contract_of(instrument),
        is_coin=is_coin,
    )


class Catalogue:
    """The instruments of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_symbol: dict[str, CatalogueItem] = {}

    def load(self, *, symbols: Iterable[str], coins: Iterable[str]) -> None:
        """Make sure that these are in memory, if the venue has them: one query when any is missing."""
        wanted = {*symbols, *(COIN_PREFIX + coin for coin in coins)} - self._by_symbol.keys()
        if wanted:
            for row in Instrument.objects.filter(**self._world.lookup(), venue_symbol__in=wanted):
                self._by_symbol[row.venue_symbol] = catalogue_item(row)

    def load_ids(self, ids: Iterable[int]) -> list[CatalogueItem]:
        """Return instruments and coins by id, in the order of their symbols."""
        rows = Instrument.objects.filter(pk__in=list(ids)).order_by("venue_symbol")
        return [self._by_symbol.setdefault(row.venue_symbol, catalogue_item(row)) for row in rows]

    def load_for(self, entries: Iterable[Entry], *, par: frozenset[str]) -> None:
        """Make sure that all these entries name is in memory: their markets, and the coins they move."""
        symbols: set[str] = set()
        coins: set[str] = set()
        for entry in entries:
            if entry.instrument is not None:
                symbols.add(entry.instrument)
            coins.update(name for name in (entry.currency, entry.fee_currency) if name is not None)
        self.load(symbols=symbols, coins=coins - par)
        markets = [market for symbol in symbols if (market := self.instrument(symbol)) is not None]
        pairs = [market.contract for market in markets if market.contract.kind is ContractKind.SPOT]
        self.load(symbols=(), coins={name for pair in pairs for name in (pair.base, pair.quote)} - par)

    def items_of(self, entry: Entry, *, par: frozenset[str]) -> list[CatalogueItem]:
        """Return the items whose positions an entry can move: its market, or the coins that it names."""
        market = self.instrument(entry.instrument) if entry.instrument else None
        if market is not None and market.contract.kind is not ContractKind.SPOT:
            return [market]
        names = {entry.currency, entry.fee_currency}
        if market is not None:
            names |= {market.contract.base, market.contract.quote}
        coins = (self._by_symbol.get(COIN_PREFIX + name) for name in names - par if name is not None)
        return [coin for coin in coins if coin is not None]

    def instrument(self, symbol: str) -> CatalogueItem | None:
        """Return the market of a venue symbol, if known."""
        found = self._by_symbol.get(symbol)
        return None if found is None or found.is_coin else found

    def coin(self, coin: str) -> CatalogueItem | None:
        """Return the coin as something held, if known."""
        return self._by_symbol.get(COIN_PREFIX + coin)


@lru_cache(maxsize=1024)
def _catalogue(account_id: int, world: World) -> Catalogue:
    return Catalogue(world)


def of(account: Account) -> Catalogue:
    """Return this process's catalogue of the account."""
    return _catalogue(account.pk, account.world)
