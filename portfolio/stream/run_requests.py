"""When a watcher requests a reconciliation run because its stream came up.

It does so once what was missed has been read: an earlier run would find the very gap that is being filled.
A stream that comes and goes does not get a run each time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciliation.models import Trigger

RECONNECTS_APART = timedelta(seconds=30)


class RunRequests:
    """The runs that one account's stream causes: START when it is live for the first time, then RECONNECT."""

    def __init__(self) -> None:
        self._came_up = False
        self._asked_at: datetime | None = None

    def stream_came_up(self) -> None:
        """Note that the stream is up, for the first time or again."""
        self._came_up = True

    def due(self, *, now: datetime, live: bool) -> Trigger | None:
        """Return the run to request now, each once. `live`: what was missed has been read."""
        if not self._came_up or not live:
            return None
        if self._asked_at is not None and now - self._asked_at < RECONNECTS_APART:
            return None
        trigger = Trigger.START if self._asked_at is None else Trigger.RECONNECT
        self._came_up, self._asked_at = False, now
        return trigger
