"""A simulated venue with two perpetuals and a coin, an account on it, and short ways to move both."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from positions import ingest, observe
from positions.book import Cause, Entry, Kind, Leg, Side
from positions.book.world import World
from positions.models import Account, Environment, InstrumentKind

BTC, ETH, SPOT = "BTC/USDC:USDC", "ETH/USDC:USDC", "BTC/USDC"


class Market:
    """One account on one simulated venue. `instruments` are ids by symbol."""

    def __init__(
        self, *, now: datetime, label: str = "main", environment: str = Environment.SIMULATED
    ) -> None:
        self.instruments = observe.instruments(
            world=World("hyperliquid", environment),
            described=[
                described(BTC, "linear", "BTC", tick="0.1", step="0.00001"),
                described(ETH, "linear", "ETH", tick="0.1", step="0.0001"),
                described(SPOT, "spot", "BTC", tick="0.01", step="0.00001"),
            ],
            now=now,
        )
        self.account = Account.objects.create(
            label=label, venue="hyperliquid", environment=environment, created_at=now
        )
        self.booked = 0

    def fill(
        self, side: str, quantity: str, price: str | None, *, now: datetime, **fields: Any
    ) -> ingest.BookingResult:
        """Book a fill of now; without a price its price is unknown, and its fee too."""
        self.booked += 1
        given: dict[str, Any] = {
            "instrument": BTC,
            "cause": Cause.TRADE,
            "leg": Leg.NET,
            "fee": Decimal("1.5") if price else None,
            "fee_currency": "USDC" if price else None,
        } | fields
        entry = Entry(
            kind=Kind.FILL,
            venue_ref=f"fill-{self.booked}",
            time=now,
            side=Side(side),
            quantity=Decimal(quantity),
            price=Decimal(price) if price else None,
            **given,
        )
        return self.book(entry, now=now)

    def book(self, *entries: Entry, now: datetime) -> ingest.BookingResult:
        return ingest.record(
            account=self.account, entries=entries, source="test", trace_id="trace-0001", now=now,
            on_error="reject",
        )  # fmt: skip

    def mark(self, symbol: str, price: str, *, now: datetime) -> None:
        prices = [
            observe.MarkPrice(
                instrument=self.instruments[symbol], price=Decimal(price), source="venue mark", at=now
            )
        ]
        observe.marks(prices=prices, now=now)

    def state(self, symbol: str, *, now: datetime, **stated: Any) -> None:
        """What the venue says of a leg: leverage, liquidation_price, …, as text."""
        amounts = {name: Decimal(value) for name, value in stated.items()}
        said = observe.VenueStatement(instrument=self.instruments[symbol], leg="net", **amounts)
        observe.venue_states(account=self.account, stated=[said], as_of=now, now=now)


def described(symbol: str, kind: str, base: str, *, tick: str, step: str) -> observe.InstrumentDescription:
    return observe.InstrumentDescription(
        venue_symbol=symbol,
        symbol=symbol,
        kind=InstrumentKind(kind),
        base=base,
        quote="USDC",
        settle="USDC",
        price_tick=Decimal(tick),
        quantity_step=Decimal(step),
    )
