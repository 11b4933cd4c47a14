"""Trying a connection before anything is saved: what a venue needs, and what works there."""

from __future__ import annotations

from datetime import UTC, datetime

from positions.models import Account
from positions.sync import connections
from positions.venues.base import AccountConfig, Environment, VenueError
from positions.venues.checkup import Check, Outcome, check
from positions.venues.generic.adapter import Generic
from positions.venues.registry import open_venue

MOST_SECONDS = 60.0
ADDRESS = "address"


def needed_fields(venue: str) -> tuple[str, ...]:
    """Return what a venue needs to be read: its credentials by our names, or an address alone.

    Raises Unsupported for a venue that nobody knows.
    """
    # Nobody's address: what is read by address builds no adapter without one.
    config = AccountConfig(
        account="nobody", venue=venue, environment=Environment.LIVE, address=f"0x{'0' * 40}"
    )
    opened = open_venue(config, connections.ports())
    try:
        if not isinstance(opened, Generic):
            return (ADDRESS,)
        return tuple(sorted(opened.client.needed_credentials()))
    finally:
        connections.run(opened.close())


def try_connection(account: Account, *, now: datetime | None = None) -> list[Check]:
    """Check everything that is read of an account that is not stored; a failure is a row.

    Must run outside a transaction. Raises connections.AccountRefusal where no adapter can be built.
    """
    try:
        venue = connections.connect_unvetted(account=account)
    except VenueError as error:
        raise connections.AccountRefusal(str(error)) from error
    try:
        return connections.run(check(venue, now=now or datetime.now(UTC)), timeout=MOST_SECONDS)
    except VenueError as error:
        return [Check("connection", Outcome.BAD, str(error))]
    finally:
        connections.run(venue.close())
