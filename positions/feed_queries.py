"""Reads of what asking a venue needs: how far it was read, what is held there, what is known of it."""

from __future__ import annotations

from datetime import datetime

from positions.models import OPEN_STATUSES, Account, AccountHead, FeedCursor, Instrument, Position, VenueState


def polled_accounts(*, now: datetime) -> list[int]:
    """Return the ids of enabled accounts at venues that are not paused."""
    accounts = Account.objects.filter(enabled=True).exclude(venue="manual").exclude(paused_until__gt=now)
    return list(accounts.order_by("pk").values_list("pk", flat=True))


def is_opened(*, account: int) -> bool:
    """Whether the account's T0 is fixed: its opening balances are booked."""
    return AccountHead.objects.filter(pk=account).exclude(opened={}).exists()


def read_through(*, account: int, feed: str) -> datetime | None:
    """Return the venue time up to which a feed was read without a gap; None: never."""
    return FeedCursor.objects.filter(account=account, feed=feed).values_list("through", flat=True).first()


def held_symbols(*, account: int) -> list[str]:
    """Return the venue's symbols of what the account holds."""
    rows = Position.objects.filter(account=account, status__in=OPEN_STATUSES).order_by()
    return list(rows.values_list("instrument__venue_symbol", flat=True).distinct())


def instrument_ids(*, venue: str, environment: str, base_url: str) -> dict[str, int]:
    """Return {venue symbol: id} of one world."""
    rows = Instrument.objects.filter(venue=venue, environment=environment, base_url=base_url).order_by()
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
