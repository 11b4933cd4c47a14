"""Changes of a position that no fact makes: annotations, moves between statuses, the archive's flag.

Part of `ingest`, which is the door to these too and publishes what they return.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from positions.ledger import serialise, sql, statuses
from positions.models import OPEN_STATUSES, AccountHead, Position, PositionEvent

MAX_TAGS = 20
_ANNOTATIONS = ("tags", "strategy", "note")


class StaleAnnotation(Exception):
    """Somebody else annotated the position meanwhile. `expected` and `actual` are revisions."""

    def __init__(self, *, position: int, expected: int, actual: int) -> None:
        super().__init__(f"position {position}'s annotations are at revision {actual}, not {expected}")
        self.position, self.expected, self.actual = position, expected, actual


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
) -> tuple[Position, bool]:
    """Return the row as it is then, and whether it changed. See `ingest.annotate`."""
    wanted = {"tags": None if tags is None else _clean(tags), "strategy": strategy, "note": note}
    _check_lengths(strategy)
    account = Position.objects.values_list("account", flat=True).get(pk=position)
    # One transaction: the row, its event and the account's change stand or fall together.
    with transaction.atomic(durable=True):
        sql.lock_head(account)
        row = Position.objects.get(pk=position)
        if expected_revision is not None and row.annotation_revision != expected_revision:
            raise StaleAnnotation(
                position=position, expected=expected_revision, actual=row.annotation_revision
            )
        changed = {
            name: value for name, value in wanted.items() if value is not None and value != getattr(row, name)
        }
        if not changed:
            return row, False
        before = {name: getattr(row, name) for name in changed}
        row.annotation_revision += 1
        _save(row, changed, ["annotation_revision"], now)
        _event(row, "annotated", before, changed, who=who, source=source, trace_id=trace_id, now=now)
    return row, True


def move(
    *, position: int, to: str, who: str, source: str, trace_id: str, now: datetime, reason: str = ""
) -> tuple[Position, bool]:
    """Return the row as it is then, and whether it changed. See `ingest.move`."""
    account = Position.objects.values_list("account", flat=True).get(pk=position)
    # One transaction: a status never changes without its event.
    with transaction.atomic(durable=True):
        sql.lock_head(account)
        row = Position.objects.get(pk=position)
        before = row.status
        statuses.check(position=position, before=before, after=to)
        if (to in OPEN_STATUSES) is not bool(row.quantity):
            raise statuses.IllegalStatusMove(position=position, before=before, after=to)
        if to == before:
            return row, False
        row.version += 1
        _save(row, {"status": to}, ["version"], now)
        figures = serialise.figures(serialise.position_row(row))
        _event(
            row, "moved", figures, figures, status_before=before,
            who=who, source=source, trace_id=trace_id, now=now, reason=reason,
        )  # fmt: skip
    return row, True


def set_archived(
    *, positions: Iterable[int], source: str, trace_id: str, now: datetime
) -> Iterator[Position]:
    """Yield each row after its commit. See `ingest.set_archived`."""
    rows = Position.objects.filter(pk__in=list(positions), archived_at__isnull=True, closed_at__isnull=False)
    for row in rows.order_by("account", "pk"):
        # One transaction per row: the flag and its event; a long archive must not block bookings.
        with transaction.atomic(durable=True):
            sql.lock_head(row.account_id)
            _save(row, {"archived_at": now}, [], now)
            _event(row, "archived", None, None, who="", source=source, trace_id=trace_id, now=now)
        yield row


def _save(row: Position, values: dict[str, Any], counters: list[str], now: datetime) -> None:
    """Write what changed, as the account's next change."""
    AccountHead.objects.filter(account=row.account_id).update(sequence=F("sequence") + 1)
    row.sequence = AccountHead.objects.values_list("sequence", flat=True).get(account=row.account_id)
    row.updated_at = now
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=[*values, *counters, "sequence", "updated_at"])


def _event(
    row: Position,
    kind: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    who: str,
    source: str,
    trace_id: str,
    now: datetime,
    reason: str = "",
    status_before: str | None = None,
) -> None:
    PositionEvent.objects.create(
        position=row,
        kind=kind,
        status_before=row.status if status_before is None else status_before,
        status_after=row.status,
        before=before,
        after=after,
        at=now,
        recorded_at=now,
        who=who,
        source=source,
        reason=reason,
        trace_id=trace_id,
    )


def _clean(tags: Sequence[str]) -> list[str]:
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    if len(cleaned) > MAX_TAGS or any(len(tag) > 40 for tag in cleaned):
        raise ValueError(f"at most {MAX_TAGS} tags of at most 40 characters")
    return cleaned


def _check_lengths(strategy: str | None) -> None:
    if strategy is not None and len(strategy) > 80:
        raise ValueError("a strategy's name has at most 80 characters")
