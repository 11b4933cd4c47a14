"""When people are told of an alert, and when again: one table, by kind and severity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

CRITICAL, WARNING, INFO = "critical", "warning", "info"
WORST_FIRST = (CRITICAL, WARNING, INFO)
AT_ONCE = timedelta(0)
SHORTLY = timedelta(seconds=30)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

WORSE_BY = Decimal("0.10")
"""Said again once the measure is this much above what people were last told."""
WORSE_AT_MOST_EVERY = timedelta(minutes=1)
"""What gets worse all the time is not said all the time, unless it becomes more severe."""
ESCALATES_AFTER = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=30))
"""A critical alert that nobody acknowledged goes to the next person."""
FLAPS_AFTER = 3
"""Raised again after so many times within FLAP_WINDOW, it comes and goes."""
FLAP_WINDOW = HOUR
QUIET_FOR = timedelta(minutes=30)
"""How long one that comes and goes must be quiet before it is over."""
UNJUDGED_WAIT = SHORTLY
UNJUDGED_AT_MOST_EVERY = HOUR

DUST_USD = Decimal(1)
"""A drift that is worth less is info: on the page, and no mail by itself."""
CRITICAL_USD = Decimal(1000)
"""A drift that is worth this much, or whose worth nobody knows, is critical."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When an alert of one kind is told and cleared.

    `wait`: so long it must hold before people are told; `quiet`: so long it must be over before it clears;
    `grace`: so long its cause must be gone before it is told for itself. `repeat`: after so long without
    acknowledgement it is said again, by severity; none: never.
    """

    wait: timedelta
    quiet: timedelta = AT_ONCE
    grace: timedelta = SHORTLY
    repeat: Mapping[str, timedelta] | None = None


_USUAL = {CRITICAL: HOUR, WARNING: 6 * HOUR, INFO: DAY}

TERMS: Mapping[str, Terms] = {
    "liquidated": Terms(AT_ONCE, repeat={CRITICAL: HOUR}),
    "liquidation_near": Terms(
        AT_ONCE, AT_ONCE, AT_ONCE, {CRITICAL: timedelta(minutes=10), WARNING: HOUR, INFO: DAY}
    ),
    "drift": Terms(AT_ONCE, repeat=_USUAL),
    "unresolved": Terms(AT_ONCE, repeat=_USUAL),
    "proof_old": Terms(SHORTLY, grace=timedelta(seconds=90), repeat=_USUAL),
    "feed_silent": Terms(SHORTLY, timedelta(seconds=5), repeat=_USUAL),
    "limit": Terms(AT_ONCE, timedelta(seconds=5), repeat=_USUAL),
    "allocation": Terms(SHORTLY, repeat={WARNING: DAY}),
    "key": Terms(SHORTLY, repeat=_USUAL),
    "quarantine": Terms(SHORTLY, repeat={WARNING: DAY}),
    "automation_halted": Terms(AT_ONCE, repeat={WARNING: DAY}),
    "component_down": Terms(SHORTLY, timedelta(seconds=5), repeat=_USUAL),
    "test": Terms(AT_ONCE),
}


def more_severe(one: str, other: str) -> bool:
    """Return whether `one` is more severe than `other`; "" is less than any."""
    if not other:
        return True
    return WORST_FIRST.index(one) < WORST_FIRST.index(other)
