"""Reads: how many queries each needs (queries.baseline.json), and that each uses an index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from positions import observe, queries
from positions.book.world import World
from positions.ledger import sql as ledger_sql
from positions.ledger.history import _BY_COIN, _BY_INSTRUMENT, _OF_ALL, BEGINNING, END, coin_key
from positions.models import Account, Entry, Position
from tests.positions.conftest import INVERSE, PERP, SPOT, VENUE, make_instruments
from tests.positions.facts import bust, fill, moment, transfer

pytestmark = pytest.mark.django_db
BASELINE = json.loads((Path(__file__).parent / "queries.baseline.json").read_text())


@pytest.fixture
def full(book, account, instruments, now):
    """A few positions, closed ones too, with marks and what the venue says."""
    book(transfer("1000 USDC", at=0), transfer("1 BTC", at=0))
    for n in range(6):
        book(
            fill("buy 1 @ 60000 fee 1 USDC", at=10 * n + 1),
            fill("sell 1 @ 61000 fee 1 USDC", at=10 * n + 2),
            fill("buy 1 @ 60000 fee 0.01 BTC", at=10 * n + 3, instrument=INVERSE),
            fill("buy 1 @ 60000 fee 1 USDC", at=10 * n + 4, instrument=SPOT),
        )
    book(fill("buy 3 @ 60000 fee 1 USDC", at=90))
    prices = [
        observe.MarkPrice(instrument=instruments[symbol], price=Decimal(61000), source="venue", at=moment(99))
        for symbol in (PERP, INVERSE, SPOT)
    ]
    observe.marks(prices=prices, now=now)
    stated = observe.VenueStatement(
        instrument=instruments[PERP], leg="net", quantity=Decimal(3), leverage=Decimal(5), margin_mode="cross"
    )
    observe.venue_states(account=account, stated=[stated], as_of=moment(99), now=now)
    return account


def reads(account: Account, instruments: dict[str, int]) -> dict[str, Any]:
    row = Position.objects.filter(account=account).order_by("pk")[0]
    return {
        "board": lambda: [
            (row.account.label, row.instrument.symbol, getattr(row.instrument, "mark", None), row.venue_state)
            for row in queries.open_positions()
        ],
        "change_sequences": queries.change_sequences,
        "positions_changed_since": lambda: list(
            queries.positions_changed_since(account=account.pk, sequence=3)
        ),
        "balances_changed_since": lambda: list(
            queries.balances_changed_since(account=account.pk, sequence=3)
        ),
        "coin_prices": lambda: queries.coin_prices(world=World(VENUE, "live"), coins=["BTC", "ETH"]),
        "entry_count": lambda: queries.entry_count(account=account.pk),
        "entry_sequence": lambda: queries.entry_sequence(account=account.pk, venue_ref="x"),
        "open_leg": lambda: queries.open_leg(account=account.pk, instrument=instruments[PERP]),
        "instrument": lambda: queries.instrument(account=account, symbol=PERP),
        "archivable": lambda: list(queries.archivable(before=moment(1000))),
        "position_as_of": lambda: queries.position_as_of(
            account=account, instrument=instruments[PERP], leg="net", at=moment(50)
        ),
        "book_as_of": lambda: queries.book_as_of(account=account, at=moment(50)),
        "history": lambda: queries.history(position=row),
    }


class TestTheNumberOfQueries:
    @pytest.mark.parametrize("name", sorted(BASELINE["reads"]))
    def test_of_a_read_is_that_of_the_baseline(self, full, instruments, name):
        assert len(self.counted(reads(full, instruments)[name])) == BASELINE["reads"][name]

    def test_covers_every_read(self, full, instruments):
        assert set(reads(full, instruments)) == set(BASELINE["reads"])

    @pytest.mark.parametrize(
        ("name", "facts"),
        [
            ("one fill", [fill("buy 1 @ 60000 fee 1 USDC", at=200, ref="q1")]),
            ("fifty fills", [fill("buy 1 @ 60000 fee 1 USDC", at=200 + n, ref=f"q{n}") for n in range(50)]),
            ("a repeat", [transfer("1000 USDC", at=0, ref="transfer-known")]),
            ("a late fill", [fill("buy 1 @ 60000 fee 1 USDC", at=55, ref="late")]),
            ("a bust", [bust("transfer-known", at=300)]),
        ],
    )
    def test_of_a_booking_does_not_grow_with_the_batch(self, full, book, monkeypatch, name, facts):
        book(transfer("1000 USDC", at=0, ref="transfer-known"))
        sent = []
        send = ledger_sql.send

        def counted(raw, sql, **values):
            sent.append(sql)
            return send(raw, sql, **values)

        monkeypatch.setattr(ledger_sql, "send", counted)
        with CaptureQueriesContext(connection) as captured:
            book(*facts)
        assert {"sets": len(sent), "orm": len(self.only_reads_and_writes(captured))} == BASELINE["bookings"][
            name
        ]

    def counted(self, read: Any) -> list[str]:
        pipelined = []
        original = ledger_sql.psycopg.Cursor.execute

        class Counting(ledger_sql.psycopg.Cursor):
            def execute(self, query, *args, **kwargs):
                pipelined.append(query)
                return original(self, query, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patched, CaptureQueriesContext(connection) as captured:
            patched.setattr(ledger_sql.psycopg, "Cursor", Counting)
            read()
        return [*pipelined, *self.only_reads_and_writes(captured)]

    def only_reads_and_writes(self, captured: CaptureQueriesContext) -> list[str]:
        return [
            one["sql"]
            for one in captured.captured_queries
            if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))
        ]


FACTS = ("accounthead", "balance", "checkpoint", "entry", "mark", "position", "positionevent", "venuestate")
TABLES = [f"positions_{name}" for name in (*FACTS, "account", "instrument")]


@pytest.fixture
def new_tables(db: None) -> None:
    """Tables without the room that rows of earlier tests have left in them, until the test is rolled back.

    Their lock keeps autovacuum out too: it would analyse whenever it likes.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(f'positions_{name}' for name in FACTS)} CASCADE")
        cursor.execute("LOCK TABLE positions_account, positions_instrument IN SHARE UPDATE EXCLUSIVE MODE")


@pytest.fixture
def statistics(db: None) -> Iterator[Statistics]:
    """What is inserted through its cursor is gone before the book is judged in the end."""
    with transaction.atomic(), connection.cursor() as cursor:
        yield Statistics(cursor)
        transaction.set_rollback(True)


class Statistics:
    """What the planner knows of the book's tables: nothing at first, then what the test has it learn."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = ANY(%s::regclass[])", [TABLES])
        cursor.execute(
            "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = ANY(%(tables)s::regclass[])"
            " OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY(%(tables)s::regclass[]))",
            {"tables": TABLES},
        )

    def analyse(self) -> None:
        """Learn what the tables hold now."""
        self.cursor.execute(f"ANALYZE {', '.join(TABLES)}")


def insert_entries(cursor: Any, account: Account, instruments: dict[str, int], *, count: int) -> None:
    cursor.execute(
        """INSERT INTO positions_entry (account_id, sequence, venue_ref, kind, cause, instrument_id,
            leg, at, received_at, quantity, wallet, coins, content, digest, source, trace_id)
        SELECT %(account)s, 1000 + n, 'many-' || n, 'fill', 'trade',
            (%(instruments)s::bigint[])[1 + n %% 7], 'net', now() + n * interval '1 s', now(), 1, '',
            CASE WHEN n %% 50 = 0 THEN ARRAY[%(account)s || '/ETH'] END,
            '{}', ''::bytea, 't', ''
        FROM generate_series(1, %(count)s) AS n""",
        {"account": account.pk, "instruments": list(instruments.values()), "count": count},
    )


class TestEveryReadUsesAnIndex:
    """Sequential scans are forbidden, so a plan that still has one has no index to use."""

    @pytest.fixture(autouse=True)
    def _many(self, new_tables, full, statistics, instruments):
        """Enough entries and positions for the planner to have a choice."""
        insert_entries(statistics.cursor, full, instruments, count=5_000)
        insert_positions(statistics.cursor, count=2_000)
        statistics.analyse()

    def plan(self, sql: str, values: Any) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            cursor.execute(f"EXPLAIN {sql}", values)
            return "\n".join(line for (line,) in cursor.fetchall())

    @pytest.mark.parametrize(
        ("sql", "index"),
        [
            (_BY_INSTRUMENT, "positions_entry_key"),
            (_BY_COIN, "positions_entry_coins"),
            (_OF_ALL, "positions_entry_time"),
            (ledger_sql._KNOWN, "positions_entry_once"),
            (ledger_sql._INFERRED, "positions_entry_inferred"),
            (ledger_sql._LAST, "positions_position_key"),
            (ledger_sql._HEAD, "positions_accounthead_pkey"),
        ],
    )
    def test_of_a_booking(self, full, instruments, sql, index):
        values = {
            "account": full.pk, "instrument": instruments[PERP], "instruments": [instruments[PERP]],
            "coin": coin_key(full.pk, "ETH"), "after": BEGINNING, "until": END, "refs": ["a"],
            "earliest": moment(0),
        }  # fmt: skip
        plan = self.plan(sql, values)
        assert index in plan
        assert "Seq Scan on positions_" not in plan

    @pytest.mark.parametrize(
        ("name", "rows"),
        [
            ("the board", lambda account: queries.open_positions()),
            ("the board of an account", lambda account: queries.open_positions().filter(account=account)),
            (
                "closed positions, newest first",
                lambda account: (
                    queries.board()
                    .filter(closed_at__isnull=False, archived_at__isnull=True)
                    .order_by("-closed_at", "-id")[:100]
                ),
            ),
            ("what to archive", lambda account: queries.archivable(before=moment(0))),
            ("entries, newest first", lambda account: Entry.objects.order_by("-id")[:100]),
            (
                "entries of an account",
                lambda account: Entry.objects.filter(account=account).order_by("-sequence")[:100],
            ),
            (
                "entries of a time",
                lambda account: Entry.objects.filter(
                    account=account, at__gte=moment(0), at__lt=moment(0) + timedelta(days=1)
                ),
            ),
        ],
    )
    def test_of_a_list(self, full, name, rows):
        sql, values = rows(full).query.sql_with_params()
        plan = self.plan(sql, values)
        for table in ("entry", "position", "positionevent", "balance", "mark", "venuestate"):
            assert f"Seq Scan on positions_{table} " not in plan, plan


def insert_positions(cursor: Any, *, count: int) -> None:
    """Closed episodes beside those that are there."""
    cursor.execute(
        """INSERT INTO positions_position
        SELECT (jsonb_populate_record(p, jsonb_build_object('id', 10000 + n, 'opening_ref', 'many-' || n))).*
        FROM positions_position p, generate_series(1, %(count)s) AS n
        WHERE p.id = (SELECT min(id) FROM positions_position WHERE status = 'CLOSED')""",
        {"count": count},
    )


TYPES = {
    "account": "bigint", "refs": "text[]", "rows": "json", "count": "int", "now": "timestamptz",
    "sequence": "bigint", "first": "bigint", "last": "bigint",
    **dict.fromkeys(("who", "source", "reason", "trace_id"), "text"),
}  # fmt: skip
EXAMPLES = {"bigint": "1", "int": "1", "text[]": "ARRAY['a', 'b']", "json": "'[]'", "text": "''"}


def plan_kept(cursor: Any, sql: str) -> str:
    """The plan that a connection keeps for a statement, whatever its values, made for the tables as now."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    for n, name in enumerate(names, 1):
        sql = sql.replace(f"%({name})s", f"${n}")
    cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    cursor.execute(f"PREPARE kept ({', '.join(TYPES[name] for name in names)}) AS {sql}")
    cursor.execute(f"EXPLAIN EXECUTE kept ({', '.join(EXAMPLES.get(TYPES[one], 'now()') for one in names)})")
    plan = "\n".join(line for (line,) in cursor.fetchall())
    cursor.execute("DEALLOCATE kept")
    return plan


class TestABooking:
    """One by one, also by a plan made when the table was small: it stays until the table is analysed."""

    @pytest.mark.parametrize("count", [0, 250, 2_000])
    def test_looks_references_up(self, new_tables, account, statistics, instruments, count):
        insert_entries(statistics.cursor, account, instruments, count=count)
        plan = plan_kept(statistics.cursor, ledger_sql._KNOWN)
        scans = [line.split("using ")[1].split()[0] for line in plan.splitlines() if "Scan using" in line]
        assert scans == ["positions_entry_once", "positions_entry_target"], plan

    # Autovacuum analyses a table when 50 rows have come.
    @pytest.mark.parametrize("count", [50, 2_000])
    def test_looks_up_the_positions_that_it_updates(self, new_tables, full, statistics, count):
        insert_positions(statistics.cursor, count=count)
        statistics.analyse()
        plan = plan_kept(statistics.cursor, ledger_sql.UPDATE_POSITIONS)
        assert "Index Cond: (id = r.id)" in plan, plan
        assert "Seq Scan" not in plan, plan

    @pytest.mark.parametrize("count", [0, 2_000])
    def test_looks_up_the_positions_whose_events_it_writes(self, new_tables, full, statistics, count):
        insert_positions(statistics.cursor, count=count)
        plan = plan_kept(statistics.cursor, ledger_sql.INSERT_EVENTS)
        condition = "ROW(account_id, instrument_id, (leg)::text, opening_ref) >= ROW("
        assert f"Index Cond: ({condition}" in plan, plan
        assert "Seq Scan" not in plan, plan


class TestTickingColumns:
    def test_are_in_no_index(self, db):
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename, indexdef FROM pg_indexes WHERE tablename LIKE 'positions_%'")
            found = cursor.fetchall()
        ticking = {
            "positions_position": (
                "quantity", "open_cost", "realized_pnl", "version", "sequence", "updated_at", "state",
            ),
            "positions_mark": ("price", "at", "received_at"),
            "positions_balance": ("amount", "sequence"),
            "positions_venuestate": ("as_of", "revision", "quantity"),
            "positions_accounthead": ("sequence", "digest"),
        }  # fmt: skip
        for table, definition in found:
            named = (
                definition.partition("USING")[2].replace("(", " ").replace(")", " ").replace(",", " ").split()
            )
            assert not set(ticking.get(table, ())) & set(named), definition

    def test_are_updated_in_place(self, db):
        with connection.cursor() as cursor:
            cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'positions_position'")
            assert cursor.fetchone() == (["fillfactor=70"],)


class TestTheBoard:
    def test_has_everything_in_one_row(self, full):
        rows = {row.instrument.symbol: row for row in queries.open_positions()}
        perp = rows[PERP]
        assert perp.instrument.mark.price == 61000
        assert (perp.venue_state["leverage"], perp.venue_state["margin_mode"]) == (
            "5.000000000000000000",
            "cross",
        )
        assert rows["BTC"].instrument.mark.price == 61000
        assert rows["BTC"].venue_state is None

    def test_prefers_the_venue_s_own_price_of_a_coin(self, full, instruments, now):
        elsewhere = make_instruments(now, venue="other")
        later = [
            observe.MarkPrice(instrument=elsewhere[SPOT], price=Decimal(1), source="other", at=moment(500)),
            observe.MarkPrice(
                instrument=elsewhere["BNB/USDC"], price=Decimal(300), source="other", at=moment(500)
            ),
        ]
        observe.marks(prices=later, now=now)
        prices = queries.coin_prices(world=World(VENUE, "live"), coins=["BTC", "BNB", "ETH"])
        assert prices["BTC"].price == 61000
        assert prices["BNB"].source.startswith("other")
        assert "ETH" not in prices
        assert not queries.coin_prices(world=World(VENUE, "testnet"), coins=["BTC"])
