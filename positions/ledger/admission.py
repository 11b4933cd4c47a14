"""Which entries of a batch are new facts, which repeat, complete or contradict one, and to what effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from positions.book import Entry, Kind
from positions.book.content import compare, completion
from positions.book.entries import TARGETED_KINDS
from positions.book.resolve import replaces, resolve
from positions.ledger.hash_chain import learnt_reference, placed, replaced_reference, replacing_fill
from positions.ledger.rows import LedgerExcerpt


class EntryOutcome(StrEnum):
    """What happened to one entry of a batch. WAITING: a correction whose target has not been seen."""

    BOOKED = "booked"
    DUPLICATE = "duplicate"
    AMENDED = "amended"
    WAITING = "waiting"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class EntryResult:
    """What happened to one entry; `detail` is why it was not booked, `sequence` its place if it was."""

    venue_ref: str
    outcome: EntryOutcome
    sequence: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An entry whose content differs from what is booked under its reference."""

    index: int
    kept: Entry
    refused: Entry
    fields: tuple[str, ...]

    @property
    def detail(self) -> str:
        named = (
            f"{name} is {getattr(self.kept, name)}, not {getattr(self.refused, name)}" for name in self.fields
        )
        return f"{self.kept.venue_ref} is booked: {'; '.join(named)}"


@dataclass(slots=True)
class AdmittedBatch:
    """The facts to append, in order, each with its place (`received`), and what came of every entry given."""

    facts: list[Entry] = field(default_factory=list)
    results: dict[int, EntryResult] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Effect:
    """A fact as it counted before a batch and as it counts after it; None = not at all."""

    before: Entry | None
    after: Entry | None


def admit(entries: Iterable[tuple[int, Entry]], *, excerpt: LedgerExcerpt, now: datetime) -> AdmittedBatch:
    """Sort a batch; `excerpt` is extended by what it adds, so that a batch may repeat or correct itself.

    A repeat is held against the fact as booked and as since amended; what it adds becomes an amend.
    """
    batch = AdmittedBatch()
    for index, entry in entries:
        known = excerpt.known.get(entry.venue_ref)
        if known is None:
            batch.results[index] = _book(batch, excerpt, entry, now)
        else:
            batch.results[index] = _repeat(batch, excerpt, known, index, entry, now)
    return batch


def _book(batch: AdmittedBatch, excerpt: LedgerExcerpt, entry: Entry, now: datetime) -> EntryResult:
    waits = entry.target is not None and entry.target not in excerpt.known
    fact = _append(batch, excerpt, entry)
    for inferred in excerpt.inferred:
        if replaces(fact, inferred) and effective_entry(inferred, excerpt) is not None:
            _append(batch, excerpt, _bust(inferred, by=fact, now=now))
    return EntryResult(entry.venue_ref, EntryOutcome.WAITING if waits else EntryOutcome.BOOKED, fact.received)


def _append(batch: AdmittedBatch, excerpt: LedgerExcerpt, entry: Entry) -> Entry:
    fact = placed(entry, excerpt.head.entry_count + len(batch.facts) + 1)
    batch.facts.append(fact)
    excerpt.known[fact.venue_ref] = fact
    if fact.target is not None:
        excerpt.targeting.setdefault(fact.target, []).append(fact)
    if fact.watermark is not None:
        excerpt.inferred.append(fact)
    return fact


def _bust(inferred: Entry, *, by: Entry, now: datetime) -> Entry:
    return Entry(
        kind=Kind.BUST,
        venue_ref=replaced_reference(inferred, by=by),
        time=now,
        instrument=inferred.instrument,
        leg=inferred.leg,
        target=inferred.venue_ref,
        reason="the fill it stood for has arrived",
    )


def _repeat(
    batch: AdmittedBatch, excerpt: LedgerExcerpt, known: Entry, index: int, entry: Entry, now: datetime
) -> EntryResult:
    current = known if entry.target else effective_entry(known, excerpt) or known
    against = compare(current, entry)
    if _is_own_bust(known, entry):
        return EntryResult(entry.venue_ref, EntryOutcome.DUPLICATE, known.received)
    contradicted = tuple(name for name in against.conflicts if getattr(known, name) != getattr(entry, name))
    if contradicted:
        contradiction = Contradiction(index, current, entry, contradicted)
        batch.contradictions.append(contradiction)
        return EntryResult(entry.venue_ref, EntryOutcome.CONFLICT, known.received, contradiction.detail)
    amend = (
        completion(current, entry, venue_ref=learnt_reference(entry), time=now) if against.completes else None
    )
    if amend is None or amend.venue_ref in excerpt.known:
        return EntryResult(entry.venue_ref, EntryOutcome.DUPLICATE, known.received)
    return EntryResult(entry.venue_ref, EntryOutcome.AMENDED, _append(batch, excerpt, amend).received)


def _is_own_bust(known: Entry, entry: Entry) -> bool:
    """Return whether it is the book's own bust: another ledger's file has it at another time."""
    same = known.kind is entry.kind is Kind.BUST and known.target == entry.target
    return same and replacing_fill(entry.venue_ref) is not None


def effective_entry(
    fact: Entry, excerpt: LedgerExcerpt, *, without: frozenset[str] = frozenset()
) -> Entry | None:
    """Return a fact as its busts and amends (but those in `without`) leave it; None if it was busted."""
    if fact.venue_ref not in excerpt.targeting:
        return fact
    chain = [entry for entry in _chain(fact, excerpt) if entry.venue_ref not in without]
    counting = [entry for entry in resolve(chain).effective if entry.venue_ref == fact.venue_ref]
    return counting[0] if counting else None


def _chain(fact: Entry, excerpt: LedgerExcerpt) -> list[Entry]:
    """Return the fact, what targets it, what targets that, and so on; each once, even in a circle."""
    found = {fact.venue_ref: fact}
    pending = [fact.venue_ref]
    while pending:
        for entry in excerpt.targeting.get(pending.pop(), ()):
            if entry.venue_ref not in found:
                found[entry.venue_ref] = entry
                pending.append(entry.venue_ref)
    return list(found.values())


def effects(batch: AdmittedBatch, *, excerpt: LedgerExcerpt) -> list[Effect]:
    """Return what the batch changes in what counts, one effect per fact concerned."""
    if not excerpt.targeting:
        return [Effect(None, fact) for fact in batch.facts]
    fresh = frozenset(fact.venue_ref for fact in batch.facts)
    roots = {root.venue_ref: root for fact in batch.facts if (root := _root(fact, excerpt)) is not None}
    found = []
    for root in roots.values():
        before = None if root.venue_ref in fresh else effective_entry(root, excerpt, without=fresh)
        after = effective_entry(root, excerpt)
        if before != after:
            found.append(Effect(before, after))
    return found


def _root(fact: Entry, excerpt: LedgerExcerpt) -> Entry | None:
    """Return the fact that a chain of corrections ends in; None while it has not been seen."""
    seen = set()
    current: Entry | None = fact
    while current is not None and current.kind in TARGETED_KINDS:
        if current.venue_ref in seen:
            return None
        seen.add(current.venue_ref)
        current = excerpt.known.get(current.target or "")
    return current
