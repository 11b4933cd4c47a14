"""What is true of every state of a position, whatever happened to it."""

from __future__ import annotations

from positions.book.entries import Leg
from positions.book.money import MAX_DECIMALS
from positions.book.position import PositionState


def broken(position: PositionState) -> tuple[str, ...]:
    """Return the laws that a state breaks, in words; none for any state that `apply` or `fold` returned.

    A leg on the wrong side (see `wrong_side`) is no broken law: facts are missing then.
    """
    flat = not position.size
    laws = {
        "a flat position has no cost": not flat or position.open_cost == 0,
        "a cost is not negative": position.open_cost is None or position.open_cost >= 0,
        "an open position has no closing time": flat or position.closed_at is None,
        "a closed episode has one": not flat or position.opened_by is None or position.closed_at is not None,
        "a size belongs to an episode": flat or position.opened_by is not None,
        "the peak is the largest size": position.size.copy_abs() <= position.peak_size,
        "an episode ends after it began": position.closed_at is None
        or (position.opened_at is not None and position.opened_at <= position.closed_at),
        "money has 18 places": all(
            int(number.as_tuple().exponent) == -MAX_DECIMALS
            for number in (position.size, position.open_cost, position.realized_pnl, position.fees_value)
            if number is not None
        ),
    }
    return tuple(law for law, holds in laws.items() if not holds)


def wrong_side(position: PositionState) -> bool:
    """Return whether a long leg is short, or a short leg long: then facts are missing."""
    return (position.leg is Leg.LONG and position.size < 0) or (
        position.leg is Leg.SHORT and position.size > 0
    )
