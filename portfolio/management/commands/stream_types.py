"""Writes the stream's TypeScript types where pages and clients fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolio.live.schema import json_schema
from portfolio.live.typescript import types

TARGET = Path("static/types/plumbline-stream.d.ts")


class Command(BaseCommand):
    help = f"Write the TypeScript types of the stream's frames and commands to {TARGET}."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if the file is out of date"
        )

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        target, made = settings.BASE_DIR / TARGET, types(json_schema())
        if check:
            if not target.exists() or target.read_text() != made:
                raise CommandError(f"{TARGET} is out of date: run manage.py stream_types")
            return
        target.parent.mkdir(exist_ok=True)
        target.write_text(made)
        self.stdout.write(f"{TARGET} written")
