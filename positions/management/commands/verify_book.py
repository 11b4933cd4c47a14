"""`manage.py verify_book`: the hash chain, the rows, the balances; what was tampered with is named."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.security.security_events import Act, by_command, record_refusal
from core.tracing.trace import current_trace_id
from positions import ingest, queries
from positions.ledger import anchors, audit
from positions.management.accounts import named
from positions.management.progress import Bar


class Command(BaseCommand):
    help = "Check hash chain, invariants and balances of the ledger. Corrects nothing; exits 1 on a finding."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--account", action="append", metavar="LABEL", help="only this account; repeatable"
        )

        parser.add_argument(
            "--anchors",
            action="append",
            type=Path,
            metavar="FILE",
            help="compare with the anchors in this audit.jsonl; repeatable; default: those in LOG_DIR",
        )

    def _anchors(self, files: list[Path] | None) -> int:
        """Compare with what was signed outside of the database; return the number of findings."""
        own = sorted(Path(settings.LOG_DIR).glob("audit.jsonl*")) if settings.LOG_DIR else []
        try:
            # A copy may be older than the ledger; the log of this machine may not.
            result = anchors.compare(paths=files or own, all_expected=bool(settings.LOG_DIR) and not files)
        except OSError as error:
            raise CommandError(f"the anchors cannot be read: {error}") from error
        for told in (*result.findings, *result.notes):
            self.stdout.write(told)
        if result.newest is not None:
            newest = f"{result.newest:%Y-%m-%d %H:%M} UTC"
            self.stdout.write(f"{result.count:,} anchors compared, the newest of {newest}")
        else:
            self.stdout.write(
                "no anchors found: only the database vouches for itself (set LOG_DIR, or name --anchors FILE)"
            )
        return len(result.findings)

    def handle(self, *args: Any, **options: Any) -> None:
        found = entries = 0
        for account in named(options["account"]):
            total = queries.entry_count(account=account.pk)
            bar = Bar(sys.stderr, total=2 * total, label=account.label)
            differences = [*audit.chain(account=account, progress=bar), *audit.rows(account=account)]
            rebuilt = ingest.rebuild_account(
                account=account,
                trace_id=current_trace_id(),
                now=timezone.now(),
                write_back=False,
                progress=bar,
            )
            bar.close()
            known = {(one.what, one.field) for one in differences}
            differences += [one for one in rebuilt.differences if (one.what, one.field) not in known]
            for difference in differences:
                self.stdout.write(str(difference))
            found += len(differences)
            entries += total
        found += self._anchors(options["anchors"])
        self.stdout.write(f"{entries:,} entries verified, {found:,} findings")
        if found:
            reason = f"{found:,} findings of verify_book"
            record_refusal(Act.LEDGER_DIFFERS, who=by_command(), subject="ledger", reason=reason)
            raise CommandError("the ledger is not what was written; see above")
