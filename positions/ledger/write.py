"""Writes one booking: rows from what was decided, sent in one pipeline, and the frame that tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from positions.book import Entry, plain
from positions.ledger import serialise, sql
from positions.ledger.fold import checkpoints
from positions.ledger.hash_chain import canonical_of, chained
from positions.ledger.rows import (
    BalanceAmounts,
    CountedCash,
    EpisodeChange,
    LockedHead,
    PositionKey,
    StateCheckpoint,
)
from positions.models import Status

CHUNK = 100
Names = dict[str, tuple[int | None, list[str] | None]]
"""By reference: the instrument's id, and the coins fed, as Entry stores them."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who booked, from where, why, and when."""

    source: str
    trace_id: str
    now: datetime
    who: str = ""
    reason: str = ""
    traces: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def trace_of(self, fact: Entry) -> str:
        """Return the trace id that a fact came with: its own, else that of the batch."""
        return self.traces.get(fact.venue_ref, self.trace_id)

    def source_of(self, fact: Entry) -> str:
        """Return the source that a fact came from: its own, else that of the batch."""
        return self.sources.get(fact.venue_ref, self.source)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a feed was read: without a gap through `through`; `position` is the adapter's own mark."""

    feed: str
    through: datetime | None
    position: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Booking:
    """All that one transaction writes."""

    account: int
    head: LockedHead
    facts: list[Entry]
    digest: bytes
    changes: list[EpisodeChange]
    balances: BalanceAmounts
    provenance: Provenance
    opened: dict[str, datetime]
    cursors: Sequence[Cursor] = ()
    checkpoints: Sequence[StateCheckpoint] = ()
    forgotten: Mapping[PositionKey, datetime] | None = field(default_factory=dict)
    """From when on a key's checkpoints are wrong; None = all of the account are dropped."""


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """What the live log is told after the commit: changes `first` to `sequence`, and the rows as they are."""

    first: int
    sequence: int
    positions: list[dict[str, Any]]
    balances: list[dict[str, Any]]

    def followed_by(self, later: ChangedRows) -> ChangedRows:
        """Return both as one; rows of the later one replace those of this one."""
        positions = {row["id"]: row for row in (*self.positions, *later.positions)}
        balances = {(row["wallet"], row["asset"]): row for row in (*self.balances, *later.balances)}
        return ChangedRows(self.first, later.sequence, list(positions.values()), list(balances.values()))


def append(
    raw: Any, *, account: int, head: LockedHead, facts: list[Entry], names: Names, provenance: Provenance
) -> bytes:
    """Send the facts to append and return the end of their hash chain.

    They go ahead, in chunks, so that Postgres writes them while the book is folded here.
    """
    digest = head.digest
    for start in range(0, len(facts), CHUNK):
        rows, digest = _entry_rows(facts[start : start + CHUNK], names, digest, provenance)
        sql.send(
            raw,
            sql.INSERT_ENTRIES,
            account=account,
            now=provenance.now,
            rows=sql.as_json(rows),
        )
    return digest


def write(booking: Booking) -> ChangedRows | None:
    """Write what facts did, inside the caller's transaction; None if the book did not change."""
    with sql.pipeline() as raw:
        sent = send(raw, booking)
    return sent()


def send(raw: Any, booking: Booking) -> Callable[[], ChangedRows | None]:
    """Send the same in the caller's pipeline; what is returned tells, after it, what was written."""
    balances = [
        {"wallet": wallet, "asset": asset, "amount": plain(amount), "unknown": unknown}
        for (wallet, asset), (amount, unknown) in booking.balances.items()
        if amount or unknown
    ]
    changed = bool(booking.facts or booking.changes or balances)
    sequence = booking.head.sequence + changed
    common = {"account": booking.account, "now": booking.provenance.now, "sequence": sequence}
    inserted, episodes = _send_episodes(raw, booking, common)
    moved = sql.send(raw, sql.UPSERT_BALANCES, rows=sql.as_json(balances), **common) if balances else None
    _send_checkpoints(raw, booking)
    if changed:
        _send_head(raw, booking, sequence)
    for cursor in booking.cursors:
        _send_cursor(raw, cursor, common)

    def written() -> ChangedRows | None:
        if not changed:
            return None
        ids = (
            {(PositionKey(row[1], row[2]), row[3]): row[0] for row in inserted.fetchall()} if inserted else {}
        )
        return ChangedRows(
            first=sequence,
            sequence=sequence,
            positions=[
                _frame_row(booking.account, change, row, ids)
                for change, row in zip(booking.changes, episodes, strict=True)
            ],
            balances=[serialise.balance_row(*row) for row in moved.fetchall()] if moved else [],
        )

    return written


def _entry_rows(
    facts: list[Entry], names: Names, digest: bytes, provenance: Provenance
) -> tuple[list[dict[str, Any]], bytes]:
    rows = []
    for fact in facts:
        row: dict[str, Any] = dict(fact.to_plain())
        content = canonical_of(row)
        sequence, source, trace_id = (
            fact.received or 0,
            provenance.source_of(fact),
            provenance.trace_of(fact),
        )
        digest = chained(
            digest,
            sequence=sequence,
            received_at=provenance.now,
            source=source,
            trace_id=trace_id,
            content=content,
        )
        instrument, coins = names[fact.venue_ref]
        row.update(
            sequence=sequence,
            instrument_id=instrument,
            coins=coins,
            content=content,
            digest=digest.hex(),
            source=source,
            trace_id=trace_id,
        )
        rows.append(row)
    return rows, digest


def _send_episodes(raw: Any, booking: Booking, common: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Ended ones first, then new ones, then those that are open: one open episode per key at any moment."""
    rows = [_episode_row(change) for change in booking.changes]
    ended: list[dict[str, Any]] = []
    fresh: list[dict[str, Any]] = []
    running: list[dict[str, Any]] = []
    heirs: list[dict[str, Any]] = []
    for n, change in enumerate(booking.changes):
        row = {"n": n, **rows[n]}
        if change.before is None:
            fresh.append(row)
            continue
        row["id"] = change.before.id
        (running if change.status in (Status.OPEN, Status.REDUCED, Status.CLOSING) else ended).append(row)
        if change.superseded_by:
            heirs.append({**row, "opening_ref": change.superseded_by})
    if ended:
        _update(raw, ended, common)
    inserted = sql.send(raw, sql.INSERT_POSITIONS, rows=sql.as_json(fresh), **common) if fresh else None
    if running:
        _update(raw, running, common)
    if heirs:
        sql.send(raw, sql.SUPERSEDE, rows=sql.as_json(heirs), **common)
    if booking.changes:
        _send_events(raw, booking, rows, common)
    return inserted, rows


def _update(raw: Any, rows: list[dict[str, Any]], common: dict[str, Any]) -> None:
    sql.send(raw, sql.UPDATE_POSITIONS, rows=sql.as_json(rows), count=len(rows), **common)


def _episode_row(change: EpisodeChange) -> dict[str, Any]:
    if change.after is not None:
        folded = {**serialise.columns(change.after), "state": serialise.dumps(change.after)}
    else:
        folded = serialise.voided(change.before.state) if change.before else {}
    return {
        "instrument_id": change.key.instrument,
        "leg": change.key.leg,
        "status": change.status,
        "cash": _plain_cash(change.cash),
        **folded,
    }


def _plain_cash(cash: CountedCash) -> dict[str, list[Any]]:
    return {wallet: [plain(amount), unknown] for wallet, (amount, unknown) in cash.items()}


def _send_checkpoints(raw: Any, booking: Booking) -> None:
    if booking.forgotten is None:
        sql.send(raw, sql.FORGET_ALL_CHECKPOINTS, account=booking.account)
    elif booking.forgotten:
        gone = [
            {"instrument_id": key.instrument, "leg": key.leg, "since": since}
            for key, since in booking.forgotten.items()
        ]
        sql.send(raw, sql.FORGET_CHECKPOINTS, account=booking.account, rows=sql.as_json(gone))
    kept = booking.checkpoints
    if kept:
        rows = [
            {
                "instrument_id": one.key.instrument,
                "leg": one.key.leg,
                "at": one.state.last_time,
                "cash": _plain_cash(one.cash),
                "state": serialise.dumps(one.state),
            }
            for one in kept
        ]
        sql.send(raw, sql.INSERT_CHECKPOINTS, account=booking.account, rows=sql.as_json(rows))
        keys = [{"instrument_id": key.instrument, "leg": key.leg} for key in {one.key for one in kept}]
        sql.send(
            raw,
            sql.THIN_CHECKPOINTS,
            account=booking.account,
            rows=sql.as_json(keys),
            dense=checkpoints.DENSE,
            sparse=checkpoints.SPARSE,
        )


def _send_events(raw: Any, booking: Booking, episodes: list[dict[str, Any]], common: dict[str, Any]) -> None:
    provenance = booking.provenance
    rows: list[dict[str, Any]] = []
    for change, row in zip(booking.changes, episodes, strict=True):
        for event in events_of(change, row):
            named = {"instrument_id": change.key.instrument, "leg": change.key.leg}
            rows.append({"n": len(rows), **named, **event})
    sequences = [fact.received for fact in booking.facts]
    sql.send(
        raw,
        sql.INSERT_EVENTS,
        rows=sql.as_json(rows),
        first=sequences[0] if sequences else None,
        last=sequences[-1] if sequences else None,
        who=provenance.who,
        source=provenance.source,
        reason=provenance.reason,
        trace_id=provenance.trace_id,
        account=common["account"],
        now=common["now"],
    )


def events_of(change: EpisodeChange, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of an episode's change: one per move between statuses, one if only figures moved."""
    before = serialise.figures_of(change.before.state) if change.before else None
    old = change.before.status if change.before else ""
    if change.after is None:
        known = change.before.state if change.before else None
        return [
            {
                "kind": "voided", "status_before": old, "status_after": Status.VOID, "before": before,
                "after": None, "opening_ref": known.opened_by if known else None,
                "at": known.last_time if known else None,
            }
        ]  # fmt: skip
    after = change.after
    event = {
        "status_before": old, "status_after": change.status,
        "before": before, "after": serialise.figures(row),
        "opening_ref": after.opened_by, "at": after.last_time,
    }  # fmt: skip
    if change.corrected:
        return [{**event, "kind": "corrected"}]
    ended = change.status in (Status.CLOSED, Status.LIQUIDATED)
    opened = {
        **event, "kind": "opened", "status_before": "", "status_after": Status.OPEN, "before": None,
        "at": after.opened_at,
    }  # fmt: skip
    if change.before is None and not ended:
        return [{**opened, "status_after": change.status}]
    if change.before is None:
        return [
            {**opened, "after": None},
            {**event, "kind": change.status.lower(), "status_before": Status.OPEN},
        ]
    kind = change.status.lower() if ended and change.status != old else "changed"
    return [{**event, "kind": kind}]


def _send_head(raw: Any, booking: Booking, sequence: int) -> None:
    sql.send(
        raw,
        sql.UPDATE_HEAD,
        account=booking.account,
        sequence=sequence,
        entry_count=booking.head.entry_count + len(booking.facts),
        digest=booking.digest,
        opened=orjson.dumps(booking.opened).decode(),
    )


def _send_cursor(raw: Any, cursor: Cursor, common: dict[str, Any]) -> None:
    sql.send(
        raw,
        sql.UPSERT_CURSOR,
        account=common["account"],
        now=common["now"],
        feed=cursor.feed,
        through=cursor.through,
        position=orjson.dumps(cursor.position).decode(),
    )


def _frame_row(
    account: int, change: EpisodeChange, row: dict[str, Any], ids: dict[tuple[PositionKey, str], int]
) -> dict[str, Any]:
    opening = row["opening_ref"]
    return serialise.frame_row(
        {
            **row,
            "id": change.before.id if change.before else ids[change.key, opening],
            "version": change.before.version + 1 if change.before else 1,
            "account": account,
        }
    )
