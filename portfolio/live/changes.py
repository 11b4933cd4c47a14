"""Numbers of changes, so that a client which comes back gets what it missed, once and in order.

Note [Resuming]: a token is `epoch-number`. The number counts changes of one hub, and each row remembers the
one that last touched it; the epoch is random and new with each hub. So a client that comes back with a token
gets every row that changed since, as it is now and in order, once; with a token of another epoch, a snapshot.
"""

from __future__ import annotations

import secrets

from portfolio.live.board_position import Row

KEEP_GONE = 2_000


class ChangeNumbers:
    """The number of each row's last change, and the rows that left."""

    def __init__(self) -> None:
        self.number = 0
        self._epoch = secrets.token_hex(4)
        self._numbers: dict[int, int] = {}  # position → number of its last change
        self._gone: dict[int, Row] = {}  # rows that left, the last to leave last
        self._forgotten = 0

    @property
    def token(self) -> str:
        """Return the token of the last change."""
        return self.token_of(self.number)

    def token_of(self, number: int) -> str:
        """Return the token of a change."""
        return f"{self._epoch}-{number}"

    def note(self, key: int, *, left: Row | None = None) -> None:
        """Count a change of a position. `left` is its last row."""
        self.number += 1
        self._numbers[key] = self.number
        self._gone.pop(key, None)
        if left is not None:
            self._gone[key] = left
            if len(self._gone) > KEEP_GONE:
                oldest = next(iter(self._gone))
                del self._gone[oldest]
                self._forgotten = max(self._forgotten, self._numbers.pop(oldest))

    def since(self, token: str | None) -> list[tuple[int, int]] | None:
        """Return (number, position) of what changed since, in order; None where that is not known."""
        epoch, _, number = (token or "").rpartition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit()):
            return None
        since = int(number)
        if not self._forgotten <= since <= self.number:
            return None
        if since == self.number:
            return []
        return sorted((number, key) for key, number in self._numbers.items() if number > since)

    def gone(self, key: int) -> Row | None:
        """Return the last row of a position that left."""
        return self._gone.get(key)
