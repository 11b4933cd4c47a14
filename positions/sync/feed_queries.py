"""Reads of what asking a venue needs: how far it was read, what is held there, what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from positions.book.world import World
from positions.models import (
    OPEN_STATUSES,
    Account,
    AccountHead,
    FeedCursor,
    Instrument,
    InstrumentKind,
    Position,
    VenueState,
)
from positions.queries import accounts_in_use


def polled_accounts(*, now: datetime) -> list[int]:
    """Return the ids of enabled accounts at venues that are not paused."""
    return list(_watchable(now).values_list("pk", flat=True))


def is_opened(*, account: int) -> bool:
    """Whether the account's T0 is fixed: its opening balances are booked."""
    return AccountHead.objects.filter(pk=account).exclude(opened={}).exists()


def read_through(*, account: int, feed: str) -> datetime | None:
    """Return the venue time up to which a feed was read without a gap; None: never."""
    return FeedCursor.objects.filter(account=account, feed=feed).values_list("through", flat=True).first()


def symbols_to_price(*, world: World) -> list[str]:
    """Return the markets that price what is held in a world: a coin is priced by its pair in par currency."""
    held = Instrument.objects.filter(
        **world.lookup(),
        pk__in=Position.objects.filter(status__in=OPEN_STATUSES).order_by().values("instrument"),
    )
    pairs = _pairs(held)
    return sorted({found for one in held if (found := _priced_by(one, pairs)) is not None})


def _pairs(instruments: Iterable[Instrument]) -> dict[int, str]:
    """Return {coin's id: the venue's symbol of the pair that prices it}."""
    coins = [one for one in instruments if one.kind == InstrumentKind.ASSET]
    pairs = Instrument.objects.filter(
        kind=InstrumentKind.SPOT, base__in={coin.base for coin in coins}, quote__in=settings.PAR_CURRENCIES
    )
    found: dict[tuple[World, str], str] = {}
    for pair in pairs.order_by("quote", "pk"):
        found.setdefault((pair.world, pair.base), pair.venue_symbol)
    keys = {coin.pk: (coin.world, coin.base) for coin in coins}
    return {pk: found[key] for pk, key in keys.items() if key in found}


def _priced_by(instrument: Instrument, pairs: Mapping[int, str]) -> str | None:
    is_coin = instrument.kind == InstrumentKind.ASSET
    return pairs.get(instrument.pk) if is_coin else instrument.venue_symbol


def instrument_ids(*, world: World) -> dict[str, int]:
    """Return {venue symbol: id} of one world."""
    rows = Instrument.objects.filter(**world.lookup()).order_by()
    return dict(rows.values_list("venue_symbol", "pk"))


def stated_legs(*, account: int) -> list[tuple[int, str, str, str]]:
    """Return (instrument id, venue symbol, leg, scope) of legs that the venue last said were not flat."""
    rows = (
        VenueState.objects.filter(account=account, instrument__isnull=False)
        .exclude(quantity=0)
        .order_by("pk")
    )
    found = rows.values_list("instrument_id", "instrument__venue_symbol", "leg", "instrument__details")
    return [(pk, symbol, leg, str(details.get("scope", ""))) for pk, symbol, leg, details in found]


def watchable_accounts(*, now: datetime) -> list[Account]:
    """Return the enabled accounts at venues that are not paused."""
    return list(_watchable(now))


def _watchable(now: datetime) -> QuerySet[Account]:
    return accounts_in_use().exclude(paused_until__gt=now).order_by("pk")


@dataclass(frozen=True, slots=True)
class HeldInstrument:
    """An instrument that somebody holds, and the market that prices it (a coin: its pair; None: none).

    `size` is what a price move of 1 moves in P&L, over all legs, unsigned; None for inverse contracts.
    `liquidations` are (signed quantity, liquidation price) of the legs that have one.
    """

    instrument: int
    priced_by: str | None
    underlying: str
    ratio: Decimal
    quote: str
    size: Decimal | None
    liquidations: tuple[tuple[Decimal, Decimal], ...]


def held_instruments(*, world: World) -> list[HeldInstrument]:
    """Return what all accounts of one world hold."""
    stated = VenueState.objects.filter(
        account=OuterRef("account"), instrument=OuterRef("instrument"), leg=OuterRef("leg")
    )
    rows = (
        Position.objects.filter(
            status__in=OPEN_STATUSES,
            **world.lookup("instrument__"),
        )
        .select_related("instrument")
        .annotate(liquidation=Subquery(stated.values("liquidation_price")[:1]))
        .order_by("instrument")
    )
    legs: dict[int, list[Any]] = {}
    for row in rows:
        legs.setdefault(row.instrument_id, []).append(row)
    pairs = _pairs([found[0].instrument for found in legs.values()])
    return [_held(found, pairs) for found in legs.values()]


def _held(rows: Sequence[Any], pairs: Mapping[int, str]) -> HeldInstrument:
    instrument = rows[0].instrument
    size = sum((abs(row.quantity) for row in rows), Decimal(0)) * instrument.multiplier
    return HeldInstrument(
        instrument=instrument.pk,
        priced_by=_priced_by(instrument, pairs),
        underlying=instrument.underlying,
        ratio=instrument.underlying_ratio,
        quote=instrument.quote,
        size=None if instrument.kind == InstrumentKind.INVERSE else size,
        liquidations=tuple((row.quantity, row.liquidation) for row in rows if row.liquidation is not None),
    )
