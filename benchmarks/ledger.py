"""The ledger's speed: one fill, batches, a hot position, a late fill, each against a floor of the same run.

The floor writes the same rows into the same tables, durable: bare psycopg, prepared, one set-based statement
per table and transaction, one round trip each. For one fill all that the rows hold is computed beforehand;
for batches the floor computes it too (Decimal in Python), as in the measurements the goals come from. It does
not dedupe, resolve names, move cash, chain digests or publish.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from statistics import quantiles
from typing import Any

import orjson
from django.db import connection

from benchmarks._ledger_floor import NOW, Floor, instrument_ids, orm_rate, record, timed
from positions import ingest, observe
from positions.book import Cause, Entry, Kind, Side
from positions.book.world import World
from positions.ledger import history
from positions.ledger import sql as ledger_sql
from positions.models import Account, InstrumentKind
from positions.models import Entry as EntryRow

START = datetime(2026, 1, 1, tzinfo=UTC)
SYMBOL = "BTC/USDC:USDC"
SINGLES = 1_500
WARM = 200


def run(report: Callable[..., None]) -> None:
    """Figures of one fill, of batches, of four writers on one position, and of a late fill."""
    _instruments()
    _one_fill(report)
    _batches(report)
    _hot_position(report)
    _late_fill(report)
    _rebuild(report)
    _plans(report)


def _instruments() -> None:
    described = [
        observe.InstrumentDescription(
            venue_symbol=symbol,
            symbol=symbol,
            kind=InstrumentKind.LINEAR,
            base=symbol.split("/")[0],
            quote="USDC",
            settle="USDC",
        )
        for symbol in [SYMBOL, *(f"C{n}/USDC:USDC" for n in range(50))]
    ]
    observe.instruments(world=World("bench", "live"), described=described, now=NOW)


def _account(label: str) -> Account:
    return Account.objects.create(label=label, venue="bench", created_at=NOW)


def fills(
    count: int, *, start: int = 0, prefix: str = "f", symbols: Sequence[str] = (SYMBOL,)
) -> list[Entry]:
    """Fills in time order, mostly increases, with fees, spread over the symbols."""
    return [
        Entry(
            kind=Kind.FILL,
            cause=Cause.TRADE,
            venue_ref=f"bench:{prefix}:{n:09}",
            time=START + timedelta(milliseconds=n),
            instrument=symbols[n % len(symbols)],
            side=Side.SELL if n % 3 == 2 else Side.BUY,
            quantity=Decimal(n % 900 + 100).scaleb(-3),
            price=Decimal(600_000 + n % 7_000).scaleb(-1),
            fee=Decimal(n % 5_000).scaleb(-4),
            fee_currency="USDC",
        )
        for n in range(start, start + count)
    ]


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def _one_fill(report: Callable[..., None]) -> None:
    account = _account("one fill")
    entries = fills(SINGLES + WARM)
    floor = Floor(_account("one fill, floor"), entries, size=1)
    ours, bare = [], []
    # In turns, so that both meet the same moods of the machine.
    for entry in entries:
        ours.append(timed(partial(record, account, [entry])))
        bare.append(floor.next())
    (p50, p99), (floor50, floor99) = _percentiles(ours[WARM:]), _percentiles(bare[WARM:])
    report("one fill p50", p50, "ms", 3 * floor50, "lower", floor50)
    report("one fill p99", p99, "ms", 5 * floor99, "lower", floor99)
    floor.close()


def _batches(report: Callable[..., None]) -> None:
    symbols = [f"C{n}/USDC:USDC" for n in range(10)]
    orm = orm_rate(_account("by the ORM"), fills(300, symbols=symbols))
    for size in (50, 200):
        account = _account(f"batches of {size}")
        entries = fills(8_000 + size * 5, symbols=symbols)
        floor = Floor(_account(f"batches of {size}, floor"), entries, size=size)
        batches = [entries[n : n + size] for n in range(0, len(entries), size)]
        ours, bare = [], []
        for batch in batches:
            ours.append(timed(partial(record, account, batch)))
            bare.append(floor.next())
        rate = size * len(ours[5:]) / sum(ours[5:])
        bound = size * len(bare[5:]) / sum(bare[5:])
        report(f"batches of {size}", rate, "fills/s", max(6_000, 0.5 * bound), "higher", bound)
        report(f"batches of {size}, times one by one through the ORM", rate / orm, "×", 10, "higher", orm)
        floor.close()


def _hot_position(report: Callable[..., None]) -> None:
    account = _account("hot position")
    writers, each = 4, 250
    record(account, fills(1, prefix="first"))
    # Processes, as in production: threads would measure Python's interpreter lock.
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # a forked process must open connections of its own
    with multiprocessing.get_context("fork").Pool(writers) as pool:
        pool.map(_nothing, range(writers * 4))
        began = time.perf_counter()
        waits = [wait for own in pool.map(_write_hot, range(writers), chunksize=1) for wait in own]
        took = time.perf_counter() - began
    p50, p99 = _percentiles(waits)
    report("hot position, 4 writers, p99 (floor: p50)", p99, "ms", 50, "lower", p50)
    report("hot position, 4 writers", len(waits) / took, "fills/s", 300, "higher")
    rebuilt = ingest.rebuild_account(account=account, trace_id="bench", now=NOW, write_back=False)
    wrong = len(rebuilt.differences)
    lost = writers * each + 1 - EntryRow.objects.filter(account=account).count()
    report("hot position, lost, doubled or wrong", wrong + abs(lost), "", 0, "lower")


def _nothing(_: int) -> None:
    """Makes every process of the pool start before the clock does."""
    Account.objects.count()
    time.sleep(0.05)


def _write_hot(writer: int) -> list[float]:
    """Seconds of each of this writer's fills; each happens when it is booked, as on a live feed."""
    account = Account.objects.get(label="hot position")
    waits = []
    for entry in fills(1_000, prefix="hot")[writer::4]:
        happened = replace(entry, time=datetime.now(UTC))
        waits.append(timed(partial(record, account, [happened], now=happened.time)))
    return waits


def _late_fill(report: Callable[..., None]) -> None:
    account = _account("late fill")
    entries = [fill for fill in fills(15_002) if fill.side is Side.BUY][:10_001]
    late = entries.pop(5)
    record(account, entries)
    took = timed(lambda: record(account, [late]))
    report("late fill into an episode of 10,000", took * 1000, "ms", 200, "lower")


def _rebuild(report: Callable[..., None]) -> None:
    """100,000 entries folded again must change nothing."""
    account = _account("rebuild")
    entries = fills(100_000, symbols=[f"C{n}/USDC:USDC" for n in range(50)])
    began = time.perf_counter()
    for start in range(0, len(entries), 10_000):
        record(account, entries[start : start + 10_000])
    report("batches of 10,000", len(entries) / (time.perf_counter() - began), "fills/s", 6_000, "higher")
    began = time.perf_counter()
    rebuilt = ingest.rebuild_account(account=account, trace_id="bench", now=NOW, write_back=False)
    took = time.perf_counter() - began
    report("rebuild of 100,000 entries, differences", len(rebuilt.differences), "", 0, "lower")
    report("rebuild of 100,000 entries", len(entries) / took, "entries/s", 10_000, "higher")


_MILLION = """
INSERT INTO positions_entry (account_id, sequence, venue_ref, kind, cause, instrument_id, leg, at,
    received_at, quantity, price, wallet, coins, content, digest, source, trace_id)
SELECT %(account)s, n, 'million-' || n, 'fill', 'trade', (%(instruments)s::bigint[])[1 + n %% 50], 'net',
    %(now)s::timestamptz - n * interval '1 s', %(now)s, 1, 60000, '',
    CASE WHEN n %% 100 = 0 THEN ARRAY[%(account)s || '/ETH'] END, '{}', ''::bytea, 'bench', ''
FROM generate_series(1, %(count)s) AS n
"""


def _plans(report: Callable[..., None]) -> None:
    """On a million entries no read of a booking, a page or a refold scans the table."""
    account = _account("a million")
    instruments = [key for name, key in instrument_ids().items() if name.startswith("C")]
    with connection.cursor() as cursor:
        made: dict[str, Any] = {"account": account.pk, "instruments": instruments, "now": NOW}
        cursor.execute(_MILLION, made | {"count": 1_000_000})
        cursor.execute("ANALYZE positions_entry")
    values = {
        "account": account.pk, "instrument": instruments[0], "instruments": instruments[:1],
        "coin": f"{account.pk}/ETH", "after": NOW - timedelta(days=1), "until": NOW, "refs": ["million-5"],
        "earliest": NOW,
    }  # fmt: skip
    entries = EntryRow.objects.filter(account=account)
    reads: dict[str, tuple[str, Any]] = {
        "a refold": (history._BY_INSTRUMENT, values),
        "a refold of a coin": (history._BY_COIN, values),
        "what is known of a batch": (ledger_sql._KNOWN, values),
        "inferred fills": (ledger_sql._INFERRED, values),
        "the newest entries": EntryRow.objects.order_by("-id")[:100].query.sql_with_params(),
        "the newest of an account": entries.order_by("-sequence")[:100].query.sql_with_params(),
        "entries of a day": entries.filter(at__gte=NOW - timedelta(days=1)).query.sql_with_params(),
    }
    for name, (sql, parameters) in reads.items():
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
            (plan,) = cursor.fetchone()
        found = orjson.loads(plan)[0] if isinstance(plan, str) else plan[0]
        scans = sum(1 for node in _nodes(found["Plan"]) if _scans_entries(node))
        report(
            f"1 M entries, {name}: table scans (floor: ms)", scans, "", 0, "lower", found["Execution Time"]
        )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _scans_entries(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "positions_entry"
