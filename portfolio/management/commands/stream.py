"""manage.py stream: watch the accounts, together with every other copy of this process."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand

from core.startup import await_services
from portfolio.stream import Stream


class Command(BaseCommand):
    help = "Watch all enabled accounts: fills, positions and prices. Run any number of copies."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        """Watch until SIGTERM or SIGINT."""
        await_services()
        stream = Stream()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stream.stop())
        stream.run()
        # A thread may still wait for a venue or a lost network: everything is given back, nobody needs it.
        logging.shutdown()
        os._exit(0)
