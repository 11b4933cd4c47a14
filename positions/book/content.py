"""The same reference again: the same content, something now known, or a conflict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from positions.book.entries import CONTENT, PAR_FIELDS, Entry, Kind, ParValue
from positions.book.money import ZERO, multiply, share

# Par values are ours, fixed when first booked: a redelivery that met another mark states the same fact.
_COMPARED = tuple(name for name in CONTENT if name not in ("venue_ref", *PAR_FIELDS))
_AMENDABLE = tuple(
    name
    for name in CONTENT
    if name not in ("kind", "venue_ref", "time", "amended_time", "instrument", "leg", "target", "reason")
)


@dataclass(frozen=True, slots=True)
class EntryComparison:
    """The field names that a repeat of a reference fills in, or contradicts."""

    completes: tuple[str, ...]
    conflicts: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return not self.completes and not self.conflicts


def compare(known: Entry, again: Entry) -> EntryComparison:
    """Compare a repeat with the entry known: None matches anything, unknown → known completes it,
    two known values that differ conflict.
    """
    completes: list[str] = []
    conflicts: list[str] = []
    for name in _COMPARED:
        old, new = getattr(known, name), getattr(again, name)
        if new is None or old == new:
            continue
        (completes if old is None else conflicts).append(name)
    completes += [
        name for name in PAR_FIELDS if getattr(known, name) is None and getattr(again, name) is not None
    ]
    return EntryComparison(completes=tuple(completes), conflicts=tuple(conflicts))


def completion(known: Entry, again: Entry, *, venue_ref: str, time: datetime) -> Entry | None:
    """Return the amend that fills in what `again` knows and `known` did not; None if there is nothing.

    `venue_ref` is the amend's own reference, `time` when it was learnt. Contradictions are not taken over:
    see `compare` for those.
    """
    names = [name for name in compare(known, again).completes if name in _AMENDABLE]
    if not names:
        return None
    learnt: dict[str, Any] = {name: getattr(again, name) for name in names}
    return Entry(
        kind=Kind.AMEND,
        venue_ref=venue_ref,
        time=time,
        instrument=known.instrument,
        leg=known.leg,
        target=known.venue_ref,
        **learnt,
    )


def completed(known: Entry, again: Entry) -> Entry:
    """Return `known` with its unknown fields taken from a repeat of the same reference."""
    names = compare(known, again).completes
    return replace(known, **{name: getattr(again, name) for name in names}) if names else known


def amended(entry: Entry, amend: Entry) -> Entry:
    """Return the entry as an amend states it: every field the amend knows replaces the entry's.

    A par value the amend does not restate is scaled with the notional it valued.
    """
    changes: dict[str, Any] = {
        name: value for name in _AMENDABLE if (value := getattr(amend, name)) is not None
    }
    if amend.amended_time is not None:
        changes["time"] = amend.amended_time
    after = replace(entry, **changes)
    if entry.par is None or amend.par is not None:
        return after
    return replace(after, par=_rescaled(entry, after))


def _rescaled(before: Entry, after: Entry) -> ParValue | None:
    """Return the par value of `before` in proportion to what the amend made of quantity, price or amount."""
    par = before.par
    if par is None or (before.price is None) is not (after.price is None):
        return par
    old, new = _extent(before), _extent(after)
    return replace(par, amount=share(par.amount, new, old)) if old and old != new else par


def _extent(entry: Entry) -> Decimal:
    if entry.quantity is None:
        return entry.amount.copy_abs() if entry.amount is not None else ZERO
    return multiply(entry.quantity, entry.price) if entry.price is not None else entry.quantity
