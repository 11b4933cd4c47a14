"""Coinbase Advanced Trade: spot by balances and fills (US futures positions where `options.futures` is set).

There is no private stream of fills: it is polled. INTX perpetuals ended on 2026-10-01.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from positions.book.entries import Entry
from positions.book.money import divide, rounded
from positions.venues.base import (
    AccountConfig,
    EntryBatch,
    Method,
    Permissions,
    Ports,
    Unsupported,
    VenueInstrument,
    merged,
)
from positions.venues.evidence import evidence_of
from positions.venues.fields import required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall, Paging, ReportCall
from positions.venues.generic.clock import told_offset
from positions.venues.generic.unified_rows import Row
from positions.venues.keys.permissions import flag, request_permissions
from positions.venues.quirks.coinbase_transfers import TransferReader

WALLET = "spot"


class Coinbase(Generic):
    """One portfolio's spot wallet."""

    exchange_id = "coinbase"
    proven = True
    capabilities = evidence_of("coinbase")
    position_calls: ClassVar[tuple[ReportCall, ...]] = ()
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_balance", ({"v3": True},), wallet=WALLET),
    )
    fills: ClassVar[tuple[ListCall, ...]] = (ListCall("fetch_my_trades", page=100, paging=Paging.CURSOR),)
    funding: ClassVar[tuple[ListCall, ...]] = ()
    deposits: ClassVar[ListCall | None] = None
    withdrawals: ClassVar[ListCall | None] = None

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        if config.options.get("futures"):
            self.position_calls = (ReportCall("fetch_positions", scopes=("linear:*",)),)  # type: ignore[misc]

    def wallet_of(self, instrument: VenueInstrument) -> str:
        """Spot cash and coins are in one wallet; futures have their own."""
        return WALLET if instrument.scope == "spot" else "futures"

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """A fill, known by its entry_id (trade_id repeats on some conversions), at the price the venue wrote.

        Where size_in_quote is set, size is money: the quantity is size / price, to 18 places.
        """
        info = row.get("info")
        if not isinstance(info, Mapping) or not info.get("entry_id"):
            return super().fills_of(row, instrument)
        price, size = required(info, "price"), required(info, "size")
        if info.get("size_in_quote") is True:
            size = rounded(divide(size, price))
        exact = {**row, "price": price, "amount": size, "id": info["entry_id"], "order": None}
        return super().fills_of(exact, instrument)

    async def entries(
        self, *, since: datetime, until: datetime | None = None, methods: Collection[Method] | None = None
    ) -> EntryBatch:
        """Fills, and the transactions of every wallet (there is no list of all of them)."""
        wanted = {Method.FILLS, Method.TRANSFERS} if methods is None else set(methods)
        batches = []
        if Method.FILLS in wanted:
            batches.append(await super().entries(since=since, until=until, methods=[Method.FILLS]))
        if Method.TRANSFERS in wanted:
            transfers = TransferReader(
                self.client,
                await self.markets(),
                wallet=self.wallet_of_transfers(),
                since=since,
                until=until,
            )
            batches.append(await transfers.read())
        if not batches:
            raise Unsupported(f"coinbase has no list of {', '.join(sorted(wanted))}")
        return merged(batches)

    async def clock_offset(self) -> timedelta | None:
        """The venue's clock minus ours by its milliseconds: ccxt reads the whole seconds beside them."""
        answer, talk = await self.client.call("v3_public_get_brokerage_time")
        return told_offset(answer.get("epochMillis") if isinstance(answer, Mapping) else None, talk)

    async def permissions(self) -> Permissions:
        """What the key may do (key_permissions)."""
        return await request_permissions(self.client, "v3_private_get_brokerage_key_permissions", _granted)


def _granted(row: Mapping[str, Any]) -> Permissions:
    return Permissions(
        read=flag(row.get("can_view")),
        trade=flag(row.get("can_trade")),
        withdraw=flag(row.get("can_transfer")),
    )
