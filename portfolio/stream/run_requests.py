"""When a watcher asks for a reconciliation run because its stream came up. Pure.

Once what was missed has been read: a run before that would find the very gap that is being filled. And not
for each turn of a stream that comes and goes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciliation.models import Trigger

RECONNECTS_APART = timedelta(seconds=30)


class Arrivals:
    """One account's: START for the first time that its stream is live, RECONNECT for later ones."""

    def __init__(self) -> None:
        self._arrived = False
        self._asked_at: datetime | None = None

    def arrived(self) -> None:
        """The stream is up, for the first time or again."""
        self._arrived = True

    def due(self, *, now: datetime, live: bool) -> Trigger | None:
        """Return, once, the run to ask for now; `live`: what was missed has been read."""
        if not self._arrived or not live:
            return None
        if self._asked_at is not None and now - self._asked_at < RECONNECTS_APART:
            return None
        trigger = Trigger.START if self._asked_at is None else Trigger.RECONNECT
        self._arrived, self._asked_at = False, now
        return trigger
