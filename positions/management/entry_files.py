"""Entries as files: JSON lines or CSV, in the plain form of the book (`Entry.to_plain`), one entry a row.

A row may also carry the entry's `source` and `trace_id`, which are no part of the fact.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from core.values import spreadsheets
from positions.book import Entry, InvalidEntry
from positions.book.entries import CONTENT, PAR_FIELDS

BROUGHT_BY = {"source": 60, "trace_id": 64}
"""Who brought an entry: the names of the columns, and how many letters each may have."""
COLUMNS = [
    column
    for name in CONTENT
    for column in (
        [f"{name}_{part}" for part in ("amount", "source", "time")] if name in PAR_FIELDS else [name]
    )
] + list(BROUGHT_BY)
FORMATS = (".jsonl", ".csv")


class UnknownFormat(ValueError):
    """A file that is neither .jsonl nor .csv."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry with its source and trace id; "" where the file has none."""

    entry: Entry
    source: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no entry: its number in the file (the first line is 1), and the reason."""

    row: int
    problem: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.problem}"


def read(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield (row number, row or BadRow). Raises UnknownFormat, OSError."""
    for number, row in _rows(path):
        yield number, row if isinstance(row, BadRow) else _entry(number, row)


def _entry(number: int, given: Mapping[str, str]) -> Row | BadRow:
    brought = {name: given.get(name, "") for name in BROUGHT_BY}
    for name, longest in BROUGHT_BY.items():
        if len(brought[name]) > longest or "\0" in brought[name]:
            return BadRow(number, f"{name} has more than {longest} letters, or is no text")
    try:
        entry = Entry.from_plain({name: text for name, text in given.items() if name not in BROUGHT_BY})
    except InvalidEntry as error:
        return BadRow(number, str(error))
    return Row(entry, **brought)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str] | BadRow]]:
    if path.suffix == ".jsonl":
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _from_json(number, line)
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            for row in reader:
                # line_num counts lines, so that a quoted line break does not shift what an editor shows.
                yield reader.line_num, _from_csv(reader.line_num, row)
    else:
        raise UnknownFormat(f"{path.name}: a file of entries ends in {' or '.join(FORMATS)}")


def _from_json(number: int, line: bytes) -> Mapping[str, str] | BadRow:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadRow(number, f"not JSON: {error}")
    if not isinstance(value, dict):
        return BadRow(number, "not an object")
    for name, given in value.items():
        if not isinstance(given, str):
            return BadRow(number, f"{name} must be a string: numbers lose digits in JSON")
    return value


def _from_csv(number: int, row: Mapping[str | None, str | list[str] | None]) -> Mapping[str, str] | BadRow:
    if None in row:
        return BadRow(number, "more values than columns")
    return {str(name): spreadsheets.from_cell(str(value).strip()) for name, value in row.items() if value}


def write(entries: Iterable[Mapping[str, str]], out: IO[str], *, suffix: str) -> int:
    """Write entries in plain form; returns how many. Raises UnknownFormat."""
    if suffix not in FORMATS:
        raise UnknownFormat(f"a file of entries ends in {' or '.join(FORMATS)}")
    count = 0
    table = csv.DictWriter(out, COLUMNS, restval="") if suffix == ".csv" else None
    if table is not None:
        table.writeheader()
    for entry in entries:
        if table is not None:
            table.writerow({name: spreadsheets.cell(text) for name, text in entry.items()})
        else:
            out.write(orjson.dumps(entry).decode() + "\n")
        count += 1
    return count
