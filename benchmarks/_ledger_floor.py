"""What the ledger's benchmark compares with: the same rows by bare psycopg, and singly through the ORM."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from django.conf import settings
from django.db import transaction

from positions import ingest
from positions.book import Contract, ContractKind, Entry, PositionState, apply
from positions.book.world import World
from positions.ledger import serialise, sql
from positions.ledger.hash_chain import canonical
from positions.models import Account, AccountHead, Balance, PositionEvent
from positions.models import Entry as EntryRow
from positions.models import Position as PositionRow
from positions.sync import feed_queries

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTRACT = Contract(ContractKind.LINEAR, "BTC", "USDC", "USDC")


def record(account: Account, entries: Sequence[Entry], *, now: datetime = NOW) -> ingest.BookingResult:
    """Book entries as the stream does."""
    return ingest.record(account=account, entries=entries, source="bench", trace_id="bench-trace", now=now)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Floor:
    """The same rows by bare psycopg. Of single fills, what they hold is computed outside the clock."""

    def __init__(self, account: Account, entries: Sequence[Entry], *, size: int) -> None:
        self.account = account
        self.raw = psycopg.connect(settings.DATABASE_URL, autocommit=False, prepare_threshold=0)
        first = {entry.instrument: entry for entry in reversed(entries)}.values()
        record(account, [replace(entry, venue_ref=f"{entry.venue_ref}:first") for entry in first])
        self.ids = dict(
            PositionRow.objects.filter(account=account).values_list("instrument__venue_symbol", "pk")
        )
        self.instruments = dict(
            PositionRow.objects.filter(account=account).values_list("instrument__venue_symbol", "instrument")
        )
        self.openings = dict(
            PositionRow.objects.filter(account=account).values_list("instrument__venue_symbol", "opening_ref")
        )
        self.episodes: dict[str, PositionState] = {}
        self.head = AccountHead.objects.get(account=account)
        batches = [entries[n : n + size] for n in range(0, len(entries), size)]
        self.queue: list[Any] = [self._rows(batch) for batch in batches] if size == 1 else batches

    def _rows(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """The rows of one transaction."""
        touched = {}
        for entry in entries:
            symbol = entry.instrument or ""
            position = self.episodes.get(symbol) or PositionState(contract=CONTRACT, instrument=symbol)
            self.episodes[symbol] = touched[symbol] = apply(position, entry)[0]
        self.head.entry_count += len(entries)
        self.head.sequence += 1
        numbers = range(self.head.entry_count - len(entries) + 1, self.head.entry_count + 1)
        positions = [self._position(symbol, position) for symbol, position in touched.items()]
        return {
            "entries": [self._entry(entry, number) for entry, number in zip(entries, numbers, strict=True)],
            "positions": positions,
            "events": [self._event(n, row) for n, row in enumerate(positions)],
            "balances": [{"wallet": "", "asset": "USDC", "amount": "-1.5", "unknown": 0}],
            "sequence": self.head.sequence,
            "entry_count": self.head.entry_count,
        }

    def _entry(self, entry: Entry, number: int) -> dict[str, Any]:
        content = canonical(entry)
        return {
            **orjson.loads(content),
            "sequence": number,
            "instrument_id": self.instruments[entry.instrument or ""],
            "coins": None,
            "content": content,
            "digest": "00" * 32,
            "source": "bench",
            "trace_id": "bench-trace",
        }

    def _position(self, symbol: str, position: PositionState) -> dict[str, Any]:
        columns = serialise.columns(position) | {"opening_ref": self.openings[symbol]}
        return {
            "id": self.ids[symbol],
            "instrument_id": self.instruments[symbol],
            "leg": "net",
            "status": "OPEN" if position.is_open else "CLOSED",
            "cash": {},
            "state": serialise.dumps(position),
            **columns,
        }

    def _event(self, n: int, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "n": n, "instrument_id": row["instrument_id"], "leg": "net", "opening_ref": row["opening_ref"],
            "kind": "changed", "status_before": row["status"], "status_after": row["status"],
            "before": serialise.figures(row), "after": serialise.figures(row), "at": row["last_at"],
        }  # fmt: skip

    def next(self) -> float:
        """Seconds of the next transaction: lock, read, (compute,) write, commit."""
        queued = self.queue.pop(0)
        return timed(lambda: self._write(queued if isinstance(queued, dict) else self._rows(queued)))

    def _write(self, rows: dict[str, Any]) -> None:
        common = {
            "account": self.account.pk, "now": NOW, "source": "bench", "trace_id": "bench-trace", "who": "",
            "reason": "", "first": rows["entry_count"], "last": rows["entry_count"],
            "sequence": rows["sequence"], "entry_count": rows["entry_count"],
        }  # fmt: skip
        cursor = self.raw.cursor()
        head = "SELECT sequence FROM positions_accounthead WHERE account_id = %(account)s FOR UPDATE"
        held = "SELECT * FROM positions_position WHERE account_id = %(account)s"
        cursor.execute(head, common).fetchone()
        cursor.execute(held, common).fetchall()
        cursor.execute(sql.INSERT_ENTRIES, common | {"rows": sql.as_json(rows["entries"])})
        positions = {"rows": sql.as_json(rows["positions"]), "count": len(rows["positions"])}
        cursor.execute(sql.UPDATE_POSITIONS, common | positions)
        cursor.execute(sql.INSERT_EVENTS, common | {"rows": sql.as_json(rows["events"])})
        cursor.execute(sql.UPSERT_BALANCES, common | {"rows": sql.as_json(rows["balances"])})
        cursor.execute(sql.UPDATE_HEAD, common | {"digest": bytes(32), "opened": "{}"})
        self.raw.commit()

    def close(self) -> None:
        """Close its connection."""
        self.raw.close()


def orm_rate(account: Account, entries: Sequence[Entry]) -> float:
    """Fills/s one by one through the ORM: head, position, entry, event, balance, head."""
    instruments = instrument_ids()
    began = time.perf_counter()
    for number, entry in enumerate(entries):
        _by_orm(account, entry, instruments[entry.instrument or ""], number)
    took = time.perf_counter() - began
    return len(entries) / took


def instrument_ids() -> dict[str, int]:
    """The instruments of the benchmark's venue, by symbol."""
    return feed_queries.instrument_ids(world=World("bench", "live"))


def _by_orm(account: Account, entry: Entry, instrument: int, number: int) -> None:
    with transaction.atomic():
        head, _ = AccountHead.objects.select_for_update().get_or_create(account=account)
        row = PositionRow.objects.filter(account=account, instrument=instrument).order_by("-pk").first()
        known = serialise.loads(row.state, contract=CONTRACT) if row and row.is_open else None
        after, _ = apply(known or PositionState(contract=CONTRACT, instrument=entry.instrument or ""), entry)
        content = canonical(entry)
        EntryRow.objects.create(
            account=account, sequence=number + 1, venue_ref=entry.venue_ref, kind=entry.kind,
            cause=entry.cause or "",
            instrument_id=instrument, leg="net", at=entry.time, received_at=NOW, quantity=entry.quantity,
            price=entry.price, fee=entry.fee, fee_currency=entry.fee_currency, content=content,
            digest=bytes(32), source="bench",
        )  # fmt: skip
        columns = serialise.columns(after) | {
            "state": serialise.dumps(after),
            "status": after.status,
            "updated_at": NOW,
        }
        if row is None or not row.is_open:
            row = PositionRow(account=account, instrument_id=instrument, created_at=NOW)
        for name, value in columns.items():
            setattr(row, name, value)
        row.version += 1
        row.save()
        PositionEvent.objects.create(
            position=row,
            kind="changed",
            status_after=row.status,
            after={},
            at=NOW,
            recorded_at=NOW,
            source="bench",
        )
        balance, _ = Balance.objects.get_or_create(
            account=account, asset="USDC", defaults={"amount": 0, "updated_at": NOW}
        )
        balance.amount -= entry.fee or 0
        balance.save(update_fields=["amount"])
        head.sequence += 1
        head.entry_count += 1
        head.save(update_fields=["sequence", "entry_count"])
