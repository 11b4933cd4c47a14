"""manage.py test_alert: raise an alert about nothing, then clear it; it goes the way of every alert."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from portfolio.alerts import publishing, store
from portfolio.models import Severity


class Command(BaseCommand):
    help = "Raise a test alert; run it again to clear it. It reaches people as any other alert would."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--severity", choices=Severity.values, default=Severity.WARNING)
        parser.add_argument("--who", default="", help="whose test it is; without it, the login of this shell")

    def handle(self, *args: Any, severity: str, who: str, **options: Any) -> None:
        now = timezone.now()
        alert, is_open = store.turn_test(who=who or getpass.getuser(), now=now, severity=severity)
        publishing.publish([alert], now=now)
        done = "raised; run the command again to clear it" if is_open else "cleared"
        self.stdout.write(f"test alert {alert.pk} {done}")
