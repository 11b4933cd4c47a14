"""manage.py stream: watch the accounts, together with every other copy of this process."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from core.startup import await_services
from portfolio.stream import Stream

LEAVE_WITHIN = 4.5


class Command(BaseCommand):
    help = "Watch all enabled accounts: fills, positions and prices. Run any number of copies."
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        """Watch until SIGTERM or SIGINT."""
        await_services()
        stream = Stream()

        def stop(*_: object) -> None:
            stream.stop()
            # Where Postgres or the network is gone nothing can be drained: the leases are lost anyway.
            last_resort = threading.Timer(LEAVE_WITHIN, os._exit, (1,))
            last_resort.daemon = True
            last_resort.start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        stream.run()
        # A thread may still wait for a venue or a lost network: everything is given back, nobody needs it.
        logging.shutdown()
        os._exit(0)
