"""Reports of a venue, said shortly."""

from datetime import UTC, datetime
from decimal import Decimal

from positions.book import Leg
from positions.venues.base import PositionRow, Report, ReportScope

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def report(complete=True, scope="", entry_price=None, **quantities):
    """A report of one scope: report(BTC="1.5")."""
    return Report(
        as_of=NOW,
        as_of_source="venue",
        received_at=NOW,
        scopes=(ReportScope(name=scope, complete=complete),),
        positions=tuple(
            PositionRow(
                venue_symbol=symbol,
                leg=Leg.NET,
                quantity=Decimal(quantity),
                currency="USDC",
                entry_price=entry_price and Decimal(entry_price),
            )
            for symbol, quantity in quantities.items()
        ),
    )
