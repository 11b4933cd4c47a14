"""How far a venue's clock is from ours, so that a report is as of a time that its facts can be compared with.

Note [As of, by the venue's clock]: facts carry the venue's time. Where a report carries none, it is as of
when we asked. By our own clock, off by a second, the newest facts would be on the wrong side of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import structlog

from positions.venues.decoding import ROW_ERRORS, corrupt
from positions.venues.errors import VenueError
from positions.venues.fields import moment
from positions.venues.transport.conversation import Conversation

# Clocks drift slowly; one that jumps is noticed within this time.
RENEWED_AFTER = 300.0
# A venue's clock is known to within half of what the answer took.
WITHIN = 0.5
TRIES = 3

log = structlog.get_logger("venues")


class VenueClock:
    """The venue's clock minus ours: asked for at first use, and again once that is some minutes ago."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[timedelta | None]],
        *,
        venue: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._venue = venue
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._offset = timedelta(0)

    async def offset(self) -> timedelta:
        """Return the offset; what was known before, at first nothing, while the venue does not tell it."""
        if self._asked_at is not None and self._monotonic() - self._asked_at < RENEWED_AFTER:
            return self._offset
        self._asked_at = self._monotonic()
        try:
            self._offset = await self._measured()
        except VenueError as error:
            # Its state may be read all the same; seconds near an opening balance are decided by comparison.
            log.warning("the venue does not tell its time", venue=self._venue, error=str(error))
        return self._offset

    async def _measured(self) -> timedelta:
        """Return the first answer that was quick, else the last one. Raises VenueError."""
        offset: timedelta | None = None
        for _ in range(TRIES):
            begun = self._monotonic()
            offset = await self._ask()
            if offset is None:
                return timedelta(0)
            if self._monotonic() - begun < WITHIN:
                break
        return offset or timedelta(0)


def told_offset(milliseconds: Any, talk: Conversation) -> timedelta | None:
    """Return how far a time that the venue told was from ours in the middle of the round trip.

    Raises Corrupt for what is no time.
    """
    if talk.last is None or talk.last.received_at is None:
        return None
    middle = talk.last.sent_at + (talk.last.received_at - talk.last.sent_at) / 2
    try:
        return moment(milliseconds) - middle
    except ROW_ERRORS as error:
        raise corrupt("the venue's time", error, talk) from error
