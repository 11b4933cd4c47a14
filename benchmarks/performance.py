"""P&L, attribution and totals over a year of 1,000 positions: the days as `portfolio.pnl` keeps them.

The year is written straight into the tables, as no fold is measured here. PERFORMANCE_POSITIONS and
PERFORMANCE_DAYS make it smaller.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

POSITIONS = int(os.environ.get("PERFORMANCE_POSITIONS", 1_000))
DAYS = int(os.environ.get("PERFORMANCE_DAYS", 365))
ACCOUNTS, SYMBOLS, ROUNDS = 5, 50, 40


def run(report: Callable[..., None]) -> None:
    """All figures of P&L by day and of the portfolio's totals."""
    from django.utils import timezone

    from portfolio.totals import desk

    now = timezone.now()
    with _undone():
        accounts = _year(now)
        today = desk.day_of(now)
        _attribution(report, accounts, today - timedelta(days=DAYS - 1), today)
        _totals(report, now)


@contextmanager
def _undone() -> Iterator[None]:
    """Leave the scratch database as it was, for the benchmarks after this one."""
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _year(now: datetime) -> list[int]:
    """Write accounts, open positions, their days, and prices; return the accounts' ids."""
    from positions.models import Account, Instrument, Mark, Position

    day = {"updated_at": now, "venue": "hyperliquid", "environment": "simulated"}
    accounts = [
        Account.objects.create(
            label=f"bench {n}", venue="hyperliquid", environment="simulated", created_at=now
        )
        for n in range(ACCOUNTS)
    ]
    instruments = Instrument.objects.bulk_create(
        Instrument(venue_symbol=f"B{n}", symbol=f"B{n}/USDC:USDC", kind="linear", base=f"B{n}", quote="USDC",
                   settle="USDC", underlying=f"B{n}", **day)
        for n in range(max(SYMBOLS, POSITIONS // ACCOUNTS))
    )  # fmt: skip
    Mark.objects.bulk_create(
        Mark(instrument=one, price=Decimal(101), source="mark", at=now, received_at=now)
        for one in instruments
    )
    opened = now - timedelta(days=DAYS)
    positions = Position.objects.bulk_create(
        Position(account=accounts[n % ACCOUNTS], instrument=instruments[n // ACCOUNTS], status="OPEN",
                 quantity=10, open_cost=1000, entry_price=100, realized_pnl=0, net_pnl=0, pnl_currency="USDC",
                 state=_state(instruments[n // ACCOUNTS], opened), opening_ref=f"o{n}", opened_at=opened,
                 last_at=opened, created_at=now, updated_at=now, strategy=f"s{n % 7}")
        for n in range(POSITIONS)
    )  # fmt: skip
    _days(accounts, positions, now)
    return [one.pk for one in accounts]


def _days(accounts: list[Any], positions: list[Any], now: datetime) -> None:
    """Write what each day brought to each position, and the days' closes."""
    from django.db import connection

    from portfolio.models import AccountDay
    from portfolio.totals import desk

    today = desk.day_of(now)
    days = [today - timedelta(days=n) for n in range(DAYS)]
    statement = (
        "COPY portfolio_pnlday (account_id, day, position_id, asset, strategy, price, funding, interest,"
        " fees, flows, conversion, corrections, unexplained, unknown, entries, closing_pnl) FROM STDIN"
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for one in days:
            for n, position in enumerate(positions):
                copy.write_row((
                    position.account_id, one, position.pk, f"B{n // ACCOUNTS}", "", Decimal(n % 13) - 6,
                    Decimal("-0.01"), 0, Decimal("-0.1"), 0, 0, 0, 0, 0, n % 3, 10,
                ))  # fmt: skip
    AccountDay.objects.bulk_create(
        AccountDay(account=account, day=one, starts_at=desk.day_start(one), ends_at=desk.day_end(one),
                   as_of=min(desk.day_end(one), now), start_equity=10_000, end_equity=10_000, price=0,
                   unexplained=0)
        for account in accounts
        for one in days
    )  # fmt: skip
    with connection.cursor() as cursor:
        for table in ("portfolio_pnlday", "portfolio_accountday", "positions_position"):
            cursor.execute(f"ANALYZE {table}")


def _state(instrument: Any, opened: datetime) -> str:
    """Return the fold of one fill, as the ledger stores it."""
    from positions.book import Cause, Entry, Kind, Leg, PositionState, Side, apply
    from positions.ledger import serialise
    from positions.ledger.instruments import contract_of

    start = PositionState(contract=contract_of(instrument), instrument=instrument.venue_symbol)
    entry = Entry(
        kind=Kind.FILL, cause=Cause.TRADE, venue_ref="o", time=opened, instrument=instrument.venue_symbol,
        leg=Leg.NET, side=Side.BUY, quantity=Decimal(10), price=Decimal(100), fee=Decimal(0),
        fee_currency="USDC",
    )  # fmt: skip
    return serialise.dumps(apply(start, entry)[0])


def _attribution(report: Callable[..., None], accounts: list[int], first: date, last: date) -> None:
    from portfolio.attribution import Dimension
    from portfolio.pnl import reads

    goals = {Dimension.DAY: 300, Dimension.ACCOUNT: 1000, Dimension.STRATEGY: 1000, Dimension.POSITION: 1500}
    for by, goal in goals.items():
        read = partial(reads.attribution, accounts=accounts, first=first, last=last, by=by)
        name = f"attribution of {DAYS} days by {by.value}, {POSITIONS} positions"
        report(name, _times(read, 5)[-1], "ms", goal, "lower")


def _totals(report: Callable[..., None], now: datetime) -> None:
    from portfolio import pipeline
    from portfolio.totals import totals_store
    from portfolio.totals.portfolio_view import portfolio_view

    began = time.perf_counter()
    totals = pipeline.compute(now=now)
    report(
        f"adding up {POSITIONS} positions (the refresh)",
        (time.perf_counter() - began) * 1000,
        "ms",
        1000,
        "lower",
    )
    totals_store.store(totals)

    def shown() -> None:
        stored = totals_store.load()
        if stored is not None:
            portfolio_view(stored, now=now)

    took = _times(shown, ROUNDS)
    report("totals from the store, p99", took[-1], "ms", 20, "lower")
    report("totals from the store, median", took[len(took) // 2], "ms", 20, "lower")


def _times(work: Callable[[], object], rounds: int) -> list[float]:
    """Return how long a piece of work took, in ms, the shortest first."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return sorted(found)
