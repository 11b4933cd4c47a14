"""A venue with a few instruments, accounts on it, and a short way to book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from positions import ingest, observe
from positions.book.world import World
from positions.models import Account, Environment, InstrumentKind

VENUE = "testex"
PERP = "BTC/USDC:USDC"
INVERSE = "BTC/USD:BTC"
SPOT = "BTC/USDC"
CROSS = "ETH/BTC"


def _described(symbol: str, kind: str, base: str, quote: str, settle: str) -> observe.InstrumentDescription:
    return observe.InstrumentDescription(
        venue_symbol=symbol,
        symbol=symbol,
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        quantity_step=Decimal("0.001"),
    )


INSTRUMENTS = [
    _described(PERP, InstrumentKind.LINEAR, "BTC", "USDC", "USDC"),
    _described("ETH/USDC:USDC", InstrumentKind.LINEAR, "ETH", "USDC", "USDC"),
    _described(INVERSE, InstrumentKind.INVERSE, "BTC", "USD", "BTC"),
    _described(SPOT, InstrumentKind.SPOT, "BTC", "USDC", "USDC"),
    _described("ETH/USDC", InstrumentKind.SPOT, "ETH", "USDC", "USDC"),
    _described(CROSS, InstrumentKind.SPOT, "ETH", "BTC", "BTC"),
    _described("BNB/USDC", InstrumentKind.SPOT, "BNB", "USDC", "USDC"),
]


def make_instruments(
    now: datetime, *, venue: str = VENUE, environment: str = Environment.LIVE
) -> dict[str, int]:
    return observe.instruments(world=World(venue, environment), described=INSTRUMENTS, now=now)


@pytest.fixture
def instruments(db: None, now: datetime) -> dict[str, int]:
    """Instrument ids by venue symbol."""
    return make_instruments(now)


@pytest.fixture
def account(instruments: dict[str, int], now: datetime) -> Account:
    return Account.objects.create(label="main", venue=VENUE, created_at=now)


def assert_rebuild_changes_nothing(account: Account, now: datetime) -> None:
    rebuilt = ingest.rebuild_account(account=account, trace_id="check", now=now, write_back=False)
    assert rebuilt.differences == []
    assert rebuilt.changes == []


@pytest.fixture
def book(account: Account, now: datetime) -> Iterator[Callable[..., ingest.BookingResult]]:
    """Book entries of the account at the examples' time. In the end a rebuild must change nothing."""

    def record(*entries: Any, **options: Any) -> ingest.BookingResult:
        given = {"account": account, "source": "test", "trace_id": "trace-0001", "now": now, **options}
        return ingest.record(entries=entries, **given)

    yield record
    assert_rebuild_changes_nothing(account, now)
