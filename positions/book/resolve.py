"""Which facts count: duplicates dropped, corrections applied, inferred fills replaced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from positions.book.content import amended, compare, completed
from positions.book.entries import TARGETED_KINDS, VENUE_CAUSES, Cause, Entry, Kind

_GUESSED = (Cause.INFERRED, Cause.OPENING)


@dataclass(frozen=True, slots=True)
class Conflict:
    """The same reference with other content: kept out of the book, and raised by whoever ingests."""

    venue_ref: str
    fields: tuple[str, ...]
    kept: Entry
    refused: Entry


@dataclass(frozen=True, slots=True)
class Resolution:
    """The facts that count, in no particular order, and those that do not.

    effective  entries as amended, busted ones left out
    conflicts  same reference, other content; the first received is kept
    waiting    busts and amends whose target has not been seen
    replaced   references of inferred fills and opening lots that real fills received later have replaced
    """

    effective: tuple[Entry, ...]
    conflicts: tuple[Conflict, ...]
    waiting: tuple[Entry, ...]
    replaced: tuple[str, ...]


def resolve(entries: Iterable[Entry]) -> Resolution:
    """Return the facts that count.

    A bust of a bust, or of an amend, undoes it. Several amends of one entry apply in the order of their own
    time; one seen before its target waits for it. A repeated reference may fill in what was unknown, and
    never undoes an amend. An inferred fill, or an opening lot, goes once a venue's fill with time <= its
    watermark was received after it.
    """
    first: dict[str, Entry] = {}
    repeats: list[Entry] = []
    for entry in sorted(entries, key=_receipt):
        if first.setdefault(entry.venue_ref, entry) is not entry:
            repeats.append(entry)
    changed = [entry for entry in repeats if entry != first[entry.venue_ref]]
    corrections = [entry for entry in first.values() if entry.kind in TARGETED_KINDS]
    if not changed and not corrections:
        counting, replaced = _without_replaced(tuple(first.values()))
        return Resolution(counting, (), (), replaced)
    return _corrected(first, changed, corrections)


def _receipt(entry: Entry) -> int:
    return entry.received or 0


def _corrected(first: dict[str, Entry], changed: list[Entry], corrections: list[Entry]) -> Resolution:
    contradictions: list[Entry] = []
    for entry in changed:
        known = first[entry.venue_ref]
        if compare(known, entry).conflicts:
            contradictions.append(entry)
        else:
            first[entry.venue_ref] = completed(known, entry)
    busted = _busted(corrections)
    amends: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(corrections, key=lambda entry: (entry.time, _receipt(entry), entry.venue_ref)):
        if entry.kind is Kind.AMEND and entry.venue_ref not in busted:
            amends[entry.target or ""].append(first[entry.venue_ref])

    def as_amended(entry: Entry) -> Entry:
        for amend in amends.get(entry.venue_ref, ()):
            entry = amended(entry, as_amended(amend))
        return entry

    effective = {
        reference: as_amended(entry)
        for reference, entry in first.items()
        if entry.kind not in TARGETED_KINDS and reference not in busted
    }
    conflicts = tuple(
        Conflict(entry.venue_ref, fields, first[entry.venue_ref], entry)
        for entry in contradictions
        if (fields := _contradicted(first[entry.venue_ref], effective.get(entry.venue_ref), entry))
    )
    waiting = tuple(entry for entry in corrections if entry.target not in first)
    counting, replaced = _without_replaced(tuple(effective.values()))
    return Resolution(counting, conflicts, waiting, replaced)


def _contradicted(known: Entry, effective: Entry | None, again: Entry) -> tuple[str, ...]:
    """Return the fields that a repeat contradicts; none if it repeats the entry as amended."""
    if effective is not None and not compare(effective, again).conflicts:
        return ()
    return compare(known, again).conflicts


def _busted(corrections: list[Entry]) -> set[str]:
    """Return the references that a bust cancels. A bust that is itself busted cancels nothing."""
    busts: dict[str, list[str]] = defaultdict(list)
    for entry in corrections:
        if entry.kind is Kind.BUST:
            busts[entry.target or ""].append(entry.venue_ref)
    known: dict[str, bool] = {}

    def is_busted(reference: str) -> bool:
        if reference not in known:
            known[reference] = False  # ends a circle of busts; a venue never sends one
            known[reference] = any(not is_busted(bust) for bust in busts.get(reference, ()))
        return known[reference]

    return {reference for reference in list(busts) if is_busted(reference)}


def _without_replaced(entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    inferred = [entry for entry in entries if entry.cause in _GUESSED and entry.watermark is not None]
    if not inferred:
        return entries, ()
    real = [entry for entry in entries if entry.kind is Kind.FILL and entry.cause in VENUE_CAUSES]
    replaced = tuple(
        sorted(entry.venue_ref for entry in inferred if any(replaces(fill, entry) for fill in real))
    )
    return tuple(entry for entry in entries if entry.venue_ref not in replaced), replaced


def replaces(fill: Entry, inferred: Entry) -> bool:
    """Return whether a venue's fill replaces an inferred one: the fill that was inferred is now known.

    True for a fill of the same key with time <= the watermark that was received after the inferred one. An
    opening lot is such a guess too: what the venue held at that time, less all that was known to lead there.
    Without both receipts only an explicit bust decides.
    """
    if inferred.watermark is None or fill.received is None or inferred.received is None:
        return False
    if fill.kind is not Kind.FILL or fill.cause not in VENUE_CAUSES:
        return False
    same_key = fill.instrument == inferred.instrument and fill.leg is inferred.leg
    return same_key and fill.time <= inferred.watermark and fill.received > inferred.received
