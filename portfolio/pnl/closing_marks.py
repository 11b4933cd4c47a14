"""Prices at the moments where the desk's days begin: kept as they pass, and read again. One writer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.conf import settings

from core.storage.redis import client
from portfolio.live import rows
from portfolio.models import ClosingMark, PositionSnapshot
from portfolio.totals import desk
from positions import queries
from positions.book.world import World
from positions.ledger.instruments import par_currencies
from positions.models import Account, Balance, Instrument, InstrumentKind, Mark, Position

KEPT_WITHIN = timedelta(seconds=90)
"""A price is that of the day's beginning if it was known so soon after."""
SNAPSHOT_WITHIN = timedelta(minutes=5)
"""Where none was kept, a position's snapshot so shortly before stands in."""
_DONE = "plumbline:closing-marks"

log = structlog.get_logger("closing marks")


def keep_due(*, now: datetime) -> int:
    """Keep the prices of all that is held if a day of the desk has just begun, once; return how many.

    Raises DatabaseError, redis.RedisError.
    """
    begins = desk.day_start(desk.day_of(now))
    if now - begins > KEPT_WITHIN:
        return 0
    key = f"{_DONE}:{begins.isoformat()}"
    if not client().set(key, b"1", nx=True, ex=3600):
        return 0
    try:
        kept = keep(at=begins, accounts=queries.accounts_in_use(with_manual=True), now=now)
    except Exception:
        client().delete(key)  # the next refresh tries again
        raise
    log.info("prices of the day's beginning are kept", prices=kept, at=begins.isoformat())
    return kept


def keep(*, at: datetime, accounts: Iterable[Account], now: datetime) -> int:
    """Keep what accounts' markets and coins are worth now as the prices of `at`; the first ones stay.

    Every market of their venues with a price that is believed: a fill that is booked late may have opened a
    position that nobody knew of when the day began.
    """
    found: dict[int, ClosingMark] = {}
    known = list(accounts)
    for world in {account.world for account in known}:
        fresh = Mark.objects.filter(
            instrument__venue=world.venue, instrument__environment=world.environment,
            instrument__base_url=world.base_url,
            at__gte=now - timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD),
        )  # fmt: skip
        for mark in fresh:
            found[mark.instrument_id] = ClosingMark(
                instrument_id=mark.instrument_id, at=at, price=mark.price, source="mark", mark_at=mark.at
            )
    for account in known:
        for instrument, (price, mark_at) in _prices_now(account, now=now).items():
            found[instrument] = ClosingMark(
                instrument_id=instrument, at=at, price=price, source="mark", mark_at=mark_at
            )
    ClosingMark.objects.bulk_create(found.values(), ignore_conflicts=True)
    return len(found)


def write(marks: Collection[ClosingMark]) -> None:
    """Keep prices that were found out later; those that are known stay."""
    ClosingMark.objects.bulk_create(marks, ignore_conflicts=True)


def _prices_now(account: Account, *, now: datetime) -> dict[int, tuple[Decimal, datetime]]:
    held = list(queries.open_positions().filter(account=account))
    marks = {one.instrument_id: rows.marks([one])[one.pk] for one in held}
    found = {}
    for instrument, price in marks.items():
        known = rows.believed(price, now=now)
        if known is not None and known[0] is not None:
            found[instrument] = known[0], known[1]
    names = coins_of(account)
    prices = queries.coin_prices(world=account.world, coins=names)
    for asset, coin in coin_instruments(account.world, names).items():
        if asset in prices:
            found[coin] = prices[asset].price, prices[asset].at
    return found


def coins_of(account: Account) -> set[str]:
    """Return the coins that an account has a balance of, and those its contracts settle in."""
    held = Balance.objects.filter(account=account).exclude(amount=0).values_list("asset", flat=True)
    settled = Position.objects.filter(account=account).values_list("instrument__settle", flat=True)
    return {*held, *settled.distinct().order_by()} - par_currencies()


def coin_instruments(world: World, names: Collection[str]) -> dict[str, int]:
    """Return the instruments of coins by name."""
    found = Instrument.objects.filter(**world.lookup(), kind=InstrumentKind.ASSET, base__in=names)
    return dict(found.values_list("base", "pk"))


@dataclass(slots=True)
class KeptPrices:
    """The prices of some moments, for one account: a `portfolio.pnl.account_days.BoundaryPrices`.

    `now` is the moment that the current prices are of.
    """

    account: Account
    now: datetime
    coins: Mapping[str, int]
    kept: dict[tuple[int, datetime], Decimal] = field(default_factory=dict)
    current: dict[int, Decimal] = field(default_factory=dict)

    def load(self, *, instruments: Collection[int], boundaries: Collection[datetime]) -> None:
        """Read the prices of these instruments at these moments."""
        marks = ClosingMark.objects.filter(instrument__in=instruments, at__in=boundaries)
        self.kept |= {(one, at): price for one, at, price in marks.values_list("instrument", "at", "price")}
        for at in boundaries:
            if any((one, at) not in self.kept for one in instruments):
                for one, price in _of_snapshots(self.account, at).items():
                    self.kept.setdefault((one, at), price)
        self.current = {one: price for one, (price, _) in _prices_now(self.account, now=self.now).items()}

    def mark(self, instrument: int, at: datetime) -> Decimal | None:
        """Return an instrument's price in its quote currency."""
        return self.current.get(instrument) if at == self.now else self.kept.get((instrument, at))

    def coin(self, asset: str, at: datetime) -> Decimal | None:
        """Return what one of a coin is worth in USD; 1 for a par currency."""
        if asset in par_currencies():
            return Decimal(1)
        instrument = self.coins.get(asset)
        return None if instrument is None else self.mark(instrument, at)


def _of_snapshots(account: Account, at: datetime) -> dict[int, Decimal]:
    """Return the prices at which positions were valued just before a moment, by instrument."""
    found = (
        PositionSnapshot.objects.filter(
            position__account=account, at__gt=at - SNAPSHOT_WITHIN, at__lte=at, mark_price__isnull=False
        )
        .order_by("at")
        .values_list("position__instrument", "mark_price")
    )
    return {instrument: price for instrument, price in found if price is not None}
