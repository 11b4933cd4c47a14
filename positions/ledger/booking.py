"""One booking in one transaction: lock and load, decide, write. `ingest` runs it, retries it, tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import DataError, transaction

from positions.book import Contract, Entry, InvalidEntry, Kind
from positions.ledger import quarantine, sql
from positions.ledger.admission import AdmittedBatch, EntryOutcome, EntryResult, admit, effective, effects
from positions.ledger.fold.advance import Folding
from positions.ledger.fold.book_update import BookUpdate
from positions.ledger.fold.effective import EffectiveEntries
from positions.ledger.fold.rebuild import RebuildReport, rebuild
from positions.ledger.fold.rules import is_opening_balance
from positions.ledger.hash_chain import canonical
from positions.ledger.history import PostgresHistory, coin_key
from positions.ledger.instruments import Catalogue, par_currencies
from positions.ledger.prepare import Offender, PreparedBatch, payload
from positions.ledger.rows import LedgerExcerpt, LockedHead
from positions.ledger.write import Booking, ChangedRows, Cursor, Provenance, append, send, write
from positions.models import Account, QuarantineReason

MAX_SEARCHES = 16
_NUMBER_TOO_LARGE = "22003"


class StaleVersion(Exception):
    """The position has moved since it was looked at. `expected` and `actual` are versions; `state` is now."""

    def __init__(self, *, position: int, expected: int, actual: int | None, state: dict[str, str]) -> None:
        seen = f"is at version {actual} ({state})" if actual is not None else "does not exist"
        super().__init__(f"position {position} {seen}, not at version {expected}")
        self.position, self.expected, self.actual, self.state = position, expected, actual, state


class Contradicted(Exception):
    def __init__(self, offenders: list[Offender]) -> None:
        super().__init__()
        self.offenders = offenders


@dataclass(slots=True)
class Attempt:
    """One transaction's worth of booking, repeatable as a whole."""

    account: Account
    prepared: PreparedBatch
    catalogue: Catalogue
    provenance: Provenance
    cursors: Sequence[Cursor]
    expected: dict[int, int]
    on_error: str

    def run(self) -> tuple[list[EntryResult], ChangedRows | None]:
        # One transaction: facts, what they change, the chain's head and the cursor stand or fall together.
        with transaction.atomic(durable=True):
            return self.book()

    def set_aside(self, error: InvalidEntry | DataError) -> bool:
        """Make an offender of the entry that an error is about; False if it is none of this batch.

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
        """Whether these could be booked without the rest; nothing is written."""
        trial = replace(self, prepared=PreparedBatch(entries), cursors=(), on_error="quarantine")
        try:
            with transaction.atomic():
                trial.book()
                transaction.set_rollback(True)
        except DataError:
            return False
        return True

    def book(self) -> tuple[list[EntryResult], ChangedRows | None]:
        """Book inside the caller's transaction."""
        loaded = self._load()
        batch = admit(self.prepared.entries, loaded=loaded, now=self.provenance.now)
        offenders = [*self.prepared.offenders, *_conflicting(batch)]
        if offenders and self.on_error == "reject":
            raise Contradicted(offenders)
        written = self._write(loaded, batch)
        quarantine.keep(
            account=self.account.pk,
            offenders=offenders,
            source=self.provenance.source,
            trace_id=self.provenance.trace_id,
            now=self.provenance.now,
        )
        for offender in self.prepared.offenders:
            batch.results[offender.index] = EntryResult(
                offender.venue_ref, EntryOutcome.QUARANTINED, None, offender.detail
            )
        return [batch.results[index] for index in sorted(batch.results)], written

    def _load(self) -> LedgerExcerpt:
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
        standing = self._standing()
        return {traded.id: traded.contract for entry in entries for traded in standing.parts(entry)}

    def _check_versions(self, rows: Sequence[tuple[Any, ...]]) -> None:
        found = {row[0]: row for row in rows}
        for position, expected in self.expected.items():
            row = found.get(position)
            if row is None or row[1] != expected:
                state = {"status": row[2], "quantity": str(row[3])} if row else {}
                raise StaleVersion(
                    position=position, expected=expected, actual=row[1] if row else None, state=state
                )

    def _standing(self, contracts: dict[int, Contract] | None = None) -> EffectiveEntries:
        return EffectiveEntries(
            self.catalogue, par_currencies(), PostgresHistory(self.account.pk, contracts or {})
        )

    def _write(self, loaded: LedgerExcerpt, batch: AdmittedBatch) -> ChangedRows | None:
        self.catalogue.load_for(loaded.known.values(), par=par_currencies())
        changed = effects(batch, loaded=loaded)
        contracts = self._contracts(entry for effect in changed for entry in (effect.before, effect.after))
        standing = self._standing(contracts)
        standing.facts = list(loaded.known.values())
        tally = BookUpdate(_opened(loaded, batch))
        missing = {key: value for key, value in contracts.items() if key not in loaded.looked_up}
        if missing:
            loaded.last.update(sql.last_episodes(account=self.account.pk, contracts=missing))
        with sql.pipeline() as raw:
            digest = append(
                raw,
                account=self.account.pk,
                head=loaded.head,
                facts=batch.facts,
                names={fact.venue_ref: self._names(fact, standing, loaded) for fact in batch.facts},
                provenance=self.provenance,
            )
            if batch.facts:
                refs = [fact.venue_ref for fact in batch.facts]
                quarantine.booked(raw, account=self.account.pk, refs=refs, now=self.provenance.now)
            Folding(standing, tally, loaded.last).run(changed)
            booking = Booking(
                account=self.account.pk,
                head=loaded.head,
                facts=batch.facts,
                digest=digest,
                changes=tally.changes,
                balances=tally.balances,
                provenance=self.provenance,
                opened=tally.opened,
                cursors=self.cursors,
                checkpoints=tally.checkpoints,
                forgotten=tally.forgotten,
            )
            sent = send(raw, booking)
        written = sent()
        reopened = tally.opened != loaded.head.opened and loaded.head.entry_count
        return self._recount(written) if reopened else written

    def _recount(self, written: ChangedRows | None) -> ChangedRows | None:
        """An opening balance that came after other facts: what they did before T0 leaves the balances."""
        head = sql.lock_head(self.account.pk)
        if written is None or head is None:
            return written
        again = put_right(self.account, head, rebuild(account=self.account, head=head), self.provenance)
        return written if again is None else written.followed_by(again)

    def _names(
        self, fact: Entry, standing: EffectiveEntries, loaded: LedgerExcerpt
    ) -> tuple[int | None, list[str] | None]:
        """The instrument and coins under which a refold finds the fact; of an amend, those it brings in."""
        market = self.catalogue.instrument(fact.instrument) if fact.instrument else None
        target = loaded.known.get(fact.target or "") if fact.kind is Kind.AMEND else None
        counted = fact if target is None else effective(target, loaded)
        coins = [traded.symbol for traded in standing.parts(counted) if traded.is_coin]
        return market.id if market else None, [coin_key(self.account.pk, coin) for coin in coins] or None


def put_right(
    account: Account, head: LockedHead, rebuilt: RebuildReport, provenance: Provenance
) -> ChangedRows | None:
    return write(
        Booking(
            account=account.pk,
            head=head,
            facts=[],
            digest=head.digest,
            changes=rebuilt.changes,
            balances=rebuilt.balances,
            provenance=provenance,
            opened=head.opened,
            forgotten=None,
        )
    )


def _problem_of(error: DataError) -> str:
    if getattr(error.__cause__, "sqlstate", None) == _NUMBER_TOO_LARGE:
        return "with it a sum of its position or a balance has more than 20 digits before the point"
    return f"Postgres refuses it: {str(error).partition(chr(10))[0]}"


def _conflicting(batch: AdmittedBatch) -> list[Offender]:
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


def _opened(loaded: LedgerExcerpt, batch: AdmittedBatch) -> dict[str, datetime]:
    """T0 by wallet, of those that the batch opens too."""
    opened = dict(loaded.head.opened)
    for fact in batch.facts:
        if is_opening_balance(fact):
            opened.setdefault(fact.wallet or "", fact.time)
    return opened
