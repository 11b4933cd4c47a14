"""The one door: every fact, correction and hand-made change of the book comes in through here.

The only writer of Entry, Position, PositionEvent, Checkpoint, Balance, AccountHead, FeedCursor and
QuarantinedEntry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from positions import live
from positions.book import Entry
from positions.ledger import booking, edits, quarantine, rehearsal, serialise
from positions.ledger.admission import EntryOutcome, EntryResult
from positions.ledger.booking import BatchRejection, OnError, StaleVersion
from positions.ledger.edits import StaleAnnotation
from positions.ledger.fold.rebuild import Progress, RebuildReport
from positions.ledger.rows import ChangedRows, Cursor, Provenance
from positions.models import Account, Position

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
    "rehearse",
    "set_archived",
    "settle_quarantined",
]


Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class BookingResult:
    """What a call of `record` did: one result per entry in the order given, and the rows that changed.

    `sequence` is the number of the account's change (None if nothing changed); rows are as in the book frame.
    """

    results: list[EntryResult]
    sequence: int | None
    positions: list[dict[str, Any]]
    balances: list[dict[str, Any]]

    def count(self, outcome: EntryOutcome) -> int:
        """Return how many entries had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


def record(
    *,
    account: Account,
    entries: Sequence[Entry | Mapping[str, str]],
    source: str,
    trace_id: str,
    now: datetime,
    cursor: Cursor | Sequence[Cursor] | None = None,
    expected_version: Mapping[int, int] | None = None,
    on_error: OnError = "quarantine",
    who: str = "",
    reason: str = "",
    traces: Mapping[str, str] | None = None,
) -> BookingResult:
    """Book up to 10,000 facts of one account, each once, in one transaction, and publish what changed.

    Entries may come in any order, repeated, and in plain form (`Entry.to_plain`). Given cursors move in
    the same transaction, also without entries. `expected_version` maps position ids to the versions that
    the caller has seen; `traces` maps references to trace ids of their own. Offenders go to the quarantine
    with their payload: with "quarantine" the rest is booked, with "reject" nothing is.
    Raises BatchRejection, StaleVersion, ValueError for a batch that is too large, and Django's DatabaseError
    when Postgres stays busy after three retries.
    """
    results, rows = booking.book_batch(
        account=account,
        entries=entries,
        provenance=Provenance(source, trace_id, now, who, reason, traces or {}),
        cursors=[cursor] if isinstance(cursor, Cursor) else cursor or (),
        expected=expected_version or {},
        on_error=on_error,
    )
    if rows is None:
        return BookingResult(results, None, [], [])
    _publish(account, rows, trace_id)
    return BookingResult(results, rows.sequence, rows.positions, rows.balances)


def _publish(account: Account, rows: ChangedRows, trace_id: str) -> None:
    frame = live.book_frame(
        account=account.pk,
        sequence=rows.sequence,
        positions=rows.positions,
        balances=rows.balances,
        trace_id=trace_id,
    )
    live.append_change(account=account.pk, first=rows.first, last=rows.sequence, frame=frame)


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
    """Book any number of facts in one transaction, all or nothing; return how many had which outcome.

    `sources` and `traces` map references to sources and trace ids of their own. A dry run does everything
    and rolls it back. Other bookings of the account wait meanwhile.
    Raises BatchRejection, whose offenders' indexes are those in `entries`.
    """
    provenance = Provenance(source, trace_id, now, traces=traces or {}, sources=sources or {})
    outcomes, changes = booking.book_all(
        account=account, entries=entries, provenance=provenance, dry_run=dry_run, progress=progress
    )
    for rows in changes:
        _publish(account, rows, trace_id)
    return outcomes


def rehearse(
    *,
    account: Account,
    entries: Sequence[Entry],
    source: str,
    trace_id: str,
    now: datetime,
    read: Callable[[], Found],
) -> tuple[Found, Found]:
    """Return what `read` finds before and after booking these entries; nothing stays booked or is published.

    The account's bookings wait meanwhile. Raises BatchRejection where `record` would.
    """
    provenance = Provenance(source, trace_id, now)
    return rehearsal.rehearse(account=account, entries=entries, provenance=provenance, read=read)


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

    Tags are trimmed, distinguished by case, and kept in the order given. Returns the row as it is then.
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
    """Move a position to another status, as an order does (OPEN → CLOSING and back).

    Raises Position.DoesNotExist, and IllegalStatusMove for what the table lacks or the size contradicts.
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
    """Fold all entries of an account again and report every discrepancy; correct them only if `write_back`.

    Bookings of the account wait meanwhile. Raises what `record` raises.
    """
    provenance = Provenance(source="rebuild_book", trace_id=trace_id, now=now, reason="folded again")
    report, rows = booking.rebuild_account(
        account=account, provenance=provenance, write_back=write_back, progress=progress
    )
    if rows is not None:
        _publish(account, rows, trace_id)
    return report
