"""Old closed episodes leave the working lists for compressed JSON lines; no row is deleted."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from core.process.files import private_file
from positions import ingest, queries
from positions.models import Position, PositionEvent


def archive(*, before: datetime, folder: Path, trace_id: str, now: datetime) -> tuple[int, Path | None]:
    """Write episodes closed before a time, with their events, then flag them; returns how many, and the file.

    The file is complete on disk before the first flag is set, so a crash in between only writes it again.
    Raises OSError when the folder cannot be written.
    """
    rows = list(queries.archivable(before=before))
    if not rows:
        return 0, None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"positions-{now:%Y%m%dT%H%M%S%f}.jsonl.gz"
    _write(path, (_plain(row) for row in rows))
    done = ingest.set_archived(
        positions=[row.pk for row in rows], source="archive_closed", trace_id=trace_id, now=now
    )
    return done, path


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what `archive` wrote: {"position": {…}, "events": [{…}]}, money as strings."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    partial = path.with_suffix(".partial")
    with private_file(partial, binary=True) as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb") as out:
            for line in lines:
                out.write(orjson.dumps(line, default=str) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(path)


def _plain(row: Position) -> dict[str, Any]:
    named = {"account_label": row.account.label, "symbol": row.instrument.symbol, "venue": row.account.venue}
    events: Iterable[PositionEvent] = row.events.all()
    return {
        "position": {"id": row.pk, **_values(row), **named},
        "events": [{"id": event.pk, **_values(event)} for event in events],
    }


def _values(row: Position | PositionEvent) -> dict[str, Any]:
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name != "id"
    }
