"""Instruments of a server: decoded once, kept in the shared cache and in the process, looked up by venue
symbol.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from positions.book.contracts import BaseFee, Contract, ContractKind
from positions.venues.base import Cache, Clock, VenueInstrument
from positions.venues.instruments.relisting import Relisting
from positions.venues.transport.event_loop import Locks

# A new coin is noticed by its unknown symbol long before.
TTL = timedelta(days=2)
PROCESS_TTL = timedelta(hours=1)
_FORMAT = 1

Loader = Callable[[], Awaitable[Iterable[VenueInstrument]]]


class Catalog:
    """The instruments of one server (venue, environment, base URL)."""

    def __init__(self, instruments: Iterable[VenueInstrument]) -> None:
        self._by_symbol = {row.venue_symbol: row for row in instruments}

    def __iter__(self) -> Iterator[VenueInstrument]:
        return iter(self._by_symbol.values())

    def __len__(self) -> int:
        return len(self._by_symbol)

    def get(self, venue_symbol: str, /) -> VenueInstrument | None:
        """The instrument, or None when the venue has not listed it."""
        return self._by_symbol.get(venue_symbol)


class Catalogs:
    """Reads catalogs through the shared cache; a process keeps each for an hour and shares it between
    accounts.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[datetime, Catalog]] = {}
        self._relisting = Relisting()
        self._locks = Locks()

    async def get(
        self, server: str, *, cache: Cache, clock: Clock, load: Loader, refresh: bool = False
    ) -> Catalog:
        """The catalog of a server. Asks the venue (`load`) only when `refresh` or when nobody has it yet."""
        held = self._held.get(server)
        if held and not refresh and clock() - held[0] < PROCESS_TTL:
            return held[1]
        async with self._locks.of(server):
            held = self._held.get(server)
            if held and not refresh and clock() - held[0] < PROCESS_TTL:
                return held[1]
            raw = await cache.get(_key(server))
            cached = decode(raw) if raw is not None else None
            catalog = None if refresh else cached
            if catalog is None:
                before = held[1] if held else cached
                catalog = Catalog([*_no_longer_listed(before), *await load()])
                await cache.set(_key(server), encode(catalog), TTL)
            self._held[server] = (clock(), catalog)
            return catalog

    def may_refresh(self, server: str, symbols: Collection[str], *, now: datetime) -> bool:
        """Return whether the venue may be asked now because of these unknown symbols."""
        return self._relisting.is_due(server, symbols, now=now)

    def forget(self, server: str | None = None) -> None:
        """Drop what this process holds (tests, and a server that was replaced)."""
        self._relisting.forget(server)
        if server is None:
            self._held.clear()
        else:
            self._held.pop(server, None)


def _no_longer_listed(before: Catalog | None) -> Iterator[VenueInstrument]:
    """Yield what was listed, as inactive: a coin that the venue dropped may still be held, or be in lists."""
    return (replace(one, active=False) for one in before or ())


def _key(server: str) -> str:
    return f"venues:instruments:{_FORMAT}:{server}"


def encode(catalog: Catalog) -> bytes:
    """The catalog as compressed JSON; numbers as strings."""
    return zlib.compress(json.dumps([_plain(row) for row in catalog], separators=(",", ":")).encode(), 6)


def decode(raw: bytes) -> Catalog | None:
    """The catalog that `encode` wrote; None when it is not one (another release wrote it)."""
    try:
        return Catalog(_instrument(row) for row in json.loads(zlib.decompress(raw)))
    except (zlib.error, ValueError, KeyError, TypeError):
        return None


def _plain(row: VenueInstrument) -> dict[str, Any]:
    contract = row.contract
    return {
        "v": row.venue_symbol,
        "s": row.symbol,
        "c": [
            contract.kind,
            contract.base,
            contract.quote,
            contract.settle,
            str(contract.multiplier),
            contract.base_fee,
        ],
        "p": row.scope,
        "e": row.expiry.isoformat() if row.expiry else None,
        "o": row.option,
        "z": str(row.contract_size),
        "t": _string(row.price_tick),
        "q": _string(row.quantity_step),
        "l": _string(row.max_leverage),
        "m": [[str(bound), str(leverage)] for bound, leverage in row.margin_tiers],
        "a": row.active,
        "u": row.underlying,
        "r": str(row.ratio),
    }


def _instrument(row: dict[str, Any]) -> VenueInstrument:
    kind, base, quote, settle, multiplier, base_fee = row["c"]
    contract = Contract(
        kind=ContractKind(kind),
        base=base,
        quote=quote,
        settle=settle,
        multiplier=Decimal(multiplier),
        base_fee=BaseFee(base_fee),
    )
    return VenueInstrument(
        venue_symbol=row["v"],
        symbol=row["s"],
        contract=contract,
        scope=row["p"],
        expiry=datetime.fromisoformat(row["e"]) if row["e"] else None,
        option=row["o"],
        contract_size=Decimal(row["z"]),
        price_tick=_decimal(row["t"]),
        quantity_step=_decimal(row["q"]),
        max_leverage=_decimal(row["l"]),
        margin_tiers=tuple((Decimal(bound), Decimal(leverage)) for bound, leverage in row["m"]),
        active=row["a"],
        underlying=row["u"],
        ratio=Decimal(row["r"]),
    )


def _string(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


catalogs = Catalogs()
