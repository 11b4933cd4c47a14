"""How often accounts are polled where nothing streams, so that together they leave most of the venue's rate
budget to what cannot wait: proofs, orders, backfills.

Note [Pacing]: a list of Hyperliquid costs 20 of the 1200 a minute that one IP address has; asked every few
seconds, two wallets use it up. So each kind of asking has a share, and the more accounts there are, the
longer each waits. A report is cheap (2 a part): it is asked more often, and where it differs from the book,
the fills are asked for at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from positions.book.world import World
from positions.venues.base import Environment


class Work(StrEnum):
    """A kind of polling."""

    FILLS = "fills"
    CASH = "cash"
    STATE = "state"
    MARKS = "marks"


@dataclass(frozen=True, slots=True)
class Cost:
    """The documented weight of asking once, and what all accounts may spend on it in a minute."""

    weight: float
    per_minute: float


# Hyperliquid: 120 of 1200 a minute in all; a report of main dex, one builder's dex and spot; two lists of
# cash; the mids of two dexes, for all accounts at once.
COSTS: Mapping[str, Mapping[Work, Cost]] = {
    "hyperliquid": {
        Work.FILLS: Cost(20, 30),
        Work.CASH: Cost(40, 30),
        Work.STATE: Cost(6, 30),
        Work.MARKS: Cost(4, 30),
    }
}
NONE = timedelta(0)


def at_least(*, world: World, work: Work, accounts: int) -> timedelta:
    """Return the least time between two polls of one account among `accounts`; zero where nothing limits it.

    Prices are asked for all accounts at once: count one. A simulated venue has no budget to spare.
    """
    cost = COSTS.get(world.venue, {}).get(work)
    if cost is None or world.environment == Environment.SIMULATED:
        return NONE
    return timedelta(minutes=cost.weight * accounts / cost.per_minute)
