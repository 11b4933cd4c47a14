"""OKX (v5): one trading account of every instrument type, and a funding wallet that deposits reach first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Kind, Leg
from positions.venues.base import Permissions
from positions.venues.evidence import evidence_of
from positions.venues.fields import moment, number, required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall, Paging, ReportCall
from positions.venues.generic.unified_rows import Row
from positions.venues.keys.permissions import ANYWHERE, NOT_SAID, request_permissions

TRADING = "trading"
FUNDING = "funding"
PAGE = 100
_LEGS = {"long": Leg.LONG, "short": Leg.SHORT}
_MARGIN_AMOUNTS = ("pos", "liab", "margin", "baseBal", "quoteBal")
_QUARTER = timedelta(days=89)


class Okx(Generic):
    """Net and long/short mode; positions of all types in one answer."""

    exchange_id = "okx"
    proven = True
    capabilities = evidence_of("okx")
    position_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_positions", scopes=("linear:*", "inverse:*", "option:*"), page=PAGE),
    )
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_balance", wallet=TRADING),
        ReportCall("fetch_balance", ({"type": "funding"},), wallet=FUNDING, scopes=()),
    )
    fills: ClassVar[tuple[ListCall, ...]] = tuple(
        ListCall("fetch_my_trades", {"instType": kind}, page=PAGE, paging=Paging.BACKWARD, history=_QUARTER)
        for kind in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
    )
    funding: ClassVar[tuple[ListCall, ...]] = tuple(
        ListCall(
            "fetch_funding_history",
            {"type": kind, "method": "privateGetAccountBillsArchive"},
            page=PAGE,
            history=_QUARTER,
        )
        for kind in ("swap",)
    )
    deposits: ClassVar[ListCall | None] = ListCall("fetch_deposits", page=PAGE, paging=Paging.BACKWARD)
    withdrawals: ClassVar[ListCall | None] = ListCall("fetch_withdrawals", page=PAGE, paging=Paging.BACKWARD)
    ledgers: ClassVar[tuple[ListCall, ...]] = (
        ListCall("fetch_ledger", {"type": "1"}, page=PAGE, history=timedelta(days=6)),
    )

    def wallet_of_transfers(self) -> str:
        """Deposits arrive in, and withdrawals leave, the funding wallet."""
        return FUNDING

    def leg_of(self, row: Row) -> Leg:
        """posSide: net, long or short."""
        return _LEGS.get(str(row.get("posSide")), Leg.NET)

    def hedged(self, row: Row) -> bool | None:
        """posSide long and short are hedge legs; net is one-way."""
        info = row.get("info")
        side = str(info.get("posSide")) if isinstance(info, Mapping) else ""
        return True if side in _LEGS else False if side == "net" else None

    def margin_size(self, row: Row) -> Decimal:
        """What an instrument of type MARGIN holds or owes: a position of 0 may have a deposit or a debt."""
        amounts = (number(row["info"].get(name), name) for name in _MARGIN_AMOUNTS)
        return max(abs(amount) for amount in (Decimal(0), *amounts) if amount is not None)

    def wallet_total(self, asset: str, answer: Row) -> Decimal | None:
        """cashBal of the trading account; its equity includes unrealized P&L."""
        info = answer.get("info")
        data = info.get("data") if isinstance(info, Mapping) else None
        for account in data if isinstance(data, list) else ():
            for row in account.get("details", ()) if isinstance(account, Mapping) else ():
                if isinstance(row, Mapping) and row.get("ccy") == asset:
                    return number(row.get("cashBal"), "cashBal")
        return None

    def ledger_of(self, row: Row) -> list[Entry]:
        """Moves between the trading and the funding account, seen from the trading account; balChg
        is signed.
        """
        info = row["info"]
        asset = str(info["ccy"])
        change = required(info, "balChg")
        return [
            Entry(
                kind=Kind.TRANSFER,
                cause=Cause.INTERNAL,
                venue_ref=f"okx:bill:{asset}:{info['billId']}:{wallet}",
                time=moment(info["ts"]),
                leg=None,
                amount=amount,
                currency=asset,
                wallet=wallet,
            )
            for wallet, amount in ((TRADING, change), (FUNDING, -change))
        ]

    async def permissions(self) -> Permissions:
        """What the key may do (account/config: perm)."""
        return await request_permissions(self.client, "private_get_account_config", _granted)


def _granted(answer: Mapping[str, Any]) -> Permissions:
    row = answer["data"][0]
    granted = {part.strip() for part in str(row.get("perm") or "").split(",")} - {""}
    if not granted:
        return Permissions(read=True, notes=(NOT_SAID,))
    return Permissions(
        read=True,
        trade="trade" in granted,
        withdraw="withdraw" in granted,
        notes=() if row.get("ip") else (ANYWHERE,),
    )
