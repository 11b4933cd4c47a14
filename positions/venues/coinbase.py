"""Coinbase Advanced Trade: spot by balances and fills (US futures positions where `options.futures` is set).

There is no private stream of fills: it is polled. INTX perpetuals ended on 2026-10-01.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from positions.book.entries import Entry
from positions.venues.asks import Ask, Listing, Paging
from positions.venues.base import AccountConfig, Instrument, Permissions, Ports
from positions.venues.ccxt_rows import Row
from positions.venues.evidence import EVIDENCE
from positions.venues.generic import Generic

WALLET = "spot"


class Coinbase(Generic):
    """One portfolio's spot wallet."""

    exchange_id = "coinbase"
    capabilities = EVIDENCE["coinbase"]
    position_asks: ClassVar[tuple[Ask, ...]] = ()
    balance_asks: ClassVar[tuple[Ask, ...]] = (Ask("fetch_balance", ({"v3": True},), wallet=WALLET),)
    fills: ClassVar[tuple[Listing, ...]] = (Listing("fetch_my_trades", page=100, paging=Paging.BACKWARD),)
    funding: ClassVar[tuple[Listing, ...]] = ()
    deposits: ClassVar[Listing | None] = None
    withdrawals: ClassVar[Listing | None] = None

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        if config.options.get("futures"):
            self.position_asks = (Ask("fetch_positions", scopes=("linear:*",)),)  # type: ignore[misc]

    def wallet_of(self, instrument: Instrument) -> str:
        """Spot cash and coins are in one wallet; futures have their own."""
        return WALLET if instrument.scope == "spot" else "futures"

    def fills_of(self, row: Row, instrument: Instrument) -> list[Entry]:
        """A fill is known by its entry_id; trade_id repeats on some conversions."""
        entries = super().fills_of(row, instrument)
        info = row.get("info")
        entry_id = info.get("entry_id") if isinstance(info, Mapping) else None
        if not entry_id:
            return entries
        stem = f"coinbase:fill:{instrument.venue_symbol}:{entry_id}"
        old = entries[0].venue_ref
        return [replace(entry, venue_ref=entry.venue_ref.replace(old, stem, 1)) for entry in entries]

    async def permissions(self) -> Permissions:
        """What the key may do (key_permissions)."""
        answer, _ = await self.client.call("v3_private_get_brokerage_key_permissions")
        granted: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
        return Permissions(
            read=granted.get("can_view"), trade=granted.get("can_trade"), withdraw=granted.get("can_transfer")
        )
