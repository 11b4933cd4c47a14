"""The hash chain over an account's entries: canonical content, digests, and the references that we make."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import orjson

from positions.book import Entry

GENESIS = bytes(32)


def canonical(entry: Entry) -> str:
    """Return the content as it is stored and hashed: sorted keys, no spaces."""
    return orjson.dumps(entry.to_plain(), option=orjson.OPT_SORT_KEYS).decode()


def trusted(content: str, sequence: int) -> Entry:
    """Return the entry of a stored content."""
    return Entry.from_plain(orjson.loads(content), received=sequence)


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
