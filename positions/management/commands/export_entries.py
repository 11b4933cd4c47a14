"""`manage.py export_entries FILE --account LABEL`: the facts of an account, as import_entries reads them."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.process.files import private_file
from positions.ledger.fold import rebuild
from positions.management import entry_files
from positions.management.accounts import named


class Command(BaseCommand):
    help = "Write all entries of an account to a .jsonl or .csv file, in the order they were booked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--account", required=True, metavar="LABEL")

    def handle(self, *args: Any, **options: Any) -> None:
        (account,) = named([options["account"]])
        path: Path = options["file"]
        if path.suffix not in entry_files.FORMATS:
            raise CommandError(f"{path.name}: name it .jsonl or .csv")
        with private_file(path) as out:
            count = entry_files.write(rebuild.exported(account.pk), out, suffix=path.suffix)
        self.stdout.write(f"{count:,} entries of {account.label} written to {path}")
