"""Totals over what the sockets of one web process see: computed once for all that see the same accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson

from portfolio import rollup
from portfolio.live.board import LiveBoard
from portfolio.live.changes import ChangeNumbers
from portfolio.rollup import AccountSummary, PositionSums
from portfolio.totals.totals_store import PortfolioTotals

Accounts = frozenset[int] | None
"""Account ids; None: all."""
Sums = dict[str, dict[str, Any]]
"""{environment: totals}, as `rollup.totals` returns them."""

_Basis = tuple[int, tuple[str, ...], list[AccountSummary] | None, PortfolioTotals | None]


class Totals:
    """The totals of a board, and which of them were sent."""

    def __init__(self, board: LiveBoard, changes: ChangeNumbers) -> None:
        self._board, self._changes = board, changes
        self._known: dict[Accounts, tuple[_Basis, Sums]] = {}
        self._sent: dict[Accounts, bytes] = {}

    def of(self, accounts: Accounts) -> Sums:
        """Return the totals over these accounts as the board is; environments without any only to all.

        Positions are added up here only where the refresh has not added up these very positions and prices:
        totals must not be older than the rows beside them.
        """
        board = self._board
        environments = board.environments if accounts is None else ()
        basis = self._changes.number, environments, board.account_summaries, board.refreshed
        known = self._known.get(accounts)
        if known is None or known[0] != basis:
            summaries = _seen(board.account_summaries, accounts)
            sums = rollup.totals_of(
                self._position_sums(accounts), environments=environments, accounts=summaries
            )
            known = self._known[accounts] = basis, sums
        return known[1]

    def _position_sums(self, accounts: Accounts) -> Mapping[int, PositionSums]:
        refreshed = self._board.refreshed
        if refreshed is not None and _is_of_the_board(refreshed, self._board):
            return refreshed.seen_by(accounts).sums
        return rollup.sums_by_account(self._board.totals_rows(accounts))

    def shown(self, accounts: Accounts, sums: Sums) -> None:
        """Note what a snapshot has sent."""
        self._sent.setdefault(accounts, orjson.dumps(sums))

    def news(self, watched: Iterable[Accounts]) -> dict[Accounts, bytes]:
        """Return, serialised, the totals that are not as they were last sent. Others are forgotten."""
        now = {accounts: orjson.dumps(self.of(accounts)) for accounts in set(watched)}
        news = {
            accounts: sums for accounts, sums in now.items() if self._sent.get(accounts) not in (None, sums)
        }
        self._sent = now
        self._known = {accounts: kept for accounts, kept in self._known.items() if accounts in now}
        return news


def _is_of_the_board(totals: PortfolioTotals, board: LiveBoard) -> bool:
    """Return whether totals are of the board's very positions and prices, and newer than its last change."""
    if board.changed_at is not None and totals.at < board.changed_at:
        return False
    if any(board.sequences.get(account, 0) != last for account, last in totals.sequences.items()):
        return False
    keys = board.keys()
    if sum(sums.positions for sums in totals.sums.values()) != len(keys):
        return False
    for position, price in map(board.priced, keys):
        mark = totals.marks.get(position.account.row["environment"], {}).get(position.market.id)
        if mark != (None if price.at is None else (price.text, price.at)):
            return False
    return True


def _seen(
    summaries: list[AccountSummary] | None, accounts: Collection[int] | None
) -> list[AccountSummary] | None:
    if summaries is None or accounts is None:
        return summaries
    return [account for account in summaries if account["id"] in accounts]
