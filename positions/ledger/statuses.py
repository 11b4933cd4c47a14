"""Which status an episode may have next. A refold is not bound by it: it writes `corrected`."""

from __future__ import annotations

from positions.book import PositionStatus
from positions.models import Status

MOVES: dict[str, frozenset[str]] = {
    Status.OPENING: frozenset({Status.OPEN, Status.CLOSED, Status.VOID}),
    Status.OPEN: frozenset({Status.REDUCED, Status.CLOSING, Status.CLOSED, Status.LIQUIDATED}),
    Status.REDUCED: frozenset({Status.OPEN, Status.CLOSING, Status.CLOSED, Status.LIQUIDATED}),
    Status.CLOSING: frozenset({Status.OPEN, Status.REDUCED, Status.CLOSED, Status.LIQUIDATED}),
    Status.CLOSED: frozenset(),
    Status.LIQUIDATED: frozenset(),
    Status.VOID: frozenset(),
}


class IllegalStatusMove(Exception):
    """A position cannot go from one status to the other. Attributes: `position`, `before`, `after`."""

    def __init__(self, *, position: int | None, before: str, after: str) -> None:
        super().__init__(f"position {position or '(new)'} cannot go from {before} to {after}")
        self.position, self.before, self.after = position, before, after


def check(*, position: int | None, before: str, after: str) -> None:
    """Raise IllegalMove unless the table has this move; staying is no move."""
    if after != before and after not in MOVES[before]:
        raise IllegalStatusMove(position=position, before=before, after=after)


def folded_status(*, current: str | None, folded: PositionStatus) -> str:
    """Return the status after a fold: the fold's own, but a position that an order closes stays CLOSING."""
    if current == Status.CLOSING and folded in (PositionStatus.OPEN, PositionStatus.REDUCED):
        return Status.CLOSING
    return str(Status(folded.value))
