"""`manage.py archive_closed`: old closed positions go to a file and out of the working lists."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.tracing.trace import current_trace_id
from positions.management import archive


class Command(BaseCommand):
    help = "Write old closed positions with their events to compressed JSON lines, and flag them archived."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than-days", type=int, default=60, metavar="N")
        parser.add_argument("--folder", type=Path, default=Path(settings.DATA_DIR) / "archive")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["older_than_days"]
        if days < 1:
            raise CommandError("--older-than-days is at least 1")
        now = timezone.now()
        before = now - timedelta(days=days)
        try:
            done, path = archive.archive(
                before=before, folder=options["folder"], trace_id=current_trace_id(), now=now
            )
        except OSError as error:
            raise CommandError(str(error)) from error
        where = f" written to {path}" if path else ""
        self.stdout.write(f"{done:,} positions archived{where}; nothing was deleted")
