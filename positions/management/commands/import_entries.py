"""`manage.py import_entries FILE --account LABEL`: book a file of facts, all or nothing, repeatable."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.tracing.trace import current_trace_id
from positions import ingest
from positions.management import entry_files
from positions.management.accounts import named
from positions.management.progress import Bar
from positions.models import Account

SHOWN = 50


class Command(BaseCommand):
    help = "Book the entries of a .jsonl or .csv file (see docs/ledger.md). Repeating it books nothing twice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--account", required=True, metavar="LABEL")
        parser.add_argument("--dry-run", action="store_true", help="check everything, book nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        (account,) = named([options["account"]])
        rows = self._read(options["file"])
        bar = Bar(sys.stderr, total=len(rows), label=options["file"].name)
        recorded = self._book(account, rows, dry_run=options["dry_run"], bar=bar)
        bar.close()
        counted = ", ".join(f"{count:,} {outcome}" for outcome, count in recorded.items() if count)
        verb = "would be" if options["dry_run"] else "were"
        self.stdout.write(f"{len(rows):,} rows: {counted or 'nothing'} ({verb} the outcome)")

    def _read(self, path: Path) -> list[tuple[int, entry_files.Row]]:
        try:
            rows = list(entry_files.read(path))
        except (entry_files.UnknownFormat, OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from error
        self._refuse([str(row) for _, row in rows if isinstance(row, entry_files.BadRow)])
        return [(number, row) for number, row in rows if isinstance(row, entry_files.Row)]

    def _book(
        self, account: Account, rows: list[tuple[int, entry_files.Row]], *, dry_run: bool, bar: Bar
    ) -> dict[ingest.EntryOutcome, int]:
        try:
            return ingest.record_all(
                account=account,
                entries=[row.entry for _, row in rows],
                source="import",
                sources={row.entry.venue_ref: row.source for _, row in rows if row.source},
                trace_id=current_trace_id(),
                traces={row.entry.venue_ref: row.trace_id for _, row in rows if row.trace_id},
                now=timezone.now(),
                dry_run=dry_run,
                progress=bar,
            )
        except ingest.BatchRejection as error:
            numbers = [number for number, _ in rows]
            self._refuse([f"row {numbers[one.index]}: {one.detail}" for one in error.offenders])
            raise

    def _refuse(self, problems: list[str]) -> None:
        for problem in problems[:SHOWN]:
            self.stderr.write(problem)
        if len(problems) > SHOWN:
            self.stderr.write(f"… and {len(problems) - SHOWN:,} more")
        if problems:
            raise CommandError(f"{len(problems):,} rows cannot be booked; nothing was")
