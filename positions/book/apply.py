"""In-order arithmetic: one entry, one new state."""

from __future__ import annotations

from positions.book.entries import Entry
from positions.book.position import Change, Position


class OutOfOrder(Exception):
    """The entry belongs before what was already applied: fold the key again.

    Attributes: `venue_ref` of the entry, `after` the position's last reference.
    """

    def __init__(self, *, venue_ref: str, after: str | None) -> None:
        super().__init__(f"{venue_ref} belongs before {after}: fold again")
        self.venue_ref = venue_ref
        self.after = after


def apply(position: Position, entry: Entry) -> tuple[Position, Change]:
    """The position after one entry, and what the entry did.

    Start with `Position(contract=…, instrument=…, leg=…)`. After a close the closed episode is returned, and the next
    fill opens a new one; a flip returns the newly opened episode and, in `Change.closed`, the finished one. Funding,
    fees and interest after a close belong to the last closed episode. Spot entries come through `cash.by_asset` first.

    Raises OutOfOrder when the entry's place is not provably after all that was applied; bust and amend are for `fold`
    only and raise OutOfOrder too.
    """
    raise NotImplementedError
