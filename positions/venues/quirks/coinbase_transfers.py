"""Coinbase's transactions per wallet (v2): deposits, withdrawals and rewards. Fills come from
their own list.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from positions.book.entries import Cause, Entry, Kind
from positions.venues.base import EntryBatch, Method
from positions.venues.decoding import ROW_ERRORS, BatchBuilder, InstrumentLookup, unexpected
from positions.venues.fields import InvalidField, milliseconds, required, text
from positions.venues.generic.unified_rows import Row
from positions.venues.transport.client import Client

PAGE = 100
MOST_PAGES = 40
SETTLING = timedelta(seconds=1)
_MOVES = frozenset(
    {
        "fiat_deposit",
        "fiat_withdrawal",
        "send",
        "request",
        "transfer",
        "exchange_deposit",
        "exchange_withdrawal",
    }
    | {"pro_deposit", "pro_withdrawal", "vault_withdrawal", "wrap_asset", "unwrap_asset"}
)
_INCOME = frozenset({"staking_reward", "inflation_reward", "interest", "learning_reward", "earn_payout"})
# Already told by the list of fills.
_FILLS = frozenset({"advanced_trade_fill"})


class TransferReader:
    """Reads the transactions of every wallet since a time. `wallet` is our name of the wallet they change."""

    def __init__(
        self,
        client: Client,
        markets: InstrumentLookup,
        *,
        wallet: str,
        since: datetime,
        until: datetime | None,
    ) -> None:
        self._client = client
        self._markets = markets
        self._wallet_name = wallet
        self._since = since
        self._end = until or client.ports.clock()
        self._pending: datetime | None = None
        self._unread: str | None = None

    async def read(self) -> EntryBatch:
        """All wallets as one batch; what is under way holds the covered window back."""
        decoding = BatchBuilder(Method.TRANSFERS, self._markets, self._decode, time_of=_time_of)
        accounts = await self._accounts()
        problem = self._unread
        for account in accounts:
            problem = await self._wallet(decoding, account) or problem
        covered_to = self._end - SETTLING
        if self._pending is not None:
            covered_to = min(covered_to, self._pending - timedelta(milliseconds=1))
        covered = (self._since, covered_to) if not problem and self._since < covered_to else None
        return decoding.batch(asked=(self._since, self._end), covered=covered, problem=problem)

    async def _accounts(self) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            params: dict[str, Any] = {"limit": 250, **({"cursor": cursor} if cursor else {})}
            answer, talk = await self._client.call("v3_private_get_brokerage_accounts", params)
            rows = answer.get("accounts") if isinstance(answer, Mapping) else None
            if not isinstance(rows, list):
                raise unexpected("accounts", "a list of accounts", answer, talk)
            for row in rows:
                try:
                    found.append(text(row, "uuid"))
                except ROW_ERRORS as error:
                    self._unread = f"transfers: a wallet could not be read: {error}"
            cursor = answer.get("cursor")
            if not answer.get("has_next") or not cursor:
                return found
        return found

    async def _wallet(self, decoding: BatchBuilder, account: str) -> str | None:
        """Newest first until older than asked; a sentence when the pages did not suffice."""
        after: str | None = None
        for _ in range(MOST_PAGES):
            params = {"account_id": account, "limit": PAGE, **({"starting_after": after} if after else {})}
            answer, talk = await self._client.call("v2_private_get_accounts_account_id_transactions", params)
            rows = answer.get("data") if isinstance(answer, Mapping) else None
            if not isinstance(rows, list):
                raise unexpected("transactions", "a list of data", answer, talk)
            await decoding.take(rows)
            paging = answer.get("pagination")
            after = paging.get("next_starting_after") if isinstance(paging, Mapping) else None
            times = [time for row in rows if (time := _time_of(row)) is not None]
            if not after or not rows or (times and min(times) < milliseconds(self._since)):
                return None
        return f"transfers: more than {MOST_PAGES} pages of a wallet"

    def _decode(self, row: Row, _: InstrumentLookup) -> list[Entry]:
        kind, time = text(row, "type"), _when(row)
        if time < self._since or kind in _FILLS:
            return []
        status = row.get("status")
        if status in ("canceled", "failed", "expired"):
            return []
        if status != "completed":
            self._pending = time if self._pending is None else min(time, self._pending)
            return []
        moved = row.get("amount")
        if not isinstance(moved, Mapping):
            raise InvalidField("amount is missing")
        amount, asset = required(moved, "amount"), text(moved, "currency")
        if kind not in _MOVES and kind not in _INCOME:
            raise InvalidField(f"transaction of unknown type {kind!r}")
        income = kind in _INCOME
        cause = None if income else Cause.DEPOSIT if amount > 0 else Cause.WITHDRAWAL
        return [
            Entry(
                kind=Kind.INTEREST if income else Kind.TRANSFER,
                cause=cause,
                venue_ref=f"coinbase:{kind}:{asset}:{text(row, 'id')}",
                time=time,
                leg=None,
                amount=amount,
                currency=asset,
                wallet=self._wallet_name,
            )
        ]


def _when(row: Row) -> datetime:
    """created_at with its offset. Raises InvalidField, ValueError."""
    time = datetime.fromisoformat(text(row, "created_at"))
    if time.tzinfo is None:
        raise InvalidField("created_at has no time zone")
    return time


def _time_of(row: Any) -> int | None:
    try:
        return milliseconds(_when(row))
    except ROW_ERRORS:
        return None
