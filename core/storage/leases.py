"""Leases: locks in Postgres on work that only one process may do, held by one dedicated connection.

A lease is a session-level advisory lock. The connection is never pooled; it runs `SELECT 1` every second
with a 2 s time-out, and the server ends a session that is idle for 4 s. So a holder that lost the network
stops (within 3 s) before another process can take over (after 4 s).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from types import TracebackType

import psycopg
import psycopg.conninfo
import structlog
from django.conf import settings

ASK_EVERY = 1.0
ANSWER_WITHIN = 2.0
SERVER_FREES_AFTER_MS = 4000

log = structlog.get_logger("leases")


class LeaseLost(RuntimeError):
    """The connection that held the leases is gone: stop what they guarded, then make new Leases."""


_NOT_LIBPQ = frozenset({"pool"})


def database_conninfo(**server_settings: object) -> str:
    """Return psycopg's conninfo of the default database, for connections outside Django's pool.

    It has every option of DATABASE_URL. `server_settings` hold for the session, beside those of the URL.
    """
    database = settings.DATABASES["default"]
    names = {"host": "HOST", "port": "PORT", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
    options = {key: value for key, value in database["OPTIONS"].items() if key not in _NOT_LIBPQ}
    options["options"] = with_server_settings(options.get("options"), **server_settings)
    parts = {key: database[name] for key, name in names.items()} | options
    return psycopg.conninfo.make_conninfo(**{key: str(value) for key, value in parts.items()})


def with_server_settings(options: str | None, **server_settings: object) -> str:
    """Return libpq's `options` with these settings of the server added; of two values the last one holds."""
    added = (f"-c {name}={value}" for name, value in server_settings.items())
    return " ".join((options or "", *added)).strip()


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class Leases:
    """All leases of one process. Thread-safe. `on_lost` is called once, from the watching thread."""

    def __init__(self, *, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._held: set[str] = set()
        self._lost = False
        self._closed = threading.Event()
        self._answered_at = time.monotonic()
        self._connection = psycopg.connect(
            database_conninfo(idle_session_timeout=SERVER_FREES_AFTER_MS),
            autocommit=True,
            connect_timeout=int(ANSWER_WITHIN),
            application_name=f"plumbline leases {os.getpid()}",
        )
        # One worker: statements on the connection stay in order, and each can be given up on.
        self._asker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="leases-ask")
        self._watcher = threading.Thread(target=self._watch, name="leases-watch", daemon=True)
        self._watcher.start()

    def acquire(self, name: str) -> bool:
        """Return whether this process now holds `name`. Raises LeaseLost when the connection is gone."""
        if name in self.held():
            return True
        if self._ask("SELECT pg_try_advisory_lock(%s)", _number(name)):
            self._held.add(name)
            return True
        return False

    def release(self, name: str) -> None:
        if name in self._held:
            self._held.discard(name)
            self._ask("SELECT pg_advisory_unlock(%s)", _number(name))

    def held(self) -> frozenset[str]:
        """Return the leases held for sure now: none once the server has been silent too long."""
        return frozenset(self._held) if self.are_sure() else frozenset()

    def are_sure(self) -> bool:
        """Whether the server has answered lately, so that it cannot have freed what is held."""
        return not self._lost and time.monotonic() - self._answered_at <= ASK_EVERY + ANSWER_WITHIN

    def confirm(self) -> None:
        """Ask the server, unless it has answered lately: as long as the session lives nothing has been freed.

        For a process that was late itself. Raises LeaseLost.
        """
        if not self.are_sure():
            self._ask("SELECT 1")

    def close(self) -> None:
        """Give everything back."""
        self._closed.set()
        if not self._lost:
            self._asker.submit(self._connection.close)
        self._asker.shutdown(wait=False)
        if threading.current_thread() is not self._watcher:
            self._watcher.join(ANSWER_WITHIN)

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, statement: str, *values: int) -> object:
        if self._lost or self._closed.is_set():
            raise LeaseLost("the lease connection is closed")
        try:
            row = self._asker.submit(self._answer, statement, values).result(ANSWER_WITHIN)
        except (psycopg.Error, FutureTimeout, RuntimeError) as error:
            self._lose(error)
            raise LeaseLost("Postgres did not answer the lease connection in time") from error
        self._answered_at = time.monotonic()
        return row

    def _answer(self, statement: str, values: tuple[int, ...]) -> object:
        row = self._connection.execute(statement, values or None).fetchone()
        return row[0] if row else None

    def _watch(self) -> None:
        while not self._closed.wait(ASK_EVERY):
            with contextlib.suppress(LeaseLost):
                self._ask("SELECT 1")
            if self._lost:
                return

    def _lose(self, error: BaseException) -> None:
        if self._lost or self._closed.is_set():
            return
        self._lost = True
        held, self._held = sorted(self._held), set()
        log.warning("leases lost", held=held, error=type(error).__name__)
        # A thread may sit in recv() on a dead network: shutting the socket down wakes it.
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(self._connection.fileno())) as raw,
        ):
            raw.shutdown(socket.SHUT_RDWR)
        self._on_lost()
