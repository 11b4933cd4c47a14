"""Is the ledger what it was when it was written? The hash chain, the rows, the head, the balances."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from positions.book import Entry, InvalidEntry, plain
from positions.ledger import sql
from positions.ledger.fold.rebuild import CHUNK, LedgerDiscrepancy, Progress, row_drift
from positions.ledger.hash_chain import GENESIS, canonical, chained
from positions.models import Account, AccountHead, Position, Status

_ENTRIES = """
SELECT e.sequence, e.venue_ref, e.content, e.digest, e.received_at, e.source, e.trace_id, e.kind, e.cause,
    i.venue_symbol, e.leg, e.at, e.quantity, e.price, e.fee, e.fee_currency, e.amount, e.currency, e.wallet,
    e.target_ref, e.amended_at, e.watermark
FROM positions_entry e LEFT JOIN positions_instrument i ON i.id = e.instrument_id
WHERE e.account_id = %(account)s AND e.sequence > %(after)s ORDER BY e.sequence LIMIT %(limit)s
"""


class _Row(NamedTuple):
    sequence: int
    venue_ref: str
    content: str
    digest: bytes
    received_at: datetime
    source: str
    trace_id: str
    kind: str
    cause: str
    instrument: str | None
    leg: str | None
    time: datetime
    quantity: Decimal | None
    price: Decimal | None
    fee: Decimal | None
    fee_currency: str | None
    amount: Decimal | None
    currency: str | None
    wallet: str
    target: str | None
    amended_time: datetime | None
    watermark: datetime | None


_COLUMNS = _Row._fields[7:]


def chain(*, account: Account, progress: Progress | None = None) -> Iterator[LedgerDiscrepancy]:
    """Yield what is wrong with an account's entries: each edited, lost or slipped-in one is named."""
    head = AccountHead.objects.filter(account=account).first()
    expected, previous = 1, GENESIS
    for row in _rows(account.pk):
        if row.sequence != expected:
            yield _entry(account, row, "sequence", str(row.sequence), f"{expected} (entries are missing)")
        yield from _entry_differences(account, row, previous)
        expected, previous = row.sequence + 1, bytes(row.digest)
        if progress is not None:
            progress(1)
    count, digest = (head.entry_count, bytes(head.digest)) if head else (0, GENESIS)
    if (count, digest) != (expected - 1, previous):
        what = "end of the ledger"
        yield LedgerDiscrepancy(
            account.label, what, "entries", str(count), f"{expected - 1}, digest {previous.hex()}"
        )


def _rows(account: int) -> Iterator[_Row]:
    after = 0
    while True:
        with sql.pipeline() as raw:
            found = sql.send(raw, _ENTRIES, account=account, after=after, limit=CHUNK)
        chunk = [_Row(*values) for values in found.fetchall()]
        yield from chunk
        if len(chunk) < CHUNK:
            return
        after = chunk[-1].sequence


def _entry_differences(account: Account, row: _Row, previous: bytes) -> Iterator[LedgerDiscrepancy]:
    digest = chained(
        previous,
        sequence=row.sequence,
        received_at=row.received_at,
        source=row.source,
        trace_id=row.trace_id,
        content=row.content,
    )
    if digest != bytes(row.digest):
        yield _entry(
            account, row, "digest", bytes(row.digest).hex()[:16], f"{digest.hex()[:16]} (it was edited)"
        )
    try:
        entry = Entry.from_plain(orjson.loads(row.content))
    except (InvalidEntry, orjson.JSONDecodeError) as error:
        yield _entry(account, row, "content", row.content[:80], str(error))
        return
    if canonical(entry) != row.content:
        yield _entry(account, row, "content", row.content[:80], "canonical JSON")
    for name in _COLUMNS:
        stored, stated = getattr(row, name), _stated(entry, name)
        if stored != stated:
            yield _entry(account, row, name, str(stored), str(stated))


def _stated(entry: Entry, name: str) -> Any:
    value = getattr(entry, name)
    if name == "quantity" and value is not None and entry.side == "sell":
        return -value
    return (value or "") if name in ("cause", "wallet") else value


def _entry(account: Account, row: _Row, field: str, stored: str, expected: str) -> LedgerDiscrepancy:
    return LedgerDiscrepancy(account.label, f"entry {row.sequence} {row.venue_ref}", field, stored, expected)


def rows(*, account: Account) -> Iterator[LedgerDiscrepancy]:
    """Yield what is wrong with an account's positions by themselves: columns, status, sequence, history."""
    head = AccountHead.objects.filter(account=account).first()
    last = head.sequence if head else 0
    found = Position.objects.filter(account=account).select_related("instrument").order_by("pk")
    for row in found.iterator(chunk_size=CHUNK):
        what = f"position {row.pk}"
        if row.sequence > last:
            yield LedgerDiscrepancy(account.label, what, "sequence", str(row.sequence), f"at most {last}")
        if row.status != Status.VOID:
            for name, (stored, folded) in row_drift(row).items():
                yield LedgerDiscrepancy(account.label, what, name, stored, folded)
    yield from _history(account)


_LAST_EVENTS = """
SELECT p.id, p.status, p.quantity, e.status_after, e.after->>'quantity'
FROM positions_position p
LEFT JOIN LATERAL (
    SELECT status_after, after FROM positions_positionevent e
    WHERE e.position_id = p.id AND e.kind <> 'annotated' AND e.kind <> 'archived' ORDER BY e.id DESC LIMIT 1
) AS e ON true
WHERE p.account_id = %(account)s AND (e.status_after IS DISTINCT FROM p.status
    OR (p.status <> 'VOID' AND (e.after->>'quantity')::numeric IS DISTINCT FROM p.quantity))
ORDER BY p.id
"""


def _history(account: Account) -> Iterator[LedgerDiscrepancy]:
    """Yield positions whose last event is not their row: something else than the ledger changed them."""
    with sql.pipeline() as raw:
        found = sql.send(raw, _LAST_EVENTS, account=account.pk)
    for position, status, quantity, event_status, event_quantity in found.fetchall():
        stored = f"{status} {plain(quantity)}"
        yield LedgerDiscrepancy(
            account.label, f"position {position}", "last event", stored, f"{event_status} {event_quantity}"
        )
