"""The booking's SQL: few round trips, sets instead of rows, statements prepared by the server.

Django's cursor sends one statement at a time, with its values written into the text; a fill needs about
ten. Here a psycopg cursor on Django's own connection (so inside its transaction) sends them in pipelines:
one to lock and load, one to write. Sets travel as one JSON parameter each (json_to_recordset).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import psycopg
from django.db import DatabaseError, InterfaceError, connection
from psycopg import Connection, Cursor

from positions.book import Contract, Entry
from positions.ledger import serialise
from positions.ledger.hash_chain import trusted
from positions.ledger.rows import CountedCash, Episode, LedgerExcerpt, LockedHead, PositionKey

LOCK_SECONDS = 5


@contextmanager
def pipeline() -> Iterator[Connection[Any]]:
    """Yield Django's raw connection in pipeline mode; errors come out as Django's."""
    connection.ensure_connection()
    raw = connection.connection
    raw.prepare_threshold = 0  # Django turns preparing off; its own client-side cursors never prepare
    with connection.wrap_database_errors, raw.pipeline():
        yield raw


def send(raw: Connection[Any], sql: str, **values: Any) -> Cursor[Any]:
    """Send one statement; fetch its rows after the pipeline."""
    return psycopg.Cursor(raw).execute(sql.encode(), values)


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as the JSON text that json_to_recordset reads."""
    return orjson.dumps(rows).decode()


# The CTE comes first in the join, so the time-out is set before the row is waited for. Compiling a plan
# (jit) costs more than any statement here takes.
_HEAD = f"""
WITH patience AS MATERIALIZED (
    SELECT set_config('lock_timeout', '{LOCK_SECONDS}s', true), set_config('jit', 'off', true)
)
SELECT h.sequence, h.entry_count, h.digest, h.opened FROM patience, positions_accounthead h
WHERE h.account_id = %(account)s FOR UPDATE OF h
"""

# What is booked under these references, and what targets them. Comparing rows in the order of the index
# leaves the planner one way to look. With `=` it may take any index on the account, and reads all of its
# entries for each reference as long as it goes by a plan made when the table was small. Several entries may
# target one, so there the order of the target, which only its index has, tips the scale.
_KNOWN = """
SELECT e.content, e.sequence FROM unnest(%(refs)s::text[]) AS r(ref) CROSS JOIN LATERAL (
    SELECT account_id, venue_ref, content, sequence FROM positions_entry
    WHERE (account_id, venue_ref) >= (%(account)s, r.ref) ORDER BY account_id, venue_ref LIMIT 1) AS e
WHERE e.account_id = %(account)s AND e.venue_ref = r.ref
UNION ALL
SELECT e.content, e.sequence FROM unnest(%(refs)s::text[]) AS r(ref) CROSS JOIN LATERAL (
    SELECT content, sequence FROM positions_entry
    WHERE account_id = %(account)s AND target_ref >= r.ref AND target_ref <= r.ref
    ORDER BY target_ref OFFSET 0) AS e
"""

_INFERRED = """
WITH inferred AS (
    SELECT venue_ref, content, sequence FROM positions_entry
    WHERE account_id = %(account)s AND instrument_id = ANY(%(instruments)s) AND watermark >= %(earliest)s
)
SELECT content, sequence FROM inferred
UNION ALL
SELECT e.content, e.sequence FROM inferred
JOIN positions_entry e ON e.account_id = %(account)s AND e.target_ref = inferred.venue_ref
"""

EPISODE = "p.id, p.instrument_id, p.leg, p.status, p.version, p.cash, p.state"

_LAST = f"""
SELECT {EPISODE} FROM unnest(%(instruments)s::bigint[]) AS i(instrument)
CROSS JOIN unnest(ARRAY['net', 'long', 'short']) AS l(leg)
CROSS JOIN LATERAL (
    SELECT * FROM positions_position
    WHERE account_id = %(account)s AND instrument_id = i.instrument AND leg = l.leg AND status <> 'VOID'
    ORDER BY opened_at DESC, closed_at DESC NULLS FIRST, id DESC LIMIT 1
) AS p
"""

_VERSIONS = """
SELECT id, version, status, quantity FROM positions_position
WHERE account_id = %(account)s AND id = ANY(%(ids)s)
"""


class NoHead(LookupError):
    """The account has no head yet: it is made with its first booking."""


# lock not available, deadlock, serialization failure
_PASSING = frozenset({"55P03", "40P01", "40001"})


def may_pass(error: DatabaseError | InterfaceError) -> bool:
    """Return whether the same transaction may succeed when repeated; a lost connection is closed for that."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state in _PASSING:
        return True
    lost = state is None or state.startswith(("08", "57P"))
    if lost and not connection.in_atomic_block:
        connection.close()
        return True
    return False


def load(
    *,
    account: int,
    refs: list[str],
    contracts: dict[int, Contract],
    earliest: datetime,
    versions: Iterable[int] = (),
) -> tuple[LedgerExcerpt, list[tuple[Any, ...]]]:
    """Lock the account's head; return what is known of these references and instruments, and of positions.

    Raises NoHead, and Django's OperationalError when the lock is not had within LOCK_SECONDS.
    """
    instruments = list(contracts)
    ids = list(versions)
    with pipeline() as raw:
        head = send(raw, _HEAD, account=account)
        known = send(raw, _KNOWN, account=account, refs=refs)
        inferred = send(raw, _INFERRED, account=account, instruments=instruments, earliest=earliest)
        last = send(raw, _LAST, account=account, instruments=instruments)
        seen = send(raw, _VERSIONS, account=account, ids=ids) if ids else None
    row = head.fetchone()
    if row is None:
        raise NoHead(account)
    excerpt = LedgerExcerpt(head=_head(row))
    _remember_all(excerpt, account, {*known.fetchall(), *inferred.fetchall()}, asked=set(refs))
    excerpt.looked_up = frozenset(instruments)
    excerpt.last = {episode.key: episode for episode in episodes(last.fetchall(), contracts)}
    return excerpt, seen.fetchall() if seen else []


def _head(row: tuple[Any, ...]) -> LockedHead:
    opened = {wallet: datetime.fromisoformat(at) for wallet, at in orjson.loads(row[3]).items()}
    return LockedHead(row[0], row[1], bytes(row[2]), opened)


def lock_head(account: int) -> LockedHead | None:
    """Lock the account's head and return it; None if nothing was ever booked."""
    with pipeline() as raw:
        head = send(raw, _HEAD, account=account)
    row = head.fetchone()
    return None if row is None else _head(row)


def _remember_all(
    excerpt: LedgerExcerpt, account: int, rows: set[tuple[str, int]], *, asked: set[str]
) -> None:
    """File what was found, and what that leads to: what it targets, and what targets it.

    Most batches lead nowhere; a chain of corrections costs a round trip for each of its links.
    """
    filed: set[int] = set()
    while rows:
        found = [trusted(content, sequence) for content, sequence in rows]
        for entry in found:
            remember(excerpt, entry)
        filed.update(sequence for _, sequence in rows)
        leads = {ref for entry in found for ref in (entry.venue_ref, entry.target) if ref} - asked
        if not leads:
            return
        asked |= leads
        with pipeline() as raw:
            known = send(raw, _KNOWN, account=account, refs=list(leads))
        rows = {row for row in known.fetchall() if row[1] not in filed}


def remember(excerpt: LedgerExcerpt, entry: Entry) -> None:
    """File an entry under its reference, its target and its watermark."""
    excerpt.known[entry.venue_ref] = entry
    if entry.target is not None:
        excerpt.targeting.setdefault(entry.target, []).append(entry)
    if entry.watermark is not None:
        excerpt.inferred.append(entry)


def last_episodes(*, account: int, contracts: dict[int, Contract]) -> dict[PositionKey, Episode]:
    """Return the last episode of every key of these instruments."""
    with pipeline() as raw:
        last = send(raw, _LAST, account=account, instruments=list(contracts))
    return {episode.key: episode for episode in episodes(last.fetchall(), contracts)}


def episodes(rows: Iterable[tuple[Any, ...]], contracts: dict[int, Contract]) -> list[Episode]:
    """Turn rows of EPISODE into episodes."""
    return [
        Episode(
            id=row[0],
            key=PositionKey(row[1], row[2]),
            status=row[3],
            version=row[4],
            cash=cash(row[5]),
            state=serialise.loads(row[6], contract=contracts[row[1]]),
        )
        for row in rows
    ]


def cash(text: str) -> CountedCash:
    """Read counted cash by wallet, as a row keeps it."""
    return {wallet: (Decimal(amount), unknown) for wallet, (amount, unknown) in orjson.loads(text).items()}


# Writing ----------------------------------------------------------------------------------------------

_ENTRY_COLUMNS = """sequence bigint, venue_ref text, kind text, cause text, instrument_id bigint, leg text,
"time" timestamptz, side text, quantity numeric, price numeric, fee numeric, fee_currency text,
amount numeric, currency text, wallet text, target text, amended_time timestamptz, watermark timestamptz,
coins text[], content text, digest text, source text, trace_id text"""

INSERT_ENTRIES = f"""
INSERT INTO positions_entry (account_id, sequence, venue_ref, kind, cause, instrument_id, leg, at,
    received_at, quantity, price, fee, fee_currency, amount, currency, wallet, target_ref, amended_at,
    watermark, coins, content, digest, source, trace_id)
SELECT %(account)s, sequence, venue_ref, kind, coalesce(cause, ''), instrument_id, leg, "time", %(now)s,
    CASE side WHEN 'sell' THEN -quantity ELSE quantity END, price, fee, fee_currency, amount, currency,
    coalesce(wallet, ''), target, amended_time, watermark, coins, content, decode(digest, 'hex'), source,
    trace_id
FROM json_to_recordset(%(rows)s::json) AS r({_ENTRY_COLUMNS})
"""

_KINDS = {
    "CharField": "text", "TextField": "text", "JSONField": "jsonb", "DecimalField": "numeric",
    "IntegerField": "int", "BigIntegerField": "bigint", "DateTimeField": "timestamptz",
}  # fmt: skip
_FOLD = {name: _KINDS[field.get_internal_type()] for name, field in serialise.FOLDED.items()}
_FOLD_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in _FOLD.items())
_FOLD_NAMES = ", ".join(_FOLD)

INSERT_POSITIONS = f"""
INSERT INTO positions_position (account_id, instrument_id, leg, opening_ref, version, sequence, {_FOLD_NAMES},
    tags, strategy, note, annotation_revision, created_at, updated_at)
SELECT %(account)s, instrument_id, leg, opening_ref, 1, %(sequence)s, {_FOLD_NAMES},
    '{{}}', '', '', 0, %(now)s, %(now)s
FROM json_to_recordset(%(rows)s::json)
    AS r(n int, instrument_id bigint, leg text, opening_ref text, {_FOLD_COLUMNS})
ORDER BY n
RETURNING id, instrument_id, leg, opening_ref
"""

# The limit, all of the rows, tells the planner that there are few: it looks each position up. Left to guess,
# it takes a hundred and reads the whole table beside them, as long as it goes by a plan made when that was
# small. Where rows are read, not written, the index leaves one way to look: see _KNOWN.
UPDATE_POSITIONS = f"""
UPDATE positions_position AS p
SET version = p.version + 1, sequence = %(sequence)s, updated_at = %(now)s, superseded_by_id = NULL,
    archived_at = NULL,
    {", ".join(f"{name} = r.{name}" for name in _FOLD)}
FROM (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(id bigint, {_FOLD_COLUMNS}) LIMIT %(count)s
) AS r
WHERE p.id = r.id
"""

INSERT_EVENTS = """
INSERT INTO positions_positionevent (position_id, kind, status_before, status_after, before, after,
    first_sequence, last_sequence, at, recorded_at, who, source, reason, trace_id)
SELECT p.id, r.kind, r.status_before, r.status_after, r.before, r.after, %(first)s, %(last)s, r.at, %(now)s,
    %(who)s, %(source)s, %(reason)s, %(trace_id)s
FROM json_to_recordset(%(rows)s::json) AS r(n int, instrument_id bigint, leg text, opening_ref text,
    kind text, status_before text, status_after text, before jsonb, after jsonb, at timestamptz)
CROSS JOIN LATERAL (
    SELECT id, account_id, instrument_id, leg, opening_ref FROM positions_position
    WHERE (account_id, instrument_id, leg, opening_ref)
        >= (%(account)s, r.instrument_id, r.leg, r.opening_ref)
    ORDER BY account_id, instrument_id, leg, opening_ref LIMIT 1
) AS p
WHERE p.account_id = %(account)s AND p.instrument_id = r.instrument_id
    AND p.leg = r.leg AND p.opening_ref = r.opening_ref
ORDER BY r.n
"""

SUPERSEDE = """
UPDATE positions_position AS void SET superseded_by_id = heir.id
FROM json_to_recordset(%(rows)s::json) AS r(id bigint, instrument_id bigint, leg text, opening_ref text)
JOIN positions_position AS heir ON heir.account_id = %(account)s AND heir.instrument_id = r.instrument_id
    AND heir.leg = r.leg AND heir.opening_ref = r.opening_ref
WHERE void.id = r.id
"""

FORGET_CHECKPOINTS = """
DELETE FROM positions_checkpoint c
USING json_to_recordset(%(rows)s::json) AS r(instrument_id bigint, leg text, since timestamptz)
WHERE c.account_id = %(account)s AND c.instrument_id = r.instrument_id AND c.leg = r.leg AND c.at >= r.since
"""

FORGET_ALL_CHECKPOINTS = "DELETE FROM positions_checkpoint WHERE account_id = %(account)s"

INSERT_CHECKPOINTS = """
INSERT INTO positions_checkpoint (account_id, instrument_id, leg, at, cash, state)
SELECT %(account)s, instrument_id, leg, at, cash, state
FROM json_to_recordset(%(rows)s::json)
    AS r(instrument_id bigint, leg text, at timestamptz, cash jsonb, state text)
ON CONFLICT (account_id, instrument_id, leg, at) DO NOTHING
"""

# Of those older than the newest `dense` of a key every n-th is left, so that `sparse` remain.
THIN_CHECKPOINTS = """
DELETE FROM positions_checkpoint c USING (
    SELECT k.id, row_number() OVER newest_first AS place, count(*) OVER (PARTITION BY k.instrument_id, k.leg)
        AS kept
    FROM json_to_recordset(%(rows)s::json) AS r(instrument_id bigint, leg text)
    JOIN positions_checkpoint k ON k.account_id = %(account)s AND k.instrument_id = r.instrument_id
        AND k.leg = r.leg
    WINDOW newest_first AS (PARTITION BY k.instrument_id, k.leg ORDER BY k.at DESC)
) AS old
WHERE c.id = old.id AND old.kept > %(dense)s + %(sparse)s AND old.place > %(dense)s
    AND (old.place - %(dense)s) %% ceil((old.kept - %(dense)s)::numeric / %(sparse)s) <> 0
"""

UPSERT_BALANCES = """
INSERT INTO positions_balance (account_id, wallet, asset, amount, unknown_count, sequence, updated_at)
SELECT %(account)s, wallet, asset, amount, unknown, %(sequence)s, %(now)s
FROM json_to_recordset(%(rows)s::json) AS r(wallet text, asset text, amount numeric, unknown int)
ON CONFLICT (account_id, wallet, asset) DO UPDATE
SET amount = positions_balance.amount + EXCLUDED.amount,
    unknown_count = positions_balance.unknown_count + EXCLUDED.unknown_count,
    sequence = EXCLUDED.sequence, updated_at = EXCLUDED.updated_at
RETURNING wallet, asset, amount, unknown_count
"""

UPDATE_HEAD = """
UPDATE positions_accounthead
SET sequence = %(sequence)s, entry_count = %(entry_count)s, digest = %(digest)s, opened = %(opened)s::jsonb
WHERE account_id = %(account)s
"""

UPSERT_CURSOR = """
INSERT INTO positions_feedcursor (account_id, feed, through, position, updated_at)
VALUES (%(account)s, %(feed)s, %(through)s, %(position)s::jsonb, %(now)s)
ON CONFLICT (account_id, feed) DO UPDATE
SET through = EXCLUDED.through, position = EXCLUDED.position, updated_at = EXCLUDED.updated_at
"""
