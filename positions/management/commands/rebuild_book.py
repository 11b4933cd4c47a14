"""`manage.py rebuild_book`: fold every entry again and report each difference from what is stored."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.tracing.trace import current_trace_id
from positions import ingest, queries
from positions.management.accounts import named
from positions.management.progress import Bar


class Command(BaseCommand):
    help = "Fold all entries again and report every difference. Changes nothing unless --write is given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--account", action="append", metavar="LABEL", help="only this account; repeatable"
        )
        parser.add_argument("--write", action="store_true", help="put right what differs")

    def handle(self, *args: Any, **options: Any) -> None:
        found = entries = 0
        for account in named(options["account"]):
            total = queries.entry_count(account=account.pk)
            bar = Bar(sys.stderr, total=total, label=account.label)
            rebuilt = ingest.rebuild_account(
                account=account,
                trace_id=current_trace_id(),
                now=timezone.now(),
                write_back=options["write"],
                progress=bar,
            )
            bar.close()
            for difference in rebuilt.differences:
                self.stdout.write(str(difference))
            found += len(rebuilt.differences)
            entries += total
        verb = "put right" if options["write"] else "found"
        self.stdout.write(f"{entries:,} entries folded again, {found:,} differences {verb}")
        if found and not options["write"]:
            raise CommandError("the book is not what its entries say; --write puts it right")
