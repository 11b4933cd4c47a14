"""Bybit (v5, unified account): every category asked on its own, since the default is linear USDT only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Kind, Leg
from positions.venues.asks import Ask, Listing, Paging
from positions.venues.base import Instrument, Permissions, PositionRow
from positions.venues.ccxt_rows import Row
from positions.venues.evidence import evidence_of
from positions.venues.generic import Generic
from positions.venues.numbers import moment, number, required
from positions.venues.permissions import ANYWHERE, NOT_SAID, ask, flag

WALLET = "unified"
PAGE = 200
_WEEK = timedelta(days=6, hours=23)
_LEGS = {"1": Leg.LONG, "2": Leg.SHORT}
_CAUSES = {"BustTrade": Cause.LIQUIDATION, "AdlTrade": Cause.ADL, "Settle": Cause.SETTLEMENT}
# The lowest price a field can hold: Bybit's way to say that there is no liquidation price.
_NO_PRICE = Decimal("0.0001")


def _executions(sub_type: str, kind: str) -> Listing:
    params = (
        {"subType": sub_type, "execType": kind} if sub_type != "spot" else {"type": "spot", "execType": kind}
    )
    return Listing(
        "fetch_my_trades",
        params,
        page=100,
        paging=Paging.BACKWARD,
        window=_WEEK,
        history=timedelta(days=729),
    )


class Bybit(Generic):
    """One unified account: linear (USDT, USDC), inverse and spot."""

    exchange_id = "bybit"
    proven = True
    capabilities = evidence_of("bybit")
    options: ClassVar[Mapping[str, Any]] = {
        "enableUnifiedMargin": False,
        "enableUnifiedAccount": True,
        "unifiedMarginStatus": 6,
    }
    position_asks: ClassVar[tuple[Ask, ...]] = (
        Ask(
            "fetch_positions",
            (None, {"subType": "linear", "settleCoin": "USDT"}),
            ("linear:USDT",),
            page=PAGE,
        ),
        Ask(
            "fetch_positions",
            (None, {"subType": "linear", "settleCoin": "USDC"}),
            ("linear:USDC",),
            page=PAGE,
        ),
        Ask("fetch_positions", (None, {"subType": "inverse"}), ("inverse:*",), page=PAGE),
    )
    balance_asks: ClassVar[tuple[Ask, ...]] = (Ask("fetch_balance", wallet=WALLET),)
    fills: ClassVar[tuple[Listing, ...]] = (
        *(
            _executions(category, kind)
            for category in ("linear", "inverse")
            for kind in ("Trade", "BustTrade", "AdlTrade", "Settle")
        ),
        _executions("spot", "Trade"),
    )
    funding: ClassVar[tuple[Listing, ...]] = tuple(
        Listing(
            "fetch_funding_history", {"subType": category}, page=100, paging=Paging.BACKWARD, window=_WEEK
        )
        for category in ("linear", "inverse")
    )
    deposits: ClassVar[Listing | None] = Listing(
        "fetch_deposits", page=50, paging=Paging.BACKWARD, window=timedelta(days=29)
    )
    withdrawals: ClassVar[Listing | None] = Listing(
        "fetch_withdrawals", page=50, paging=Paging.BACKWARD, window=timedelta(days=29)
    )
    ledgers: ClassVar[tuple[Listing, ...]] = tuple(
        Listing("fetch_ledger", {"type": kind}, page=50, paging=Paging.BACKWARD, window=_WEEK)
        for kind in ("TRANSFER_IN", "TRANSFER_OUT", "INTEREST")
    )

    def leg_of(self, row: Row) -> Leg:
        """positionIdx where the execution has it: 0 one-way, 1 and 2 hedge legs."""
        return _LEGS.get(str(row.get("positionIdx")), Leg.NET)

    def cause_of(self, row: Row) -> Cause:
        """execType says liquidations (BustTrade), ADL and settlements apart."""
        return _CAUSES.get(str(row.get("execType")), Cause.TRADE)

    def hedged(self, row: Row) -> bool | None:
        """positionIdx 1 and 2 are hedge legs, whatever ccxt infers."""
        info = row.get("info")
        index = str(info.get("positionIdx")) if isinstance(info, Mapping) else "None"
        return True if index in _LEGS else False if index == "0" else None

    def position_row(self, row: Row, market: Instrument) -> PositionRow:
        """A liquidation price of one ten-thousandth means none."""
        position = super().position_row(row, market)
        if position.liquidation_price == _NO_PRICE:
            return replace(position, liquidation_price=None)
        return position

    def wallet_total(self, asset: str, answer: Row) -> Decimal | None:
        """walletBalance of the coin, without unrealized P&L."""
        info = answer.get("info")
        result = info.get("result") if isinstance(info, Mapping) else None
        accounts = result.get("list") if isinstance(result, Mapping) else None
        for account in accounts if isinstance(accounts, list) else ():
            for coin in account.get("coin", []) if isinstance(account, Mapping) else ():
                if isinstance(coin, Mapping) and coin.get("coin") == asset:
                    return number(coin.get("walletBalance"), "walletBalance")
        return None

    def ledger_of(self, row: Row) -> list[Entry]:
        """Moves between this and the funding wallet, and interest; `change` is signed."""
        info = row["info"]
        kind, asset = str(info["type"]), str(info["currency"])
        change = required(info, "change")
        what = Kind.INTEREST if kind == "INTEREST" else Kind.TRANSFER
        return [
            Entry(
                kind=what,
                cause=Cause.INTERNAL if what is Kind.TRANSFER else None,
                venue_ref=f"bybit:{kind.lower()}:{asset}:{info['id']}",
                time=moment(info["transactionTime"]),
                leg=None,
                amount=change,
                currency=asset,
                wallet=WALLET,
            )
        ]

    async def permissions(self) -> Permissions:
        """What the key may do (v5 user/query-api)."""
        return await ask(self.client, "private_get_v5_user_query_api", _granted)


def _granted(answer: Mapping[str, Any]) -> Permissions:
    result = answer.get("result")
    row: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
    granted = row.get("permissions")
    if not isinstance(granted, Mapping):
        return Permissions(read=True, notes=(NOT_SAID,))
    trades = any(granted.get(name) for name in ("ContractTrade", "Spot", "Options", "Derivatives"))
    return Permissions(
        read=True,
        trade=flag(row.get("readOnly")) is False and trades,
        withdraw="Withdraw" in (granted.get("Wallet") or ()),
        notes=() if row.get("ips") not in (None, [], ["*"]) else (ANYWHERE,),
    )
