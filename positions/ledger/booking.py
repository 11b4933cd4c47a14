"""One booking: a batch of facts in one transaction, repeated when disturbed, its offenders in the quarantine.

`ingest` calls `book_batch` and `book_all`. A batch goes through `commit` (retry, set aside), `run` (the
transaction) and `book`: load under the lock of the account's head, admit, fold, write.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog
from django.db import DataError, InterfaceError, OperationalError, transaction

from positions.book import Entry, InvalidEntry, Kind
from positions.ledger import instruments as catalogues
from positions.ledger import quarantine, sql
from positions.ledger.admission import (
    AdmittedBatch,
    Contradiction,
    EntryOutcome,
    EntryResult,
    admit,
    effective_entry,
    effects,
)
from positions.ledger.fold.advance import Folding
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.rebuild import Progress, RebuildReport, rebuild
from positions.ledger.fold.rules import opened_wallets
from positions.ledger.hash_chain import canonical
from positions.ledger.history import PostgresHistory, coin_key
from positions.ledger.instruments import Catalogue, par_currencies
from positions.ledger.prepare import Offender, PreparedBatch, payload, prepare
from positions.ledger.rows import ChangedRows, Cursor, LedgerExcerpt, LockedHead, Provenance, WriteSet
from positions.ledger.write import append, send, write
from positions.models import Account, AccountHead, QuarantineReason

MAX_BATCH = 10_000
MAX_SEARCHES = 16
RETRY_SECONDS = (0.1, 0.2, 0.4)
_NUMBER_TOO_LARGE = "22003"

OnError = Literal["quarantine", "reject"]
Booked = tuple[list[EntryResult], ChangedRows | None]
"""One result per entry, in the order given, and the rows that changed; None if none did."""

log = structlog.get_logger("ingest")


class BatchRejection(ValueError):
    """Nothing of the batch was booked. `offenders` names each entry, why, and its index in the batch."""

    def __init__(self, offenders: Sequence[Offender]) -> None:
        shown = "; ".join(offender.detail for offender in offenders[:5])
        more = f" and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        super().__init__(f"nothing was booked: {shown}{more}")
        self.offenders = list(offenders)


class StaleVersion(Exception):
    """The position has changed since it was read. `expected` and `actual` are versions; `state` is now."""

    def __init__(self, *, position: int, expected: int, actual: int | None, state: dict[str, str]) -> None:
        seen = f"is at version {actual} ({state})" if actual is not None else "does not exist"
        super().__init__(f"position {position} {seen}, not at version {expected}")
        self.position, self.expected, self.actual, self.state = position, expected, actual, state


def book_batch(
    *,
    account: Account,
    entries: Sequence[Entry | Mapping[str, str]],
    provenance: Provenance,
    cursors: Sequence[Cursor],
    expected: Mapping[int, int],
    on_error: OnError,
) -> Booked:
    """Book a batch of one account in a transaction of its own. See `ingest.record`.

    Raises BatchRejection, StaleVersion, and Django's DatabaseError when Postgres stays busy.
    """
    if len(entries) > MAX_BATCH:
        raise ValueError(f"a batch has at most {MAX_BATCH} entries, this one {len(entries)}")
    catalogue, par = catalogues.of(account), par_currencies()
    prepared = prepare(account=account, entries=entries, catalogue=catalogue, par=par, now=provenance.now)
    return Booking(account, prepared, catalogue, par, provenance, cursors, expected, on_error).commit()


def book_all(
    *,
    account: Account,
    entries: Sequence[Entry],
    provenance: Provenance,
    dry_run: bool,
    progress: Progress | None,
) -> tuple[Counter[EntryOutcome], list[ChangedRows]]:
    """Book any number of facts, all or nothing. See `ingest.record_all`.

    Raises BatchRejection; the offenders are kept then, except by a dry run.
    """
    catalogue, par = catalogues.of(account), par_currencies()
    AccountHead.objects.get_or_create(account=account)
    outcomes: Counter[EntryOutcome] = Counter()
    changes: list[ChangedRows] = []
    try:
        # One transaction over all batches: half an import is worse than none.
        with transaction.atomic(durable=True):
            for start in range(0, len(entries), MAX_BATCH):
                chunk = entries[start : start + MAX_BATCH]
                batch = prepare(
                    account=account, entries=chunk, catalogue=catalogue, par=par, now=provenance.now
                )
                booking = Booking(account, batch.shifted(start), catalogue, par, provenance, (), {}, "reject")
                results, rows = booking.book_or_reject()
                outcomes.update(result.outcome for result in results)
                changes += [rows] if rows else []
                if progress is not None:
                    progress(len(chunk))
            transaction.set_rollback(dry_run)
    except BatchRejection as rejection:
        if not dry_run:
            quarantine.keep(account=account.pk, offenders=rejection.offenders, provenance=provenance)
        raise
    return outcomes, [] if dry_run else changes


def rebuild_account(
    *, account: Account, provenance: Provenance, write_back: bool, progress: Progress | None
) -> tuple[RebuildReport, ChangedRows | None]:
    """Fold all entries of an account again; write what differs only if `write_back`."""
    # One transaction: what is compared must not change meanwhile, and is corrected as a whole.
    with transaction.atomic(durable=True):
        head = sql.lock_head(account.pk)
        if head is None:
            return RebuildReport([], [], {}), None
        report = rebuild(account=account, head=head, progress=progress)
        return report, _write_rebuild(account, head, report, provenance) if write_back else None


@dataclass(slots=True)
class Booking:
    """One batch on its way into an account's ledger. `expected` maps position ids to versions."""

    account: Account
    prepared: PreparedBatch
    catalogue: Catalogue
    par: frozenset[str]
    provenance: Provenance
    cursors: Sequence[Cursor]
    expected: Mapping[int, int]
    on_error: OnError

    def commit(self) -> Booked:
        """Run the booking until it is committed, rejected, or has failed too often.

        It is repeated when another transaction held the lock or the connection was lost. A lost connection
        may have committed: then the repeat finds its own entries booked, and books none twice. An entry that
        only the fold or Postgres refuses is set aside, and the rest is booked.
        """
        delays = iter(RETRY_SECONDS)
        while True:
            try:
                if self.on_error == "reject" and self.prepared.offenders:
                    raise BatchRejection(self.prepared.offenders)
                return self.run()
            except BatchRejection as rejection:
                account, offenders = self.account.pk, rejection.offenders
                quarantine.keep(account=account, offenders=offenders, provenance=self.provenance)
                raise
            except sql.NoHead:
                AccountHead.objects.get_or_create(account=self.account)
            except (InvalidEntry, DataError) as error:
                if not self.set_aside(error):
                    raise
                delays = iter(RETRY_SECONDS)
            except (OperationalError, InterfaceError) as error:
                delay = next(delays, None)
                if delay is None or not sql.may_pass(error):
                    raise
                log.info("booking again", account=self.account.pk, error=str(error), seconds=delay)
                time.sleep(delay)

    def run(self) -> Booked:
        """Book in a transaction of its own."""
        # One transaction: facts, what they change, the chain's head and the cursor are committed together.
        with transaction.atomic(durable=True):
            return self.book()

    def book_or_reject(self) -> Booked:
        """Book inside the caller's transaction. Raises BatchRejection also for what the fold refuses."""
        try:
            # A savepoint: after an error of Postgres the transaction can still look for the entry to blame.
            with transaction.atomic():
                return self.book()
        except (InvalidEntry, DataError) as error:
            if not self.set_aside(error):
                raise
            raise BatchRejection(self.prepared.offenders) from error

    def set_aside(self, error: InvalidEntry | DataError) -> bool:
        """Make an offender of the entry that an error is about; return False if it is none of this batch.

        The fold names it. Postgres does not (a sum that no longer fits numeric(38,18)): it is the first, in
        the order given, with which the entries before it can no longer be booked.
        """
        if isinstance(error, InvalidEntry):
            named = [pair for pair in self.prepared.entries if pair[1].venue_ref == error.entry]
            self._refuse(named, str(error))
        else:
            named = self._first_unbookable()
            for pair in named:
                self._refuse([pair], f"{pair[1].venue_ref}: {_problem_of(error)}")
        return bool(named)

    def _refuse(self, pairs: list[tuple[int, Entry]], detail: str) -> None:
        self.prepared.offenders += [
            Offender(index, entry.venue_ref, QuarantineReason.INVALID, detail, payload(entry))
            for index, entry in pairs
        ]
        self.prepared.entries = [pair for pair in self.prepared.entries if pair not in pairs]

    def _first_unbookable(self) -> list[tuple[int, Entry]]:
        entries = self.prepared.entries
        fit, unfit = 0, len(entries)
        while unfit - fit > 1:
            middle = (fit + unfit) // 2
            if self._can_book(entries[:middle]):
                fit = middle
            else:
                unfit = middle
        # Where one does not fit the next ones often do not either, and each costs a search like this.
        many = len(self.prepared.offenders) >= MAX_SEARCHES
        return entries[fit:] if many else entries[fit : fit + 1]

    def _can_book(self, entries: list[tuple[int, Entry]]) -> bool:
        """Return whether these could be booked without the rest; nothing is written."""
        trial = replace(self, prepared=PreparedBatch(entries), cursors=(), on_error="quarantine")
        try:
            # A transaction that is rolled back: only Postgres knows whether it takes the sums.
            with transaction.atomic():
                trial.book()
                transaction.set_rollback(True)
        except DataError:
            return False
        return True

    def book(self) -> Booked:
        """Book inside the caller's transaction: load under the lock, admit, fold, write."""
        excerpt = self._load()
        batch = admit(self.prepared.entries, excerpt=excerpt, now=self.provenance.now)
        offenders = [*self.prepared.offenders, *map(_offender, batch.contradictions)]
        if offenders and self.on_error == "reject":
            raise BatchRejection(offenders)
        rows = self._write(excerpt, batch)
        if offenders:
            quarantine.keep(account=self.account.pk, offenders=offenders, provenance=self.provenance)
            for one in self.prepared.offenders:
                result = EntryResult(one.venue_ref, EntryOutcome.QUARANTINED, None, one.detail)
                batch.results[one.index] = result
        return [batch.results[index] for index in sorted(batch.results)], rows

    def _load(self) -> LedgerExcerpt:
        """Lock the account's head and load what the batch needs to know. Raises StaleVersion, sql.NoHead."""
        entries = [entry for _, entry in self.prepared.entries]
        refs = {entry.venue_ref for entry in entries} | {entry.target for entry in entries if entry.target}
        items = (item for entry in entries for item in self.catalogue.items_of(entry, par=self.par))
        excerpt, versions = sql.load(
            account=self.account.pk,
            refs=list(refs),
            contracts={item.id: item.contract for item in items},
            earliest=min((entry.time for entry in entries), default=self.provenance.now),
            versions=self.expected,
        )
        if self.expected:
            self._check_versions(versions)
        if excerpt.known:
            self.catalogue.load_for(excerpt.known.values(), par=self.par)
        return excerpt

    def _check_versions(self, rows: Sequence[tuple[Any, ...]]) -> None:
        found = {row[0]: row for row in rows}
        for position, expected in self.expected.items():
            row = found.get(position)
            if row is None or row[1] != expected:
                state = {"status": row[2], "quantity": str(row[3])} if row else {}
                raise StaleVersion(
                    position=position, expected=expected, actual=row[1] if row else None, state=state
                )

    def _write(self, excerpt: LedgerExcerpt, batch: AdmittedBatch) -> ChangedRows | None:
        """Append the batch's facts and write what they do to the book."""
        account = self.account.pk
        history = PostgresHistory(account, {})
        effective = EffectiveEntries(self.catalogue, self.par, history, list(excerpt.known.values()))
        changed = effects(batch, excerpt=excerpt)
        work = effective.by_item(changed)
        history.contracts = {item.id: item.contract for item in work}
        missing = {key: value for key, value in history.contracts.items() if key not in excerpt.looked_up}
        if missing:
            excerpt.last.update(sql.last_episodes(account=account, contracts=missing))
        update = BookUpdate(opened_wallets(excerpt.head.opened, batch.facts))
        with sql.pipeline() as raw:
            names = {fact.venue_ref: self._names(fact, effective, excerpt) for fact in batch.facts}
            digest = append(
                raw,
                account=account,
                head=excerpt.head,
                facts=batch.facts,
                names=names,
                provenance=self.provenance,
            )
            if names:
                quarantine.booked(raw, account=account, refs=list(names), now=self.provenance.now)
            Folding(effective, update, excerpt.last).run(changed, work)
            rows_sent = send(raw, self._write_set(excerpt.head, batch.facts, digest, update))
        rows = rows_sent()
        reopened = update.opened != excerpt.head.opened and excerpt.head.entry_count
        return self._recount(rows) if reopened else rows

    def _write_set(self, head: LockedHead, facts: list[Entry], digest: bytes, update: BookUpdate) -> WriteSet:
        return WriteSet(
            account=self.account.pk,
            head=head,
            facts=facts,
            digest=digest,
            changes=update.changes,
            balances=update.balances,
            provenance=self.provenance,
            opened=update.opened,
            cursors=self.cursors,
            checkpoints=update.checkpoints,
            forgotten=update.forgotten,
        )

    def _recount(self, rows: ChangedRows | None) -> ChangedRows | None:
        """Rebuild after an opening balance that came after other facts: what they did before T0 leaves."""
        head = sql.lock_head(self.account.pk)
        if rows is None or head is None:
            return rows
        report = rebuild(account=self.account, head=head)
        again = _write_rebuild(self.account, head, report, self.provenance)
        return rows if again is None else rows.followed_by(again)

    def _names(
        self, fact: Entry, effective: EffectiveEntries, excerpt: LedgerExcerpt
    ) -> tuple[int | None, list[str] | None]:
        """Return the instrument and coins under which a refold finds the fact; of an amend, the new ones."""
        market = self.catalogue.instrument(fact.instrument) if fact.instrument else None
        target = excerpt.known.get(fact.target or "") if fact.kind is Kind.AMEND else None
        counted = fact if target is None else effective_entry(target, excerpt)
        coins = [item.symbol for item in effective.parts(counted) if item.is_coin]
        return market.id if market else None, [coin_key(self.account.pk, coin) for coin in coins] or None


def _write_rebuild(
    account: Account, head: LockedHead, report: RebuildReport, provenance: Provenance
) -> ChangedRows | None:
    return write(
        WriteSet(
            account=account.pk,
            head=head,
            facts=[],
            digest=head.digest,
            changes=report.changes,
            balances=report.balances,
            provenance=provenance,
            opened=head.opened,
            forgotten=None,
        )
    )


def _problem_of(error: DataError) -> str:
    if getattr(error.__cause__, "sqlstate", None) == _NUMBER_TOO_LARGE:
        return "with it a sum of its position or a balance has more than 20 digits before the point"
    return f"Postgres refuses it: {str(error).partition(chr(10))[0]}"


def _offender(contradiction: Contradiction) -> Offender:
    return Offender(
        index=contradiction.index,
        venue_ref=contradiction.refused.venue_ref,
        reason=QuarantineReason.CONFLICT,
        detail=contradiction.detail,
        content=canonical(contradiction.refused),
        conflicts_with=contradiction.kept.venue_ref,
    )
