"""Facts that were not booked, kept with their payload until somebody settles them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from positions.ledger import sql
from positions.ledger.prepare import Offender
from positions.ledger.rows import Provenance

MOST_OPEN = 5000

log = structlog.get_logger("quarantine")

_KEEP = """
INSERT INTO positions_quarantinedentry (account_id, venue_ref, reason, detail, content, content_digest,
    conflicts_with_id, source, trace_id, received_at, last_seen_at, seen, settlement)
SELECT %(account)s, r.venue_ref, r.reason, r.detail, r.content, decode(r.digest, 'hex'), e.id, %(source)s,
    %(trace_id)s, %(now)s, %(now)s, 1, ''
FROM (
    SELECT given.*, row_number() OVER () AS place
    FROM json_to_recordset(%(rows)s::json)
        AS given(venue_ref text, reason text, detail text, content text, digest text, conflicts_with text)
) r
LEFT JOIN positions_entry e ON e.account_id = %(account)s AND e.venue_ref = r.conflicts_with
WHERE r.place + (
    SELECT count(*) FROM positions_quarantinedentry
    WHERE account_id = %(account)s AND source = %(source)s::varchar AND settled_at IS NULL
) <= %(most)s OR EXISTS (
    SELECT 1 FROM positions_quarantinedentry known
    WHERE known.account_id = %(account)s AND known.venue_ref = r.venue_ref AND known.reason = r.reason
    AND known.content_digest = decode(r.digest, 'hex')
)
ON CONFLICT (account_id, venue_ref, reason, content_digest) DO UPDATE
SET seen = positions_quarantinedentry.seen + 1, last_seen_at = EXCLUDED.last_seen_at,
    settled_at = NULL, settlement = ''
"""


_BOOKED = """
UPDATE positions_quarantinedentry SET settled_at = %(now)s, settlement = 'booked since'
WHERE account_id = %(account)s AND venue_ref = ANY(%(refs)s) AND settled_at IS NULL AND reason <> 'conflict'
"""
_SETTLE = """
UPDATE positions_quarantinedentry SET settled_at = %(now)s, settlement = %(settlement)s
WHERE id = %(quarantined)s AND settled_at IS NULL
"""


def booked(raw: Any, *, account: int, refs: list[str], now: datetime) -> None:
    """Settle what was kept of facts that are being booked now, in the same pipeline."""
    sql.send(raw, _BOOKED, account=account, refs=refs, now=now)


def settle(*, quarantined: int, settlement: str, now: datetime) -> bool:
    """Note what somebody decided about an offender; False if it was settled already or is not there."""
    with sql.pipeline() as raw:
        done = sql.send(raw, _SETTLE, quarantined=quarantined, settlement=settlement[:200], now=now)
    return done.rowcount == 1


def keep(*, account: int, offenders: Sequence[Offender], provenance: Provenance) -> None:
    """Keep offenders; one that was kept before is only counted, and is open again.

    MOST_OPEN of an account and source at once: who sends nonsense for ever fills the log, not the database,
    and never takes the place of what a venue sends.
    """
    rows = {}
    for offender in offenders:
        content = _text(offender.content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        rows[offender.venue_ref, offender.reason, digest] = {
            "venue_ref": _text(offender.venue_ref),
            "reason": offender.reason.value,
            "detail": _text(offender.detail),
            "content": content,
            "digest": digest,
            "conflicts_with": offender.conflicts_with,
        }
    if not rows:
        return
    with sql.pipeline() as raw:
        kept = sql.send(
            raw,
            _KEEP,
            account=account,
            rows=sql.as_json(list(rows.values())),
            source=provenance.source,
            trace_id=provenance.trace_id,
            now=provenance.now,
            most=MOST_OPEN,
        )
    if left_out := len(rows) - kept.rowcount:
        log.error(
            "the quarantine of an account is full: facts are not kept",
            account=account, source=provenance.source, left_out=left_out, most=MOST_OPEN,
        )  # fmt: skip


def _text(given: str) -> str:
    """Return what a venue sent as text that Postgres takes: what cannot be kept must still be shown."""
    return given.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
