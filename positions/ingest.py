"""The one door: every fact, correction and hand-made change of the book comes in through here.

The only writer of Entry, Position, PositionEvent, Checkpoint, Balance, AccountHead, FeedCursor and
QuarantinedEntry.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection, transaction

from positions import live
from positions.book import Entry, InvalidEntry
from positions.ledger import edits, quarantine, serialise, sql
from positions.ledger import instruments as catalogues
from positions.ledger.admission import EntryOutcome, EntryResult
from positions.ledger.booking import Attempt, Contradicted, StaleVersion, put_right
from positions.ledger.edits import StaleAnnotation
from positions.ledger.fold.rebuild import Progress, RebuildReport, rebuild
from positions.ledger.prepare import Offender, prepare
from positions.ledger.write import ChangedRows, Cursor, Provenance
from positions.models import Account, AccountHead, Position

__all__ = [
    "BatchRejection",
    "BookingResult",
    "Cursor",
    "EntryOutcome",
    "EntryResult",
    "StaleAnnotation",
    "StaleVersion",
    "annotate",
    "move",
    "rebuild_account",
    "record",
    "record_all",
    "set_archived",
    "settle_quarantined",
]

MAX_BATCH = 10_000
RETRY_SECONDS = (0.1, 0.2, 0.4)
# lock not available, deadlock, serialization failure
_RETRIED = frozenset({"55P03", "40P01", "40001"})

log = structlog.get_logger("ingest")


@dataclass(frozen=True, slots=True)
class BookingResult:
    """What a call of `record` did: one result per entry in the order given, and the rows that changed.

    `sequence` is the account's change (None if nothing changed); rows are those of the book frame.
    """

    results: list[EntryResult]
    sequence: int | None
    positions: list[dict[str, Any]]
    balances: list[dict[str, Any]]

    def count(self, outcome: EntryOutcome) -> int:
        """Return how many entries had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


class BatchRejection(ValueError):
    """Nothing of the batch was booked. `offenders` names each entry, why, and its index in the batch."""

    def __init__(self, offenders: Sequence[Offender]) -> None:
        shown = "; ".join(offender.detail for offender in offenders[:5])
        more = f" and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        super().__init__(f"nothing was booked: {shown}{more}")
        self.offenders = list(offenders)


def record(
    *,
    account: Account,
    entries: Sequence[Entry | Mapping[str, str]],
    source: str,
    trace_id: str,
    now: datetime,
    cursor: Cursor | Sequence[Cursor] | None = None,
    expected_version: Mapping[int, int] | None = None,
    on_error: Literal["quarantine", "reject"] = "quarantine",
    who: str = "",
    reason: str = "",
    traces: Mapping[str, str] | None = None,
) -> BookingResult:
    """Book up to 10,000 facts of one account, each once, in one transaction, and tell the live log.

    Entries may come in any order, repeated, and in plain form (`Entry.to_plain`). Given cursors move in
    the same transaction, also without entries. `expected_version` maps position ids to the versions that
    the caller has seen; `traces` maps references to trace ids of their own. Offenders go to the quarantine
    with their payload: with "quarantine" the rest is booked, with "reject" nothing is.
    Raises BatchRejection, StaleVersion, ValueError for a batch that is too large, and Django's DatabaseError
    when Postgres stays busy after three retries.
    """
    if len(entries) > MAX_BATCH:
        raise ValueError(f"a batch has at most {MAX_BATCH} entries, this one {len(entries)}")
    provenance = Provenance(
        source=source, trace_id=trace_id, now=now, who=who, reason=reason, traces=traces or {}
    )
    cursors = [cursor] if isinstance(cursor, Cursor) else cursor or []
    catalogue = catalogues.of(account)
    prepared = prepare(account=account, entries=entries, catalogue=catalogue, now=now)
    if prepared.offenders and on_error == "reject":
        _reject(account, prepared.offenders, provenance)
    attempt = Attempt(
        account, prepared, catalogue, provenance, cursors, dict(expected_version or {}), on_error
    )
    try:
        results, written = _without_offenders(attempt)
    except Contradicted as error:
        _reject(account, error.offenders, provenance)
    if written is None:
        return BookingResult(results, None, [], [])
    _publish(account, written, trace_id)
    return BookingResult(results, written.sequence, written.positions, written.balances)


def _publish(account: Account, written: ChangedRows, trace_id: str) -> None:
    frame = live.book_frame(
        account=account.pk,
        sequence=written.sequence,
        positions=written.positions,
        balances=written.balances,
        trace_id=trace_id,
    )
    live.append_change(account=account.pk, first=written.first, last=written.sequence, frame=frame)


def record_all(
    *,
    account: Account,
    entries: Sequence[Entry],
    source: str,
    trace_id: str,
    now: datetime,
    sources: Mapping[str, str] | None = None,
    traces: Mapping[str, str] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Counter[EntryOutcome]:
    """Book any number of facts in one transaction, all or nothing; returns how many had which outcome.

    `sources` and `traces` map references to sources and trace ids of their own. A dry run does everything
    and takes it back. Books of the account wait meanwhile.
    Raises BatchRejection, whose offenders' indexes are those in `entries`.
    """
    provenance = Provenance(
        source=source, trace_id=trace_id, now=now, traces=traces or {}, sources=sources or {}
    )
    catalogue = catalogues.of(account)
    AccountHead.objects.get_or_create(account=account)
    outcomes: Counter[EntryOutcome] = Counter()
    changes: list[ChangedRows] = []
    try:
        # One transaction over all batches: half an import is worse than none.
        with transaction.atomic(durable=True):
            for start in range(0, len(entries), MAX_BATCH):
                chunk = entries[start : start + MAX_BATCH]
                prepared = prepare(account=account, entries=chunk, catalogue=catalogue, now=now).shifted(
                    start
                )
                attempt = Attempt(account, prepared, catalogue, provenance, (), {}, "reject")
                results, written = _as_a_whole(attempt)
                outcomes.update(result.outcome for result in results)
                changes += [written] if written else []
                if progress is not None:
                    progress(len(chunk))
            transaction.set_rollback(dry_run)
    except Contradicted as error:
        if dry_run:
            raise BatchRejection(error.offenders) from None
        _reject(account, error.offenders, provenance)
    for written in () if dry_run else changes:
        _publish(account, written, trace_id)
    return outcomes


def _as_a_whole(attempt: Attempt) -> tuple[list[EntryResult], ChangedRows | None]:
    """Book inside the caller's transaction. Raises Contradicted also for what fold or Postgres refuse."""
    try:
        # A savepoint: after an error of Postgres the transaction can still be asked which entry it is about.
        with transaction.atomic():
            return attempt.book()
    except (InvalidEntry, DataError) as error:
        if not attempt.set_aside(error):
            raise
        raise Contradicted(attempt.prepared.offenders) from error


def _reject(account: Account, offenders: Sequence[Offender], provenance: Provenance) -> None:
    """Keep the offenders, which nobody may lose, and refuse the batch."""
    quarantine.keep(
        account=account.pk,
        offenders=offenders,
        source=provenance.source,
        trace_id=provenance.trace_id,
        now=provenance.now,
    )
    raise BatchRejection(offenders)


def _without_offenders(attempt: Attempt) -> tuple[list[EntryResult], ChangedRows | None]:
    """Run the attempt; an entry that only the fold or Postgres refuses is set aside, the rest tried again."""
    while True:
        try:
            return _patiently(attempt)
        except (InvalidEntry, DataError) as error:
            if not attempt.set_aside(error):
                raise


def _patiently(attempt: Attempt) -> tuple[list[EntryResult], ChangedRows | None]:
    """Run the attempt, again when another transaction stood in the way or the connection was lost.

    A lost connection may have committed: then the repeat finds its own entries booked, and books none twice.
    """
    for delay in (*RETRY_SECONDS, None):
        try:
            return attempt.run()
        except sql.NoHead:
            AccountHead.objects.get_or_create(account=attempt.account)
        except (OperationalError, InterfaceError) as error:
            if delay is None or not _passes(error):
                raise
            log.info("booking again", account=attempt.account.pk, error=str(error), seconds=delay)
            time.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


def _passes(error: DatabaseError | InterfaceError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None)
    if state in _RETRIED:
        return True
    lost = state is None or state.startswith(("08", "57P"))
    if lost and not connection.in_atomic_block:
        connection.close()
        return True
    return False


def settle_quarantined(*, quarantined: int, settlement: str, who: str, now: datetime) -> bool:
    """Close an offender's case with what was decided; False if it was settled already or is not there."""
    return quarantine.settle(quarantined=quarantined, settlement=f"{who}: {settlement}", now=now)


def annotate(
    *,
    position: int,
    who: str,
    source: str,
    trace_id: str,
    now: datetime,
    tags: Sequence[str] | None = None,
    strategy: str | None = None,
    note: str | None = None,
    expected_revision: int | None = None,
) -> Position:
    """Change a position's tags, strategy or note (None leaves one as it is); its version does not move.

    Tags are trimmed, told apart by case, and kept in the order given. Returns the row as it is then.
    Raises Position.DoesNotExist, StaleAnnotation, ValueError for what is too long.
    """
    row, changed = edits.annotate(
        position=position,
        who=who,
        source=source,
        trace_id=trace_id,
        now=now,
        tags=tags,
        strategy=strategy,
        note=note,
        expected_revision=expected_revision,
    )
    if changed:
        _publish_row(row, kind="annotation", trace_id=trace_id)
    return row


def move(
    *, position: int, to: str, who: str, source: str, trace_id: str, now: datetime, reason: str = ""
) -> Position:
    """Move a position to another status, as an order does (OPEN → CLOSING and back); facts do the rest.

    Raises Position.DoesNotExist, and IllegalMove for what the table lacks or the size contradicts.
    """
    row, changed = edits.move(
        position=position, to=to, who=who, source=source, trace_id=trace_id, now=now, reason=reason
    )
    if changed:
        _publish_row(row, kind="book", trace_id=trace_id)
    return row


def set_archived(*, positions: Iterable[int], source: str, trace_id: str, now: datetime) -> int:
    """Take closed positions out of the working lists; returns how many. Nothing is deleted."""
    done = 0
    for row in edits.set_archived(positions=positions, source=source, trace_id=trace_id, now=now):
        _publish_row(row, kind="book", trace_id=trace_id)
        done += 1
    return done


def _publish_row(row: Position, *, kind: str, trace_id: str) -> None:
    frame = live.book_frame(
        account=row.account_id,
        sequence=row.sequence,
        positions=[serialise.position_row(row)],
        balances=[],
        trace_id=trace_id,
    )
    live.append_change(account=row.account_id, first=row.sequence, last=row.sequence, frame=frame, kind=kind)


def rebuild_account(
    *, account: Account, trace_id: str, now: datetime, write_back: bool, progress: Progress | None = None
) -> RebuildReport:
    """Fold all entries of an account again and report every difference; put it right only if `write_back`.

    Books wait while it runs. Raises what `record` raises.
    """
    provenance = Provenance(source="rebuild_book", trace_id=trace_id, now=now, reason="folded again")
    # One transaction: what is compared must not move, and is put right as a whole.
    with transaction.atomic(durable=True):
        head = sql.lock_head(account.pk)
        if head is None:
            return RebuildReport([], [], {})
        rebuilt = rebuild(account=account, head=head, progress=progress)
        written = put_right(account, head, rebuilt, provenance) if write_back else None
    if written is not None:
        _publish(account, written, trace_id)
    return rebuilt
