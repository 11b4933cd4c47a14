"""The portfolio's history: totals, snapshots of 1,000 positions, a year, bytes of a row, retention.

The floor of a chart is the same answer from raw rows, in the same run: the rollup must be many times faster.
That of totals and pages is to read as many plain rows; that of a snapshot, to read and to copy them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from statistics import quantiles
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.api import paging
from core.storage.redis import client
from portfolio import pipeline
from portfolio.models import PositionSnapshot
from portfolio.snapshots import hourly, partitions, retention, series, taking
from portfolio.snapshots.series import MAX_POINTS, Series, Subject
from positions import ingest, observe
from positions.book import Cause, Entry, Kind, Side
from positions.book.world import World
from positions.models import Account, InstrumentKind, Position

ACCOUNTS, MARKETS = 20, 50
POSITIONS = ACCOUNTS * MARKETS
MINUTES = 240
"""Of all positions: enough for the bytes of a row, and for a page far down."""
RUNS = 100
DAY = timedelta(days=1)
ENVIRONMENT = "simulated"


def run(report: Callable[..., None]) -> None:
    """Figures of totals, snapshots, pages, charts, bytes and retention."""
    now = timezone.now()
    _book(now)
    _totals(report)
    _snapshot(report)
    _rows(now)
    _bytes(report)
    _pages(report)
    _charts(report, now)
    _retention(report)


def _book(now: datetime) -> None:
    """Book 1,000 open positions and mark them."""
    symbols = [f"C{number}/USDC:USDC" for number in range(MARKETS)]
    described = [
        observe.InstrumentDescription(
            venue_symbol=symbol, symbol=symbol, kind=InstrumentKind.LINEAR, base=symbol.split("/")[0],
            quote="USDC", settle="USDC",
        )
        for symbol in symbols
    ]  # fmt: skip
    ids = observe.instruments(world=World("bench", ENVIRONMENT), described=described, now=now)
    for number in range(ACCOUNTS):
        account = Account.objects.create(
            label=f"a{number}", venue="bench", environment=ENVIRONMENT, created_at=now
        )
        opened = now - timedelta(days=3)
        entries = [
            Entry(kind=Kind.TRANSFER, cause=Cause.OPENING, venue_ref="open", time=opened, leg=None,
                  amount=Decimal("100000"), currency="USDC", wallet="perps"),
            *(
                Entry(
                    kind=Kind.FILL, cause=Cause.TRADE, venue_ref=f"f{place}", instrument=symbol,
                    time=opened + timedelta(seconds=place + 1), side=Side.SELL if place % 3 else Side.BUY,
                    quantity=Decimal(place * 37 % 900 + 100).scaleb(-3),
                    price=Decimal(60000 + place * 131).scaleb(-1), fee=Decimal("0.4321"),
                    fee_currency="USDC", wallet="perps",
                )
                for place, symbol in enumerate(symbols)
            ),
        ]  # fmt: skip
        ingest.record(account=account, entries=entries, source="bench", trace_id="", now=now)
        observe.venue_states(account=account, stated=_stated(ids.values()), as_of=now, now=now)
    prices = [
        observe.MarkPrice(instrument=pk, price=Decimal(60000 + place * 137).scaleb(-1), source="m", at=now)
        for place, pk in enumerate(ids.values())
    ]
    observe.marks(prices=prices, now=now)


def _stated(instruments: Iterable[int]) -> list[observe.VenueStatement]:
    return [
        observe.VenueStatement(
            instrument=pk, leg="net", leverage=Decimal(5), liquidation_price=Decimal(40000 + place).scaleb(-1)
        )
        for place, pk in enumerate(instruments)
    ]


def _timed(work: Callable[[], Any], times: int = RUNS) -> list[float]:
    """Return how many ms each run took; the first ones warm up."""
    found = []
    for number in range(times + 3):
        began = time.perf_counter()
        work()
        if number >= 3:
            found.append((time.perf_counter() - began) * 1000)
    return found


def _p99(found: Sequence[float]) -> float:
    return quantiles(found, n=100)[98]


def _p50(found: Sequence[float]) -> float:
    return quantiles(found, n=100)[49]


def _totals(report: Callable[..., None]) -> None:
    cold = _timed(lambda: pipeline.compute(now=timezone.now()).by_environment(), 40)
    floor = _timed(_read_plainly, 40)
    report("totals of 1,000 positions, cold, p99", _p99(cold), "ms", 20, "lower", _p99(floor))
    report("totals of 1,000 positions, cold, p50", _p50(cold), "ms", 20, "lower", _p50(floor))

    def refreshed() -> None:
        client().delete(pipeline.DUE)
        pipeline.refresh(timezone.now())

    refreshed()

    def cached() -> None:
        found = pipeline.stored(now=timezone.now(), accounts=None)
        if found is None:
            raise RuntimeError("the refresh's totals are not there")
        found.by_environment()

    kept: list[float] = []
    for _ in range(4):  # the refresh's totals count for a few seconds only
        refreshed()
        kept += _timed(cached, 25)
    report("totals of 1,000 positions, cached, p99", _p99(kept), "ms", 3, "lower")
    report("totals of 1,000 positions, cached, p50", _p50(kept), "ms", 3, "lower")


def _read_plainly() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, account_id, instrument_id, leg, quantity, open_cost, realized_pnl, net_pnl, strategy,"
            " unknown_count FROM positions_position WHERE quantity <> 0"
        )
        return list(cursor.fetchall())


def _copy_plainly() -> None:
    rows = _read_plainly()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS copied (LIKE portfolio_positionsnapshot)")
        with cursor.copy("COPY copied (position_id, at, quality, quantity, realized_pnl, net_pnl,"
                         " time_held_minutes) FROM STDIN") as copy:  # fmt: skip
            for row in rows:
                copy.write_row((row[0], datetime(2030, 1, 1, tzinfo=UTC), 0, row[4], row[6], row[7], 1))


def _snapshot(report: Callable[..., None]) -> None:
    found = _timed(lambda: taking.take(now=timezone.now()), 25)
    floor = _timed(_copy_plainly, 25)
    report(f"a snapshot of {POSITIONS:,} positions, p50", _p50(found), "ms", 50, "lower", _p50(floor))


def _rows(now: datetime) -> None:
    """Multiply a snapshot into MINUTES of it, and one position and the portfolio into a year."""
    last = PositionSnapshot.objects.order_by("-at").values_list("at", flat=True)[0]
    year = now - 365 * DAY
    partitions.ensure(partitions.months_between(year, now))
    noise = "(1 + 0.004 * sin(extract(epoch FROM minute) * 0.7 + position_id))::numeric"
    copied = f"""
        INSERT INTO portfolio_positionsnapshot
        SELECT position_id, minute, quality, quantity, round(mark_price * {noise}, 1),
               round(unrealized_pnl * {noise} + 12.3456789, 6), realized_pnl, net_pnl,
               round(unrealized_pnl_pct * {noise}, 6), time_held_minutes + 1, position_size_norm
        FROM portfolio_positionsnapshot, generate_series(%s::timestamptz, %s, '1 minute') AS minute
        WHERE at = %s AND position_id = ANY(%s)
        ON CONFLICT DO NOTHING
    """
    whole = """
        INSERT INTO portfolio_portfoliosnapshot
        SELECT environment, minute, quality, accounts, 0, 0, open_positions,
               round(equity * (1 + 0.004 * sin(extract(epoch FROM minute) * 0.001))::numeric, 6),
               equity_known, 0,
               unrealized_pnl, realized_pnl, net_pnl, exposure, net_exposure
        FROM portfolio_portfoliosnapshot, generate_series(%s::timestamptz, %s, '1 minute') AS minute
        WHERE at = %s
        ON CONFLICT DO NOTHING
    """
    ids = list(Position.objects.order_by("pk").values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(copied, [last - timedelta(minutes=MINUTES), last, last, ids])
        cursor.execute(copied, [year, last, last, ids[:1]])
        cursor.execute(whole, [year, last, last])
    hourly.roll_up(now=now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _bytes(report: Callable[..., None]) -> None:
    """Of a partition that holds many positions, minute after minute, as COPY writes them."""
    month = partitions.month_of(datetime(2035, 5, 5, tzinfo=UTC))
    partitions.ensure([month])
    name = f"portfolio_positionsnapshot_y{month:%Y}m{month:%m}"
    with connection.cursor() as cursor:
        for minute in range(60):
            cursor.execute(
                "INSERT INTO portfolio_positionsnapshot SELECT position_id, %s, quality, quantity,"
                " mark_price, unrealized_pnl, realized_pnl, net_pnl, unrealized_pnl_pct, time_held_minutes,"
                " position_size_norm FROM portfolio_positionsnapshot WHERE at = (SELECT max(at) FROM"
                " portfolio_positionsnapshot WHERE at < '2035-01-01')",
                [month + timedelta(minutes=minute)],
            )
        cursor.execute(f"SELECT pg_total_relation_size('{name}')::float / count(*) FROM {name}")
        (size,) = cursor.fetchone()
    report("a position's snapshot with its index", size, "bytes", 160, "lower")


def _pages(report: Callable[..., None]) -> None:
    position = Position.objects.order_by("pk").first()
    rows = PositionSnapshot.objects.filter(position=position)
    read = partial(paging.page, rows, order=("-at",), limit=100)
    newest = _timed(lambda: read(cursor=None))
    report("the latest page of a position's snapshots, p99", _p99(newest), "ms", 5, "lower")
    report("the latest page of a position's snapshots, p50", _p50(newest), "ms", 5, "lower")
    old = rows.filter(at__lt=timezone.now() - 200 * DAY)
    _, far = paging.page(old, order=("-at",), limit=100, cursor=None)
    found = _timed(lambda: read(cursor=far))
    report("a page of them 200 days down, by key, p99", _p99(found), "ms", 5, "lower")
    report("a page of them 200 days down, by key, p50", _p50(found), "ms", 5, "lower")


def _charts(report: Callable[..., None], now: datetime) -> None:
    position = Position.objects.order_by("pk").values_list("pk", flat=True)[0]
    for name, subject, goal in (
        ("one position", Subject("position", position), 20),
        ("the portfolio", Subject("portfolio", ENVIRONMENT), 150),
    ):
        read = partial(series.series, subject, since=now - 365 * DAY, until=now, now=now)
        fast = _timed(read, 30)
        found = read()
        raw = _timed(partial(_from_raw, subject, found), 3)
        report(f"a year of {name}, p50", _p50(fast), "ms", goal, "lower", _p50(raw))
        report(f"a year of {name}, points", len(found.points), "", MAX_POINTS, "lower")
        report(f"a year of {name}, times faster than raw rows", _p50(raw) / _p50(fast), "×", 30, "higher")
    _from_positions(report, _p50(fast))


def _from_positions(report: Callable[..., None], fast: float) -> None:
    """Compare with a year of the portfolio without rows of its own: the sum of all positions' rows.

    MINUTES of them are measured and taken as many times as a year has them.
    """
    statement = (
        "SELECT date_bin('6 hours', at, '2001-01-01'), sum(unrealized_pnl), count(*), bit_or(quality)"
        " FROM portfolio_positionsnapshot, (SELECT max(at) AS last FROM portfolio_portfoliosnapshot) AS taken"
        f" WHERE at > taken.last - interval '{MINUTES} minutes' AND at <= taken.last GROUP BY 1"
    )

    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.fetchall()

    scaled = _p50(_timed(read, 3)) * 365 * 24 * 60 / MINUTES
    report(
        "a year of the portfolio, times faster than all positions' rows (scaled)", scaled / fast, "×", 30,
        "higher", scaled,
    )  # fmt: skip


def _from_raw(subject: Subject, found: Series) -> None:
    """Answer the same from raw rows."""
    series.read_table(
        {}, subject, series.SOURCES[subject.kind], "snapshot", found.since, found.until, found.step
    )


def _retention(report: Callable[..., None]) -> None:
    now = timezone.now()
    days = settings.SNAPSHOT_RETENTION_DAYS
    settings.SNAPSHOT_RETENTION_DAYS = 300
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            (before,) = cursor.fetchone()
        began = time.perf_counter()
        dropped = retention.drop_old(now=now)
        took = time.perf_counter() - began
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [before])
            (wal,) = cursor.fetchone()
    finally:
        settings.SNAPSHOT_RETENTION_DAYS = days
    months = max(len(dropped) / len(partitions.PARENTS), 1)
    report("to drop a month of all three tables", took / months, "s", 1, "lower")
    report("WAL of dropping a month", float(wal) / months / 1_000_000, "MB", 1, "lower")
    hourly.roll_up(now=now)
