"""Embedded PostgreSQL and Valkey under the data directory, for the demo, the tests and `bin/manage`.

Django-free. Settings never start a service: they read `services.json`, which exists while the services run.
Several processes may use one data directory: each registers a handle (pid and start time), and the last
one that leaves stops the services. Handles of processes that died are ignored, so kill -9 leaks nothing
but a running server, which the next start takes over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.servers import (
    Postgres,
    ServiceFailed,
    Valkey,
    WrongPassword,
    born,
    free_port,
    is_alive,
    read_json,
    write_private,
)

SERVICES_FILE = "services.json"


@dataclass(frozen=True)
class Urls:
    """Where the services answer. Both URLs carry the generated password."""

    database: str
    redis: str


class Services:
    """The two services of one data directory, shared by every process that holds a handle."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state_file = self.data_dir / "embedded.json"
        with self._locked() as state:
            password = state.setdefault("password", secrets.token_hex(16))
        self.postgres = Postgres(self.data_dir, password=password, durable=durable)
        self.valkey = Valkey(self.data_dir, password=password, durable=durable)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        """Hold the directory's lock and yield its state, which is saved afterwards."""
        with (self.data_dir / "embedded.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = read_json(self._state_file)
            yield state
            write_private(self._state_file, json.dumps(state))

    def acquire(self) -> Urls:
        """Start what does not run, register this process as a user, and return the URLs.

        Raises ServiceFailed when a service cannot be started.
        """
        with self._locked() as state:
            ports = state.setdefault("ports", {})
            for service in (self.postgres, self.valkey):
                if service.running() is None:
                    ports[service.name] = free_port(ports.get(service.name))
                    _start_patiently(service, ports[service.name])
                else:
                    ports[service.name] = service.port() or ports[service.name]
            urls = Urls(
                database=self.postgres.url(ports[self.postgres.name]),
                redis=self.valkey.url(ports[self.valkey.name]),
            )
            write_private(
                self.data_dir / SERVICES_FILE,
                json.dumps({"database_url": urls.database, "redis_url": urls.redis}),
            )
            state["handles"] = [*_living(state.get("handles", [])), [os.getpid(), born(os.getpid())]]
        return urls

    def release(self) -> None:
        """Give this process's handle back; the last one stops the services."""
        with self._locked() as state:
            own = [os.getpid(), born(os.getpid())]
            state["handles"] = [handle for handle in _living(state.get("handles", [])) if handle != own]
            if state["handles"]:
                return
            (self.data_dir / SERVICES_FILE).unlink(missing_ok=True)
            self.valkey.stop()
            self.postgres.stop()

    def in_use(self) -> bool:
        """Whether a living process holds a handle."""
        with self._locked() as state:
            return bool(_living(state.get("handles", [])))


def _start_patiently(service: Postgres | Valkey, port: int) -> None:
    # After kill -9 of a postmaster its children need a moment to go before the files may be used again.
    for attempt in range(1, 6):
        try:
            service.start(port)
        except WrongPassword:
            service.stop()
            raise
        except ServiceFailed:
            if attempt == 5:
                raise
            time.sleep(0.4 * attempt)
        else:
            return


def _living(handles: list[list[Any]]) -> list[list[Any]]:
    return [[pid, started] for pid, started in handles if is_alive(pid, started)]


@contextlib.contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[Urls]:
    """Run both services for the length of the block, unless both URLs are set in the environment."""
    outside = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if outside[0] and outside[1]:
        yield Urls(database=outside[0], redis=outside[1])
        return
    services = Services(data_dir, durable=durable)
    urls = services.acquire()
    try:
        yield Urls(database=outside[0] or urls.database, redis=outside[1] or urls.redis)
    finally:
        services.release()
