"""Sums over what the sockets of one web process see: made once for all who see the same accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from portfolio import rollup
from portfolio.account_summaries import Standing
from portfolio.live.board import LiveBoard
from portfolio.live.changes import Changes

Accounts = frozenset[int] | None
"""Ids; None: all."""
Sums = dict[str, dict[str, Any]]
"""By environment, as `rollup.totals` returns them."""

_Stand = tuple[int, tuple[str, ...], list[Standing] | None]


class Totals:
    """The sums of a board, and which of them were told."""

    def __init__(self, board: LiveBoard, changes: Changes) -> None:
        self._board, self._changes = board, changes
        self._known: dict[Accounts, tuple[_Stand, Sums]] = {}
        self._told: dict[Accounts, bytes] = {}

    def of(self, accounts: Accounts) -> Sums:
        """Return the sums over these accounts as the board stands; environments without any only to all."""
        environments = self._board.environments if accounts is None else ()
        stand = self._changes.number, environments, self._board.standing
        known = self._known.get(accounts)
        if known is None or known[0] != stand:
            rows = self._board.summed(accounts)
            standing = self._board.standing
            if standing is not None and accounts is not None:
                standing = [one for one in standing if one["id"] in accounts]
            known = stand, rollup.totals(rows=rows, environments=environments, accounts=standing)
            self._known[accounts] = known
        return known[1]

    def shown(self, accounts: Accounts, sums: Sums) -> None:
        """A snapshot has told these."""
        self._told.setdefault(accounts, orjson.dumps(sums))

    def news(self, watched: Iterable[Accounts]) -> dict[Accounts, bytes]:
        """Return, serialised, the sums that are not as they were last told. Others are forgotten."""
        now = {accounts: orjson.dumps(self.of(accounts)) for accounts in set(watched)}
        news = {
            accounts: sums for accounts, sums in now.items() if self._told.get(accounts) not in (None, sums)
        }
        self._told = now
        self._known = {accounts: kept for accounts, kept in self._known.items() if accounts in now}
        return news
