"""When a message that was not accepted is tried again. Pure."""

from __future__ import annotations

from datetime import timedelta

FIRST = timedelta(seconds=5)
LONGEST = timedelta(minutes=5)
GIVEN_UP_AFTER = timedelta(hours=24)
JITTER = 0.2


def wait(*, attempts: int, chance: float) -> timedelta:
    """Return how long to wait after so many attempts: doubled each time up to LONGEST, ± JITTER.

    `chance` from 0 to 1 spreads those that failed together, so that they do not come back together.
    """
    doubled: timedelta = min(FIRST * 2 ** min(max(attempts, 1) - 1, 20), LONGEST)
    return doubled * (1 - JITTER + 2 * JITTER * chance)
