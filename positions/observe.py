"""What venues show that is no fact of the book: instruments, marks, venue state. The only writer of those."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from positions.book.world import World
from positions.ledger.instruments import COIN_PREFIX
from positions.models import Account, Instrument, InstrumentKind, Mark, VenueState

ONE = Decimal(1)
_TERMS = ("kind", "base", "quote", "settle", "multiplier", "base_fee")
_DESCRIPTION = (
    "symbol", "underlying", "underlying_ratio", "price_tick", "quantity_step", "max_leverage", "expires_at",
    "active", "details",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentDescription:
    """An instrument as its venue describes it; see Instrument for the meaning of each."""

    venue_symbol: str
    symbol: str
    kind: str
    base: str
    quote: str
    settle: str
    multiplier: Decimal = ONE
    base_fee: str = "separate"
    underlying: str = ""
    underlying_ratio: Decimal = ONE
    price_tick: Decimal | None = None
    quantity_step: Decimal | None = None
    max_leverage: Decimal | None = None
    expires_at: datetime | None = None
    active: bool = True
    details: dict[str, Any] = field(default_factory=dict)


class TermsChanged(ValueError):
    """A venue describes an instrument with other accounting terms: booked figures would change."""

    def __init__(self, *, symbol: str, changed: dict[str, tuple[Any, Any]]) -> None:
        named = ", ".join(f"{name} {old} → {new}" for name, (old, new) in changed.items())
        super().__init__(f"{symbol}: {named}. A changed contract needs a symbol of its own.")
        self.symbol, self.changed = symbol, changed


def instruments(*, world: World, described: Iterable[InstrumentDescription], now: datetime) -> dict[str, int]:
    """Write what a venue trades, and the coins in it; returns their ids by venue symbol.

    Coins (symbol "coin:X") are what spot positions hold. Accounting terms never change.
    Raises TermsChanged; then nothing is written.
    """
    there = world.lookup()
    wanted = {one.venue_symbol: one for one in described}
    wanted = {**_coins(wanted.values()), **wanted}
    # One transaction: an instrument without its coins would send its fills to the quarantine.
    with transaction.atomic():
        known = {
            row.venue_symbol: row
            for row in Instrument.objects.select_for_update()
            .filter(**there, venue_symbol__in=wanted)
            .order_by("pk")
        }
        for symbol, row in known.items():
            _refresh(row, wanted[symbol], now=now)
        fresh = [
            Instrument(**there, **_values(one), updated_at=now)
            for symbol, one in sorted(wanted.items())
            if symbol not in known
        ]
        Instrument.objects.bulk_create(fresh, ignore_conflicts=True)
        rows = Instrument.objects.filter(**there, venue_symbol__in=wanted)
        return dict(rows.values_list("venue_symbol", "pk"))


def _coins(described: Iterable[InstrumentDescription]) -> dict[str, InstrumentDescription]:
    par = set(settings.PAR_CURRENCIES)
    found = {}
    for one in described:
        names = {one.base, one.quote, one.settle} if one.kind == InstrumentKind.SPOT else {one.settle}
        for coin in names - par:
            found[COIN_PREFIX + coin] = InstrumentDescription(
                venue_symbol=COIN_PREFIX + coin,
                symbol=coin,
                kind=InstrumentKind.ASSET,
                base=coin,
                quote="USD",
                settle="USD",
                underlying=one.underlying if one.base == coin else coin,
                underlying_ratio=one.underlying_ratio if one.base == coin else ONE,
                quantity_step=one.quantity_step if one.base == coin else None,
            )
    return found


def _values(one: InstrumentDescription) -> dict[str, Any]:
    values = asdict(one)
    values["underlying"] = one.underlying or one.base
    return values


def _refresh(row: Instrument, one: InstrumentDescription, *, now: datetime) -> None:
    values = _values(one)
    terms = {
        name: (getattr(row, name), values[name]) for name in _TERMS if getattr(row, name) != values[name]
    }
    if terms:
        raise TermsChanged(symbol=row.symbol, changed=terms)
    if one.venue_symbol.startswith(COIN_PREFIX):
        return  # derived from whichever pair came first
    changed = [name for name in _DESCRIPTION if getattr(row, name) != values[name]]
    if changed:
        for name in changed:
            setattr(row, name, values[name])
        row.updated_at = now
        row.save(update_fields=[*changed, "updated_at"])


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkPrice:
    """A price of an instrument in its quote currency: whose it is, and as of when."""

    instrument: int
    price: Decimal
    source: str
    at: datetime


_MARKS = """
INSERT INTO positions_mark (instrument_id, price, source, at, received_at)
SELECT * FROM (
    SELECT DISTINCT ON (instrument) instrument, price, source, at, %(now)s::timestamptz
    FROM unnest(%(instruments)s::bigint[], %(prices)s::numeric[], %(sources)s::text[],
        %(times)s::timestamptz[]) AS r(instrument, price, source, at)
    ORDER BY instrument, at DESC
) AS newest
ORDER BY instrument
ON CONFLICT (instrument_id) DO UPDATE
SET price = EXCLUDED.price, source = EXCLUDED.source, at = EXCLUDED.at, received_at = EXCLUDED.received_at
WHERE positions_mark.at <= EXCLUDED.at
"""

_COIN_MARKS = """
SELECT coin.id, price.price, price.source, price.at
FROM unnest(%(instruments)s::bigint[], %(prices)s::numeric[], %(sources)s::text[],
    %(times)s::timestamptz[]) AS price(instrument, price, source, at)
JOIN positions_instrument pair ON pair.id = price.instrument
    AND pair.kind = 'spot' AND pair.quote = ANY(%(par)s)
JOIN positions_instrument coin ON coin.venue = pair.venue AND coin.environment = pair.environment
    AND coin.base_url = pair.base_url AND coin.venue_symbol = %(prefix)s || pair.base
"""


def marks(*, prices: Sequence[MarkPrice], now: datetime) -> None:
    """Write the newest price of each instrument; an older one never replaces a newer one.

    A spot pair's price against a par currency is also the price of its coin.
    """
    if not prices:
        return
    with connection.cursor() as cursor:
        named: dict[str, Any] = {"par": list(settings.PAR_CURRENCIES), "prefix": COIN_PREFIX}
        cursor.execute(_COIN_MARKS, {**_columns(prices), **named})
        coins = [
            MarkPrice(instrument=instrument, price=price, source=source, at=at)
            for instrument, price, source, at in cursor.fetchall()
        ]
        cursor.execute(_MARKS, {**_columns([*prices, *coins]), "now": now})


def _columns(prices: Sequence[MarkPrice]) -> dict[str, Any]:
    return {
        "instruments": [price.instrument for price in prices],
        "prices": [price.price for price in prices],
        "sources": [price.source for price in prices],
        "times": [price.at for price in prices],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueStatement:
    """What the venue states of a leg, or (no instrument) of a wallet; what it does not state is None."""

    instrument: int | None = None
    leg: str = ""
    wallet: str = ""
    quantity: Decimal | None = None
    entry_price: Decimal | None = None
    leverage: Decimal | None = None
    margin_mode: str | None = None
    margin: Decimal | None = None
    maintenance_margin: Decimal | None = None
    margin_balance: Decimal | None = None
    liquidation_price: Decimal | None = None
    no_liquidation: bool = False
    unrealized_pnl: Decimal | None = None
    details: dict[str, Any] = field(default_factory=dict)


_STATE = (
    "quantity", "entry_price", "leverage", "margin_mode", "margin", "maintenance_margin", "margin_balance",
    "liquidation_price", "no_liquidation", "unrealized_pnl", "details",
)  # fmt: skip


def venue_states(
    *, account: Account, stated: Iterable[VenueStatement], as_of: datetime, now: datetime
) -> list[VenueState]:
    """Write what a venue states, as of its time; return the rows whose content changed.

    A report older than what is known changes nothing. What the report does not name is left as it is: not
    observed is not flat.
    """
    wanted = {(one.instrument, one.leg, one.wallet): one for one in stated}
    fresh, changed, confirmed = [], [], []
    # One transaction: the rows are compared and rewritten under their locks, so that the newest report wins.
    with transaction.atomic():
        rows = VenueState.objects.select_for_update().filter(account=account).order_by("pk")
        known = {(row.instrument_id, row.leg, row.wallet): row for row in rows}
        for key, one in wanted.items():
            row = known.get(key)
            values = {name: getattr(one, name) for name in _STATE}
            if row is None:
                instrument, leg, wallet = key
                row = VenueState(account=account, instrument_id=instrument, leg=leg, wallet=wallet)
                fresh.append(_fill(row, values, as_of, now))
            elif row.as_of <= as_of:
                if any(getattr(row, name) != value for name, value in values.items()):
                    row.revision += 1
                    changed.append(row)
                else:
                    confirmed.append(row.pk)
                _fill(row, values, as_of, now)
        VenueState.objects.filter(pk__in=confirmed).update(as_of=as_of, received_at=now)
        VenueState.objects.bulk_create(fresh)
        # Rows that are there: each conflicts with itself, so that one statement rewrites all of them.
        VenueState.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["account", "instrument", "leg", "wallet"],
            update_fields=[*_STATE, "as_of", "received_at", "revision"],
        )
    return [*fresh, *changed]


def _fill(row: VenueState, values: dict[str, Any], as_of: datetime, now: datetime) -> VenueState:
    for name, value in values.items():
        setattr(row, name, value)
    row.as_of, row.received_at = as_of, now
    return row


__all__ = [
    "InstrumentDescription",
    "Mark",
    "MarkPrice",
    "TermsChanged",
    "VenueStatement",
    "instruments",
    "marks",
    "venue_states",
]
