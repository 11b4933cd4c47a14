"""Something that waits now and then, beside others that do, in one process and on one connection."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import connections as connections_of_django

if TYPE_CHECKING:
    from tests.reconciliation.world import World

STUCK = 300


class Worker(threading.Thread):
    """Something that waits now and then, beside others that do: a run, as another process would make it.

    One thread works at a time, so that nothing depends on the machine; all share the world's connection.
    """

    def __init__(self, world: World, work: Callable[[Callable[[float], None]], object]) -> None:
        super().__init__(daemon=True)
        self.world, self.work = world, work
        self.wakes_at = 0.0
        self.error: BaseException | None = None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._connection = connections_of_django["default"]
        self._connection.inc_thread_sharing()

    def go(self) -> bool:
        """Give it the turn until it waits or ends; whether it ended. Raises what it raised."""
        self._turn.release() if self.is_alive() else self.start()
        if not self._back.acquire(timeout=STUCK):
            raise RuntimeError("a run neither waits nor ends")
        if self.error is not None:
            raise self.error
        return self.wakes_at == math.inf

    def run(self) -> None:
        connections_of_django["default"] = self._connection
        try:
            self.work(self.wait)
        except BaseException as error:  # noqa: BLE001  raised again where the world goes on
            self.error = error
        self.wakes_at = math.inf
        self._back.release()

    def wait(self, seconds: float) -> None:
        """Let the world go on for so long."""
        self.wakes_at = self.world.passed + seconds
        self._back.release()
        if not self._turn.acquire(timeout=STUCK):
            raise RuntimeError("the world has stopped")
