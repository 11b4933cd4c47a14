"""One background event loop per process: every async venue client of the process lives on it.

A ccxt instance is bound to the loop it first ran on, and Celery tasks and management commands are
synchronous: they call `run(coroutine)`. The loop starts lazily (so: after a fork) and closes its clients
when the process ends.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from positions.venues.errors import Transient

T = TypeVar("T")
DEFAULT_TIMEOUT = 120.0
_CLOSING = 5.0


class BackgroundLoop:
    """An event loop in a daemon thread, restarted in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid: int | None = None
        self._closers: list[Callable[[], Awaitable[None]]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                self._closers = []
                thread = threading.Thread(target=self._loop.run_forever, name="venues", daemon=True)
                thread.start()
                atexit.register(self.close)
            return self._loop

    def run(self, work: Coroutine[Any, Any, T], *, timeout: float = DEFAULT_TIMEOUT) -> T:
        """Run a coroutine on the loop and wait for its result, at most `timeout` seconds (then Transient)."""
        if _running_loop() is self.loop:
            work.close()
            raise RuntimeError("run() was called from the venues' own loop: await the coroutine instead")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise Transient(f"no answer within {timeout:g} s") from None

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Await `closer()` on the loop before it stops."""
        if closer not in self._closers:
            self._closers.append(closer)

    def close(self) -> None:
        """Close every client (best effort, at most a few seconds), then stop the loop."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._pid != os.getpid() or not loop.is_running():
            return
        closing = asyncio.run_coroutine_threadsafe(_close_all(self._closers), loop)
        try:
            closing.result(_CLOSING)
        except concurrent.futures.TimeoutError:
            closing.cancel()
        loop.call_soon_threadsafe(loop.stop)
        self._closers = []


async def _close_all(closers: list[Callable[[], Awaitable[None]]]) -> None:
    await asyncio.gather(*(closer() for closer in closers), return_exceptions=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Locks:
    """A lock per name and event loop; those of a loop that is gone go with it, held or not."""

    def __init__(self) -> None:
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = (
            WeakKeyDictionary()
        )

    def of(self, name: str) -> asyncio.Lock:
        """The running loop's lock of that name."""
        return self._held.setdefault(asyncio.get_running_loop(), {}).setdefault(name, asyncio.Lock())


background = BackgroundLoop()


def run(work: Coroutine[Any, Any, T], *, timeout: float = DEFAULT_TIMEOUT) -> T:
    """Run a venue coroutine on the process's background loop: the synchronous door for tasks and commands."""
    return background.run(work, timeout=timeout)
