"""How far a venue's clock is from ours: asked once, and again after some minutes."""

from __future__ import annotations

from datetime import timedelta

from positions.venues.errors import Transient
from positions.venues.generic.clock import RENEWED_AFTER, TRIES, WITHIN, VenueClock

AHEAD = timedelta(milliseconds=400)


class Venue:
    """Tells how far it is ahead, each answer after so many seconds of a clock that tests move."""

    def __init__(self, *told: timedelta | Exception | None, takes: float = 0.0) -> None:
        self.told, self.takes, self.time, self.asked = list(told), takes, 0.0, 0
        self.clock = VenueClock(self.tell, venue="some", monotonic=lambda: self.time)

    async def tell(self) -> timedelta | None:
        told = self.told[min(self.asked, len(self.told) - 1)]
        self.asked += 1
        self.time += self.takes
        if isinstance(told, Exception):
            raise told
        return told


class TestAVenuesClock:
    async def test_is_asked_once_in_some_minutes(self) -> None:
        venue = Venue(AHEAD, -AHEAD)
        assert [await venue.clock.offset() for _ in range(3)] == [AHEAD] * 3
        venue.time = RENEWED_AFTER
        assert await venue.clock.offset() == -AHEAD
        assert venue.asked == 2

    async def test_is_ours_where_the_venue_tells_none(self) -> None:
        assert await Venue(None).clock.offset() == timedelta(0)

    async def test_is_asked_again_after_a_slow_answer_yet_not_for_ever(self) -> None:
        venue = Venue(AHEAD, takes=WITHIN)
        assert await venue.clock.offset() == AHEAD
        assert venue.asked == TRIES

    async def test_stays_what_it_was_while_the_venue_does_not_tell_it(self) -> None:
        venue = Venue(AHEAD, Transient("503"))
        await venue.clock.offset()
        venue.time = RENEWED_AFTER
        assert await venue.clock.offset() == AHEAD
