"""What each wallet of an account holds at connection: its opening balances, from which its cash is counted.

Note [T0 at rest]: a wallet whose figure has no time of its own was read some time around its report: one
question of a report may be answered, or asked again, seconds after the others. So such wallets are read until
three reports in a row say the same; the time of the second then lies between the first figure and the third.
An account that never rests is opened by the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from positions.book import Cause, Entry, Kind
from positions.sync.connections import run
from positions.venues.base import Report, Venue

AT_REST, MOST_LOOKS = 3, 8


def balances(*, venue: Venue) -> list[Entry] | None:
    """Return the opening balances, each at its wallet's T0; None where a wallet could not be read.

    Asks every part of the venue, in use or not. Raises VenueError.
    """
    whole = run(venue.report(scopes={one.scope for one in run(venue.instruments())}))
    looks = [whole]
    while len(looks) < AT_REST or (_moved(looks[-AT_REST:]) and len(looks) < MOST_LOOKS):
        looks.append(run(venue.report()))
    if not all(one.balances_complete for one in looks):
        return None
    held = looks[-2]
    timed = [(row, row.as_of) for row in whole.balances if row.as_of is not None]
    timeless = [(row, held.as_of) for row in held.balances if row.as_of is None]
    return [
        Entry(
            kind=Kind.TRANSFER,
            cause=Cause.OPENING,
            venue_ref=f"opening:{row.wallet}:{row.asset}",
            time=at,
            leg=None,
            amount=row.total,
            currency=row.asset,
            wallet=row.wallet,
        )
        for row, at in (*timed, *timeless)
        if row.total is not None
    ]


def _moved(looks: Sequence[Report]) -> bool:
    """Whether reports differ in a wallet whose figure has no time of its own."""
    told = [
        {(row.wallet, row.asset): row.total for row in one.balances if row.as_of is None and row.total}
        for one in looks
    ]
    return any(one != told[0] for one in told)
