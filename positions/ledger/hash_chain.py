"""The hash chain over an account's entries: canonical content, digests, and the references that we make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from positions.book import Cause, Entry, Kind, Leg, ParValue, Side
from positions.book.entries import PAR_FIELDS

GENESIS = bytes(32)


def canonical(entry: Entry) -> str:
    """Return the content as it is stored and hashed: sorted keys, no spaces."""
    return canonical_of(entry.to_plain())


def canonical_of(plainly: dict[str, str]) -> str:
    """Return the same of an entry in plain form."""
    return orjson.dumps(plainly, option=orjson.OPT_SORT_KEYS).decode()


def trusted(content: str, sequence: int) -> Entry:
    """Return the entry of a stored content, which was checked when it was booked.

    A refold reads ten thousand of these, so this repeats no check: `Entry.from_plain` is four times slower.
    """
    plainly: dict[str, str] = orjson.loads(content)
    names = tuple(plainly)
    known, unknown = _SHAPES.get(names) or _shape(names)
    entry = object.__new__(Entry)
    for name, read, put in known:
        text = plainly[name]
        put(entry, text if read is None else read(text))
    for put in unknown:
        put(entry, None)
    for name in PAR_FIELDS:
        if f"{name}_amount" in plainly:
            _PUT[name](entry, _par(plainly, name))
    _PUT["received"](entry, sequence)
    return entry


def _shape(names: tuple[str, ...]) -> _Shape:
    """Return how to read contents with these fields; there are few such sets: each is worked out once."""
    known = [(name, _READ.get(name), _PUT[name]) for name in names if name in _PUT]
    shape = known, [put for name, put in _PUT.items() if name not in names]
    _SHAPES[names] = shape
    return shape


def _par(plainly: dict[str, str], name: str) -> ParValue:
    return ParValue(
        amount=Decimal(plainly[f"{name}_amount"]),
        source=plainly[f"{name}_source"],
        time=datetime.fromisoformat(plainly[f"{name}_time"]),
    )


def placed(entry: Entry, sequence: int) -> Entry:
    """Return a checked entry with its place in the account's ledger, without checking it again."""
    copy = object.__new__(Entry)
    for name, put in _PUT.items():
        put(copy, getattr(entry, name))
    _PUT["received"](copy, sequence)
    return copy


_Read = Callable[[str], Any]
_Put = Callable[[Entry, Any], None]
_Shape = tuple[list[tuple[str, _Read | None, _Put]], list[_Put]]
_SHAPES: dict[tuple[str, ...], _Shape] = {}
_PUT: dict[str, _Put] = {field.name: getattr(Entry, field.name).__set__ for field in fields(Entry)}
_READ: dict[str, _Read] = {
    "kind": {one.value: one for one in Kind}.__getitem__,
    "cause": {one.value: one for one in Cause}.__getitem__,
    "leg": {one.value: one for one in Leg}.__getitem__,
    "side": {one.value: one for one in Side}.__getitem__,
    **dict.fromkeys(("time", "amended_time", "watermark"), datetime.fromisoformat),
    **dict.fromkeys(("quantity", "price", "fee", "amount", "position_before"), Decimal),
}


def chained(
    previous: bytes, *, sequence: int, received_at: datetime, source: str, trace_id: str, content: str
) -> bytes:
    """Return an entry's digest: it covers the fact, who brought it and when, and all entries before."""
    received = received_at.astimezone(UTC).isoformat(timespec="microseconds")
    text = f"{sequence}\n{received}\n{source}\n{trace_id}\n{content}"
    return hashlib.sha256(previous + text.encode()).digest()


def learnt_reference(entry: Entry) -> str:
    """Return the reference of the amend that completes an entry: the same completion has the same one."""
    return f"{entry.venue_ref}~learnt:{hashlib.sha256(canonical(entry).encode()).hexdigest()[:16]}"


_REPLACED_BY = "~replaced-by:"


def replaced_reference(inferred: Entry, *, by: Entry) -> str:
    """Return the reference of the bust of an inferred fill that a real one replaces."""
    return f"{inferred.venue_ref}{_REPLACED_BY}{by.venue_ref}"


def replacing_fill(reference: str) -> str | None:
    """Return the real fill that a bust written by the book names in its reference; None if it is no such."""
    _, mark, fill = reference.partition(_REPLACED_BY)
    return fill if mark else None
