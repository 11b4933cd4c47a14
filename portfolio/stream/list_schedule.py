"""When an account's lists are read: after a reconnect, a gap or silence at once, else now and then.

Pure: no clock of its own, no network. A list is read from its cursor, so each reading is bounded by what the
last one proved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from positions.venues.base import Method

# While the stream flows, lists are read to prove that it lost nothing, and to move the cursors. Seldom, as a
# list costs a sixtieth of what Hyperliquid allows in a minute; but before reconciliation's ten minutes are
# over, or that asks too.
SWEEP = {
    Method.FILLS: timedelta(seconds=540),
    Method.FUNDING: timedelta(seconds=600),
    Method.TRANSFERS: timedelta(seconds=600),
}
CASH_WITHOUT_STREAM = timedelta(seconds=30)
# Facts of a coin that is not listed yet are looked for again.
WHILE_ONE_WAITS = timedelta(seconds=10)


@dataclass(slots=True)
class ListSchedule:
    """Which lists are due. `poll_every`, `cash_every`: how often fills, and what else moves cash, are asked
    for while nothing streams.
    """

    poll_every: timedelta
    cash_every: timedelta = CASH_WITHOUT_STREAM
    asked: set[Method] = field(default_factory=lambda: set(SWEEP))
    read_at: dict[Method, datetime] = field(default_factory=dict)
    not_before: datetime | None = None
    again_at: dict[Method, datetime] = field(default_factory=dict)

    def ask(self, *methods: Method) -> None:
        """Read these (all, if none is named) as soon as the venue allows."""
        self.asked.update(methods or SWEEP)

    def due(self, *, now: datetime, flows: bool) -> list[Method]:
        """Return what to read now, fills before all: people wait for them, and rate budgets are small.

        `flows` says whether a stream tells what happens meanwhile.
        """
        if self.not_before is not None and now < self.not_before:
            return []
        found = [method for method in SWEEP if method in self.asked or self._is_old(method, now, flows)]
        return [Method.FILLS] if Method.FILLS in found else found

    def _is_old(self, method: Method, now: datetime, flows: bool) -> bool:
        again_at, read_at = self.again_at.get(method), self.read_at.get(method)
        if again_at is not None and now >= again_at:
            return True
        return read_at is None or now - read_at >= self._every(method, flows)

    def _every(self, method: Method, flows: bool) -> timedelta:
        if flows:
            return SWEEP[method]
        return self.poll_every if method is Method.FILLS else self.cash_every

    def begin(self, methods: list[Method]) -> None:
        """Note that these are being read; a request from now on counts anew."""
        self.asked.difference_update(methods)

    def done(self, methods: list[Method], *, now: datetime, waits: bool = False) -> None:
        """Note that these were read up to now; `waits`: facts in them wait for their coin to be listed."""
        self.not_before = None
        self.read_at.update(dict.fromkeys(methods, now))
        for method in methods:
            self.again_at.pop(method, None)
        if waits:
            self.again_at.update(dict.fromkeys(methods, now + WHILE_ONE_WAITS))

    def failed(self, methods: list[Method], *, until: datetime) -> None:
        """Note that these could not be read; try again at `until`."""
        self.asked.update(methods)
        self.not_before = until
