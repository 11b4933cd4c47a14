"""manage.py stream: watch the accounts, together with every other copy of this process."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from typing import Any, NoReturn

import structlog
from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from core.process import handles, heartbeats, interpreter
from core.process.startup import await_services
from portfolio.alerts import watch
from portfolio.stream.supervisor import Stream
from positions.sync import connections
from positions.venues.base import AccountConfig, VenueError
from positions.venues.registry import VENUES, open_venue

LEAVE_WITHIN = 4.5
LOOK_EVERY = 1.0

log = structlog.get_logger("stream")


class Command(BaseCommand):
    help = "Watch all enabled accounts: fills, positions and prices. Run any number of copies."
    requires_system_checks = [Tags.security]  # of the credentials' keys

    def handle(self, **options: Any) -> None:
        """Watch until SIGTERM or SIGINT."""
        await_services()
        handles.watch()
        interpreter.tune()
        heartbeats.start("stream")
        stream = Stream()  # before anything asks Postgres: it names the sessions and limits them
        _refuse_what_cannot_work()
        # A handler runs in the middle of anything the main thread does; only this queue may be used there.
        signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: signals.put(number))
        watch.start()
        threading.Thread(target=_guard, args=(stream, signals), name="guard", daemon=True).start()
        stream.run()
        # A thread may still wait for a venue or a lost network: everything is given back, nobody needs it.
        _leave(0)


def _refuse_what_cannot_work() -> None:
    """Raises CommandError: one line that says what to do."""
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    connection.close()
    if missing:
        raise CommandError(
            f"the database lacks {len(missing)} migrations: run `manage.py migrate`, then start the stream"
        )
    venue = settings.REFERENCE_VENUE
    if venue and venue not in VENUES:
        try:
            open_venue(AccountConfig(account="reference prices", venue=venue), connections.ports())
        except VenueError as error:
            raise CommandError(f"REFERENCE_VENUE: {error}; empty means none") from error


def _guard(stream: Stream, signals: queue.SimpleQueue[int]) -> None:
    """Wait for a signal and see to it that the process ends soon; end one that hangs, to be started anew."""
    while True:
        try:
            signals.get(timeout=LOOK_EVERY)
            break
        except queue.Empty:
            if stream.hangs():
                log.critical("the supervisor hangs: this copy ends, to be started anew")
                _leave(1)
    stream.stop()
    # Where Postgres or the network is gone nothing can be drained: the leases are lost anyway.
    deadline = time.monotonic() + LEAVE_WITHIN
    while time.monotonic() < deadline and not stream.holds_nothing:
        time.sleep(0.05)
    if stream.holds_nothing:
        time.sleep(0.2)  # `run` is about to return, or hangs
        _leave(0)
    _leave(1)


def _leave(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
