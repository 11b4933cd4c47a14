"""Writes one booking: rows from what was decided, sent in one pipeline, and the rows that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from positions.book import Entry, PositionState, plain
from positions.ledger import serialise, sql
from positions.ledger.fold import checkpoints
from positions.ledger.hash_chain import canonical_of, chained
from positions.ledger.rows import (
    ChangedRows,
    CountedCash,
    Cursor,
    EpisodeChange,
    LockedHead,
    PositionKey,
    Provenance,
    WriteSet,
)
from positions.models import Status

CHUNK = 100
EntryNames = dict[str, tuple[int | None, list[str] | None]]
"""By reference: the instrument's id, and the coins fed, as Entry stores them."""


def append(
    raw: Any, *, account: int, head: LockedHead, facts: list[Entry], names: EntryNames, provenance: Provenance
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


def write(writes: WriteSet) -> ChangedRows | None:
    """Write what facts did, inside the caller's transaction; None if the book did not change."""
    with sql.pipeline() as raw:
        sent = send(raw, writes)
    return sent()


def send(raw: Any, writes: WriteSet) -> Callable[[], ChangedRows | None]:
    """Send what facts did in the caller's pipeline; call what is returned after it for the rows written."""
    balances = [
        {"wallet": wallet, "asset": asset, "amount": plain(amount), "unknown": unknown}
        for (wallet, asset), (amount, unknown) in writes.balances.items()
        if amount or unknown
    ]
    changed = bool(writes.facts or writes.changes or balances)
    sequence = writes.head.sequence + changed
    common = {"account": writes.account, "now": writes.provenance.now, "sequence": sequence}
    inserted, episodes = _send_episodes(raw, writes, common)
    moved = sql.send(raw, sql.UPSERT_BALANCES, rows=sql.as_json(balances), **common) if balances else None
    if writes.checkpoints or writes.forgotten != {}:
        _send_checkpoints(raw, writes)
    if changed:
        _send_head(raw, writes, sequence)
    for cursor in writes.cursors:
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
                _frame_row(writes.account, change, row, ids)
                for change, row in zip(writes.changes, episodes, strict=True)
            ],
            balances=[serialise.balance_row(*row) for row in moved.fetchall()] if moved else [],
        )

    return written


def _entry_rows(
    facts: list[Entry], names: EntryNames, digest: bytes, provenance: Provenance
) -> tuple[list[dict[str, Any]], bytes]:
    rows = []
    for fact in facts:
        row: dict[str, Any] = dict(fact.to_plain())
        content = canonical_of(row)
        sequence = fact.received or 0
        source, trace_id = provenance.origin_of(fact)
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


def _send_episodes(raw: Any, writes: WriteSet, common: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Send ended episodes, then new ones, then open ones: a key has one open episode at any moment."""
    rows = [_episode_row(change) for change in writes.changes]
    ended: list[dict[str, Any]] = []
    fresh: list[dict[str, Any]] = []
    running: list[dict[str, Any]] = []
    heirs: list[dict[str, Any]] = []
    for n, change in enumerate(writes.changes):
        row = {"n": n, **rows[n]}
        if change.before is None:
            fresh.append(row)
            continue
        row["id"] = change.before.id
        (running if change.status in (Status.OPEN, Status.REDUCED, Status.CLOSING) else ended).append(row)
        if change.superseded_by:
            heirs.append({**row, "opening_ref": change.superseded_by})
    if ended:
        sql.send(raw, sql.UPDATE_POSITIONS, rows=sql.as_json(ended), count=len(ended), **common)
    inserted = sql.send(raw, sql.INSERT_POSITIONS, rows=sql.as_json(fresh), **common) if fresh else None
    if running:
        sql.send(raw, sql.UPDATE_POSITIONS, rows=sql.as_json(running), count=len(running), **common)
    if heirs:
        sql.send(raw, sql.SUPERSEDE, rows=sql.as_json(heirs), **common)
    if writes.changes:
        _send_events(raw, writes, rows, common)
    return inserted, rows


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


def _send_checkpoints(raw: Any, writes: WriteSet) -> None:
    if writes.forgotten is None:
        sql.send(raw, sql.FORGET_ALL_CHECKPOINTS, account=writes.account)
    elif writes.forgotten:
        gone = [
            {"instrument_id": key.instrument, "leg": key.leg, "since": since}
            for key, since in writes.forgotten.items()
        ]
        sql.send(raw, sql.FORGET_CHECKPOINTS, account=writes.account, rows=sql.as_json(gone))
    kept = writes.checkpoints
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
        sql.send(raw, sql.INSERT_CHECKPOINTS, account=writes.account, rows=sql.as_json(rows))
        keys = [{"instrument_id": key.instrument, "leg": key.leg} for key in {one.key for one in kept}]
        sql.send(
            raw,
            sql.THIN_CHECKPOINTS,
            account=writes.account,
            rows=sql.as_json(keys),
            dense=checkpoints.DENSE,
            sparse=checkpoints.SPARSE,
        )


def _send_events(raw: Any, writes: WriteSet, episodes: list[dict[str, Any]], common: dict[str, Any]) -> None:
    provenance = writes.provenance
    rows: list[dict[str, Any]] = []
    for change, row in zip(writes.changes, episodes, strict=True):
        for event in events_of(change, row):
            named = {"instrument_id": change.key.instrument, "leg": change.key.leg}
            rows.append({"n": len(rows), **named, **event})
    sequences = [fact.received for fact in writes.facts]
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


def _send_head(raw: Any, writes: WriteSet, sequence: int) -> None:
    sql.send(
        raw,
        sql.UPDATE_HEAD,
        account=writes.account,
        sequence=sequence,
        entry_count=writes.head.entry_count + len(writes.facts),
        digest=writes.digest,
        opened=orjson.dumps(writes.opened).decode(),
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
    before = change.before
    key = {
        "id": before.id if before else ids[change.key, row["opening_ref"]],
        "version": before.version + 1 if before else 1,
        "account": account,
    }
    return serialise.frame_row({**row, **key}, state=_state_of(change))


def _state_of(change: EpisodeChange) -> PositionState:
    """Return the state that the row keeps: of an episode that dissolved, its last one."""
    if change.after is not None:
        return change.after
    if change.before is None:
        raise ValueError(f"an episode of {change.key} has neither a before nor an after")
    return change.before.state
