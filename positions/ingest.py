"""The one door: every fact, correction and hand-made change of the book comes in through here.

The only writer of Entry, Position, PositionEvent, Balance, AccountHead, FeedCursor and QuarantinedEntry.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from positions import catalogue as catalogues
from positions import ledger_sql as sql
from positions import live, quarantine
from positions.admission import Batch, Outcome, Result, admit, effects
from positions.book import Contract, Entry
from positions.catalogue import Catalogue
from positions.chain import canonical
from positions.edits import StaleAnnotation, annotate, move, set_archived
from positions.folding import Folding, is_opening_balance
from positions.history import Ledger, coin_key
from positions.ledger_rows import Head, Loaded
from positions.ledger_write import Booking, Cursor, Provenance, Written, write
from positions.models import Account, AccountHead, QuarantineReason
from positions.preparation import Offender, Prepared, par_currencies, prepare
from positions.rebuild import Progress, Rebuilt, rebuild

__all__ = [
    "Cursor",
    "Outcome",
    "Recorded",
    "Rejected",
    "Result",
    "StaleAnnotation",
    "StaleVersion",
    "annotate",
    "move",
    "rebuild_account",
    "record",
    "set_archived",
]

MAX_BATCH = 10_000
RETRY_SECONDS = (0.1, 0.2, 0.4)
# lock not available, deadlock, serialization failure
_RETRIED = frozenset({"55P03", "40P01", "40001"})

log = structlog.get_logger("ingest")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a call of `record` did: one result per entry in the order given, and the rows that changed.

    `sequence` is the account's change (None if nothing changed); rows are those of the book frame.
    """

    results: list[Result]
    sequence: int | None
    positions: list[dict[str, Any]]
    balances: list[dict[str, Any]]

    def count(self, outcome: Outcome) -> int:
        """Return how many entries had this outcome."""
        return sum(result.outcome is outcome for result in self.results)


class Rejected(ValueError):
    """Nothing of the batch was booked. `offenders` names each entry, why, and its index in the batch."""

    def __init__(self, offenders: Sequence[Offender]) -> None:
        shown = "; ".join(offender.detail for offender in offenders[:5])
        more = f" and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        super().__init__(f"nothing was booked: {shown}{more}")
        self.offenders = list(offenders)


class StaleVersion(Exception):
    """The position has moved since it was looked at. `expected` and `actual` are versions; `state` is now."""

    def __init__(self, *, position: int, expected: int, actual: int | None, state: dict[str, str]) -> None:
        seen = f"is at version {actual} ({state})" if actual is not None else "does not exist"
        super().__init__(f"position {position} {seen}, not at version {expected}")
        self.position, self.expected, self.actual, self.state = position, expected, actual, state


def record(
    *,
    account: Account,
    entries: Sequence[Entry | Mapping[str, str]],
    source: str,
    trace_id: str,
    now: datetime,
    cursor: Cursor | None = None,
    expected_version: Mapping[int, int] | None = None,
    on_error: Literal["quarantine", "reject"] = "quarantine",
    who: str = "",
    reason: str = "",
) -> Recorded:
    """Book up to 10,000 facts of one account, each once, in one transaction, and tell the live log.

    Entries may come in any order, repeated, and in plain form (`Entry.to_plain`). A given cursor moves in
    the same transaction, also without entries. `expected_version` maps position ids to the versions that
    the caller has seen. Offenders go to the quarantine with their payload: with "quarantine" the rest is
    booked, with "reject" nothing is.
    Raises Rejected, StaleVersion, ValueError for a batch that is too large, and Django's DatabaseError when
    Postgres stays busy after three retries.
    """
    if len(entries) > MAX_BATCH:
        raise ValueError(f"a batch has at most {MAX_BATCH} entries, this one {len(entries)}")
    provenance = Provenance(source=source, trace_id=trace_id, now=now, who=who, reason=reason)
    catalogue = catalogues.of(account)
    prepared = prepare(account=account, entries=entries, catalogue=catalogue, now=now)
    if prepared.offenders and on_error == "reject":
        _reject(account, prepared.offenders, provenance)
    attempt = _Attempt(
        account, prepared, catalogue, provenance, cursor, dict(expected_version or {}), on_error
    )
    try:
        results, written = _patiently(attempt)
    except _Contradicted as error:
        _reject(account, error.offenders, provenance)
    if written is None:
        return Recorded(results, None, [], [])
    _publish(account, written, trace_id)
    return Recorded(results, written.sequence, written.positions, written.balances)


def _publish(account: Account, written: Written, trace_id: str) -> None:
    frame = live.book_frame(
        account=account.pk,
        sequence=written.sequence,
        positions=written.positions,
        balances=written.balances,
        trace_id=trace_id,
    )
    live.append_change(account=account.pk, first=written.first, last=written.sequence, frame=frame)


class _Contradicted(Exception):
    def __init__(self, offenders: list[Offender]) -> None:
        super().__init__()
        self.offenders = offenders


def _reject(account: Account, offenders: Sequence[Offender], provenance: Provenance) -> None:
    """Keep the offenders, which nobody may lose, and refuse the batch."""
    quarantine.keep(
        account=account.pk,
        offenders=offenders,
        source=provenance.source,
        trace_id=provenance.trace_id,
        now=provenance.now,
    )
    raise Rejected(offenders)


def _patiently(attempt: _Attempt) -> tuple[list[Result], Written | None]:
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


@dataclass(slots=True)
class _Attempt:
    """One transaction's worth of booking, repeatable as a whole."""

    account: Account
    prepared: Prepared
    catalogue: Catalogue
    provenance: Provenance
    cursor: Cursor | None
    expected: dict[int, int]
    on_error: str

    def run(self) -> tuple[list[Result], Written | None]:
        # One transaction: facts, what they change, the chain's head and the cursor stand or fall together.
        with transaction.atomic(durable=True):
            loaded = self._load()
            batch = admit(self.prepared.entries, loaded=loaded, now=self.provenance.now)
            offenders = [*self.prepared.offenders, *_conflicting(batch)]
            if offenders and self.on_error == "reject":
                raise _Contradicted(offenders)
            written = self._write(loaded, batch)
            quarantine.keep(
                account=self.account.pk,
                offenders=offenders,
                source=self.provenance.source,
                trace_id=self.provenance.trace_id,
                now=self.provenance.now,
            )
        for offender in self.prepared.offenders:
            batch.results[offender.index] = Result(
                offender.venue_ref, Outcome.QUARANTINED, None, offender.detail
            )
        return [batch.results[index] for index in sorted(batch.results)], written

    def _load(self) -> Loaded:
        entries = [entry for _, entry in self.prepared.entries]
        refs = {entry.venue_ref for entry in entries} | {entry.target for entry in entries if entry.target}
        loaded, versions = sql.load(
            account=self.account.pk,
            refs=list(refs),
            contracts=self._contracts(entries),
            earliest=min((entry.time for entry in entries), default=self.provenance.now),
            versions=self.expected,
        )
        self._check_versions(versions)
        return loaded

    def _contracts(self, entries: Iterable[Entry | None]) -> dict[int, Contract]:
        """The instruments and coins whose positions these entries move."""
        folding = self._folding(None)
        return {traded.id: traded.contract for entry in entries for traded in folding.parts(entry)}

    def _check_versions(self, rows: Sequence[tuple[Any, ...]]) -> None:
        found = {row[0]: row for row in rows}
        for position, expected in self.expected.items():
            row = found.get(position)
            if row is None or row[1] != expected:
                state = {"status": row[2], "quantity": str(row[3])} if row else {}
                raise StaleVersion(
                    position=position, expected=expected, actual=row[1] if row else None, state=state
                )

    def _folding(self, loaded: Loaded | None, facts: list[Entry] | None = None) -> Folding:
        return Folding(
            catalogue=self.catalogue,
            par=par_currencies(),
            opened=dict(loaded.head.opened) if loaded else {},
            last=loaded.last if loaded else {},
            facts=facts or [],
            history=Ledger(self.account.pk, {}),
        )

    def _write(self, loaded: Loaded, batch: Batch) -> Written | None:
        self.catalogue.load_for(loaded.known.values(), par=par_currencies())
        changed = effects(batch, loaded=loaded)
        folding = self._folding(loaded, list(loaded.known.values()))
        _open_wallets(folding, batch)
        contracts = self._contracts(entry for effect in changed for entry in (effect.before, effect.after))
        folding.history = Ledger(self.account.pk, contracts)
        missing = {key: value for key, value in contracts.items() if key not in loaded.looked_up}
        if missing:
            loaded.last.update(sql.last_episodes(account=self.account.pk, contracts=missing))
        folding.run(changed)
        written = write(
            Booking(
                account=self.account.pk,
                head=loaded.head,
                facts=batch.facts,
                names={fact.venue_ref: self._names(fact, folding) for fact in batch.facts},
                changes=folding.changes,
                balances=folding.balances,
                provenance=self.provenance,
                opened=folding.opened,
                cursor=self.cursor,
            )
        )
        reopened = folding.opened != loaded.head.opened and loaded.head.entry_count
        return self._recount(written) if reopened else written

    def _recount(self, written: Written | None) -> Written | None:
        """An opening balance that came after other facts: what they did before T0 leaves the balances."""
        head = sql.lock_head(self.account.pk)
        if written is None or head is None:
            return written
        again = _put_right(self.account, head, rebuild(account=self.account, head=head), self.provenance)
        return written if again is None else written.followed_by(again)

    def _names(self, fact: Entry, folding: Folding) -> tuple[int | None, list[str]]:
        market = self.catalogue.instrument(fact.instrument) if fact.instrument else None
        coins = [traded.symbol for traded in folding.parts(fact) if traded.is_coin]
        return market.id if market else None, [coin_key(self.account.pk, coin) for coin in coins]


def rebuild_account(
    *, account: Account, trace_id: str, now: datetime, write_back: bool, progress: Progress | None = None
) -> Rebuilt:
    """Fold all entries of an account again and report every difference; put it right only if `write_back`.

    Books wait while it runs. Raises what `record` raises.
    """
    provenance = Provenance(source="rebuild_book", trace_id=trace_id, now=now, reason="folded again")
    # One transaction: what is compared must not move, and is put right as a whole.
    with transaction.atomic(durable=True):
        head = sql.lock_head(account.pk)
        if head is None:
            return Rebuilt([], [], {})
        rebuilt = rebuild(account=account, head=head, progress=progress)
        written = _put_right(account, head, rebuilt, provenance) if write_back else None
    if written is not None:
        _publish(account, written, trace_id)
    return rebuilt


def _put_right(account: Account, head: Head, rebuilt: Rebuilt, provenance: Provenance) -> Written | None:
    return write(
        Booking(
            account=account.pk,
            head=head,
            facts=[],
            names={},
            changes=rebuilt.changes,
            balances=rebuilt.balances,
            provenance=provenance,
            opened=head.opened,
        )
    )


def _conflicting(batch: Batch) -> list[Offender]:
    return [
        Offender(
            index=one.index,
            venue_ref=one.refused.venue_ref,
            reason=QuarantineReason.CONFLICT,
            detail=one.detail,
            content=canonical(one.refused),
            conflicts_with=one.kept.venue_ref,
        )
        for one in batch.contradictions
    ]


def _open_wallets(folding: Folding, batch: Batch) -> None:
    for fact in batch.facts:
        if is_opening_balance(fact):
            folding.opened.setdefault(fact.wallet or "", fact.time)
