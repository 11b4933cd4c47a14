"""Four days of one account, worked out by hand: what each day of it is, and a way to live them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal as D

from portfolio.models import ClosingMark
from portfolio.pnl import closing_marks, keeping
from portfolio.totals import desk
from positions.book import Cause, Entry, Kind, Leg
from tests.portfolio.market import ETH, Market

HOUR = timedelta(hours=1)
# Price, funding, fees, flows and equity at the end of each day; today without what else is held.
DAYS = (
    (D(1000), D(0), D("-1.5"), D(100_000), D("100998.5")),
    (D(750), D(0), D("-1.5"), D(0), D(101_747)),
    (D(-150), D(-3), D(0), D(1000), D(102_594)),
    (D(50), D(0), D(0), D(0), D(102_644)),
)


def cash(kind: Kind, ref: str, at: datetime, amount: str, **fields: object) -> Entry:
    given = {"leg": None, "amount": D(amount), "currency": "USDC"} | fields
    return Entry(kind=kind, venue_ref=ref, time=at, **given)


def begin(now: datetime) -> datetime:
    """When the first of the four days begins."""
    return desk.day_start(desk.day_of(now) - 3 * desk.DAY)


def live(market: Market, *, now: datetime) -> None:
    """100,000 USDC, then 10 ETH bought at 3000, half of it sold at 3200, funding and a deposit."""
    first = begin(now)
    second, third, today = (desk.day_start(desk.day_of(first) + days * desk.DAY) for days in (1, 2, 3))
    market.book(cash(Kind.TRANSFER, "opening", first + HOUR, "100000", cause=Cause.OPENING), now=first + HOUR)
    market.fill("buy", "10", "3000", instrument=ETH, now=first + 2 * HOUR)
    market.fill("sell", "5", "3200", instrument=ETH, now=second + 2 * HOUR)
    market.book(
        cash(Kind.FUNDING, "funding", third + HOUR, "-3", instrument=ETH, leg=Leg.NET),
        cash(Kind.TRANSFER, "deposit", third + 2 * HOUR, "1000", cause=Cause.DEPOSIT),
        now=third + 2 * HOUR,
    )
    for at, price in ((second, 3100), (third, 3150), (today, 3120)):
        mark(market, ETH, at, price)
    market.mark(ETH, "3130", now=now)


def mark(market: Market, symbol: str, at: datetime, price: object) -> None:
    """Keep a price of a day's beginning."""
    closing_marks.write([
        ClosingMark(
            instrument_id=market.instruments[symbol], at=at, price=D(str(price)), source="mark", mark_at=at
        )
    ])  # fmt: skip


def keep(market: Market, *, now: datetime) -> list[keeping.ChangedDay]:
    return keeping.keep_account(market.account, now=now)
