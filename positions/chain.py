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
from positions.book.entries import CONTENT, PAR_FIELDS

GENESIS = bytes(32)


def canonical(entry: Entry) -> str:
    """Return the content as it is stored and hashed: sorted keys, no spaces."""
    return orjson.dumps(entry.to_plain(), option=orjson.OPT_SORT_KEYS).decode()


def trusted(content: str, sequence: int) -> Entry:
    """Return the entry of a stored content, which was checked when it was booked.

    A refold reads ten thousand of these, so this repeats no check: `Entry.from_plain` is four times slower.
    """
    plainly: dict[str, str] = orjson.loads(content)
    values = dict(_UNKNOWN)
    for name, text in plainly.items():
        read = _READ.get(name)
        if read is not None:
            values[name] = read(text)
    for name in PAR_FIELDS:
        if f"{name}_amount" in plainly:
            values[name] = ParValue(
                amount=Decimal(plainly[f"{name}_amount"]),
                source=plainly[f"{name}_source"],
                time=datetime.fromisoformat(plainly[f"{name}_time"]),
            )
    values["received"] = sequence
    entry = object.__new__(Entry)
    for name, put in _SLOTS:
        put(entry, values[name])
    return entry


_UNKNOWN: dict[str, Any] = dict.fromkeys(field.name for field in fields(Entry))
_SLOTS = [(field.name, getattr(Entry, field.name).__set__) for field in fields(Entry)]
_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys((name for name in CONTENT if name not in PAR_FIELDS), str),
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


def replaced_reference(inferred: Entry, *, by: Entry) -> str:
    """Return the reference of the bust of an inferred fill that a real one replaces."""
    return f"{inferred.venue_ref}~replaced-by:{by.venue_ref}"
