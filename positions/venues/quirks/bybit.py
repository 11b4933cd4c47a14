"""Bybit (v5, unified account): every category asked on its own, since the default is linear USDT only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Kind, Leg
from positions.venues.base import AccountConfig, Permissions, Ports, PositionRow, VenueInstrument
from positions.venues.decoding import ROW_ERRORS, unexpected
from positions.venues.evidence import evidence_of
from positions.venues.fields import InvalidField, moment, number, required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall, Paging, ReportCall
from positions.venues.generic.unified_rows import Row
from positions.venues.keys.permissions import ANYWHERE, NOT_SAID, flag, request_permissions

WALLET = "unified"
PAGE = 200
_WEEK = timedelta(days=6, hours=23)
_KEPT = timedelta(days=729)
# A symbol's mode changes only while nothing is held or ordered of it.
_MODE_FOR = timedelta(minutes=1)
_LEGS = {"1": Leg.LONG, "2": Leg.SHORT}
_CAUSES = {"BustTrade": Cause.LIQUIDATION, "AdlTrade": Cause.ADL, "Settle": Cause.SETTLEMENT}
# The lowest price a field can hold: Bybit's way to say that there is no liquidation price.
_NO_PRICE = Decimal("0.0001")


def _executions(sub_type: str, kind: str) -> ListCall:
    params = (
        {"subType": sub_type, "execType": kind} if sub_type != "spot" else {"type": "spot", "execType": kind}
    )
    return ListCall(
        "fetch_my_trades",
        params,
        page=100,
        paging=Paging.BACKWARD,
        window=_WEEK,
        history=_KEPT,
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
    position_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall(
            "fetch_positions",
            (None, {"subType": "linear", "settleCoin": "USDT"}),
            ("linear:USDT",),
            page=PAGE,
        ),
        ReportCall(
            "fetch_positions",
            (None, {"subType": "linear", "settleCoin": "USDC"}),
            ("linear:USDC",),
            page=PAGE,
        ),
        ReportCall("fetch_positions", (None, {"subType": "inverse"}), ("inverse:*",), page=PAGE),
    )
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (ReportCall("fetch_balance", wallet=WALLET),)
    fills: ClassVar[tuple[ListCall, ...]] = (
        *(
            _executions(category, kind)
            for category in ("linear", "inverse")
            for kind in ("Trade", "BustTrade", "AdlTrade", "Settle")
        ),
        _executions("spot", "Trade"),
    )
    funding: ClassVar[tuple[ListCall, ...]] = tuple(
        ListCall(
            "fetch_funding_history",
            {"subType": category},
            page=100,
            paging=Paging.BACKWARD,
            window=_WEEK,
            history=_KEPT,
        )
        for category in ("linear", "inverse")
    )
    deposits: ClassVar[ListCall | None] = ListCall(
        "fetch_deposits", page=50, paging=Paging.BACKWARD, window=timedelta(days=29), history=_KEPT
    )
    withdrawals: ClassVar[ListCall | None] = ListCall(
        "fetch_withdrawals", page=50, paging=Paging.BACKWARD, window=timedelta(days=29), history=_KEPT
    )
    ledgers: ClassVar[tuple[ListCall, ...]] = tuple(
        ListCall("fetch_ledger", {"type": kind}, page=50, paging=Paging.BACKWARD, window=_WEEK, history=_KEPT)
        for kind in ("TRANSFER_IN", "TRANSFER_OUT", "INTEREST")
    )

    def __init__(self, config: AccountConfig, ports: Ports) -> None:
        super().__init__(config, ports)
        self._modes: dict[str, tuple[bool | None, datetime]] = {}

    async def before_fills(self, rows: Collection[Row]) -> None:
        """Ask in which mode the contracts traded are: executions do not say to which leg they belong."""
        traded = {str(row["symbol"]) for row in rows if _silent(row) and ":" in str(row.get("symbol"))}
        markets = await self.markets()
        now = self.ports.clock()
        for symbol in sorted(traded):
            market = markets.get(symbol)
            if market is not None and (symbol not in self._modes or now - self._modes[symbol][1] > _MODE_FOR):
                self._modes[symbol] = await self._is_hedged(market), now

    async def _is_hedged(self, market: VenueInstrument) -> bool | None:
        """With a symbol, Bybit lists both legs of a hedge, held or not, and one row in one-way mode. None: no
        row says.
        """
        listed = self.client.exchange.market(market.venue_symbol)["id"]
        asked = {"category": market.scope.partition(":")[0], "symbol": listed}
        answer, talk = await self.client.call("private_get_v5_position_list", asked)
        try:
            rows = [row for row in answer["result"]["list"] if isinstance(row, Mapping)]
        except ROW_ERRORS as error:
            raise unexpected("position mode", "a list of positions", answer, talk) from error
        said = {str(row["positionIdx"]) for row in rows if "positionIdx" in row}
        return bool(said & set(_LEGS)) if said or not rows else None

    def fills_of(self, row: Row, instrument: VenueInstrument) -> list[Entry]:
        """In hedge mode a buy that closes nothing opened the long leg, one that closes closed the short."""
        hedged, _ = self._modes.get(instrument.venue_symbol, (False, None))
        if hedged is None and _silent(row):
            raise InvalidField("the position mode of its contract is not known")
        if hedged and _silent(row):
            row = {**row, "info": {**row["info"], "positionIdx": _index(row["info"])}}
        return super().fills_of(row, instrument)

    def leg_of(self, row: Row) -> Leg:
        """positionIdx: 0 one-way, 1 and 2 hedge legs."""
        return _LEGS.get(str(row.get("positionIdx")), Leg.NET)

    def cause_of(self, row: Row) -> Cause:
        """execType says liquidations (BustTrade), ADL and settlements apart."""
        return _CAUSES.get(str(row.get("execType")), Cause.TRADE)

    def hedged(self, row: Row) -> bool | None:
        """positionIdx 1 and 2 are hedge legs, whatever ccxt infers."""
        info = row.get("info")
        index = str(info.get("positionIdx")) if isinstance(info, Mapping) else "None"
        return True if index in _LEGS else False if index == "0" else None

    def position_row(self, row: Row, market: VenueInstrument) -> PositionRow:
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
        return await request_permissions(self.client, "private_get_v5_user_query_api", _granted)


def _silent(row: Row) -> bool:
    """Whether an execution of a contract says nothing of the leg it belongs to."""
    info = row.get("info")
    return isinstance(info, Mapping) and "positionIdx" not in info


def _index(row: Row) -> str:
    """1 (long) or 2 (short) of an execution in hedge mode; 0 of one that flips, which is one-way's."""
    closed, quantity = required(row, "closedSize"), required(row, "execQty")
    if closed not in (0, quantity):
        return "0"
    return "1" if (row["side"] == "Buy") == (closed == 0) else "2"


def _granted(answer: Mapping[str, Any]) -> Permissions:
    result = answer.get("result")
    row: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
    granted = row.get("permissions")
    if not isinstance(granted, Mapping):
        return Permissions(read=True, notes=(NOT_SAID,))
    trades = any(granted.get(name) for name in ("ContractTrade", "Spot", "Options", "Derivatives"))
    read_only = flag(row.get("readOnly"))
    return Permissions(
        read=True,
        trade=False if read_only or not trades else None if read_only is None else True,
        withdraw="Withdraw" in (granted.get("Wallet") or ()),
        notes=() if row.get("ips") not in (None, [], ["*"]) else (ANYWHERE,),
    )
