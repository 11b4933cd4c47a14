"""Binance: spot, USD-M and COIN-M futures, three venues with a wallet each.

Weights: https://developers.binance.com (limits are per IP: spot 6000, futures 2400 a minute), as ccxt has
them. Fills are asked symbol by symbol; on futures the income list says which symbols were traded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from positions.book.entries import Cause, Entry, Kind, Leg
from positions.venues.base import Corrupt, Permissions, PositionRow, VenueInstrument
from positions.venues.decoding import ROW_ERRORS
from positions.venues.evidence import evidence_of
from positions.venues.fields import milliseconds, moment, number, required
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ListCall, Paging, ReportCall
from positions.venues.generic.unified_rows import Row
from positions.venues.keys.permissions import ANYWHERE, either, flag, request_permissions
from positions.venues.transport.conversation import Conversation

LEGS = {"LONG": Leg.LONG, "SHORT": Leg.SHORT}
_RESTRICTIONS = "sapi_get_account_apirestrictions"
_QUOTES = ("USDT", "USDC", "FDUSD", "BTC")


class Binance(Generic):
    """Spot: balances, and fills of the pairs in `options.symbols`, else of what is held against
    common quotes.
    """

    exchange_id = "binance"
    proven = True
    capabilities = evidence_of("binance")
    options: ClassVar[Mapping[str, Any]] = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
    position_calls: ClassVar[tuple[ReportCall, ...]] = ()
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (ReportCall("fetch_balance", wallet="spot"),)
    fills: ClassVar[tuple[ListCall, ...]] = (
        ListCall("fetch_my_trades", page=1000, paging=Paging.FORWARD, per_symbol=True),
    )
    funding: ClassVar[tuple[ListCall, ...]] = ()
    deposits: ClassVar[ListCall | None] = ListCall(
        "fetch_deposits", page=1000, paging=Paging.BACKWARD, window=timedelta(days=89)
    )
    withdrawals: ClassVar[ListCall | None] = ListCall(
        "fetch_withdrawals", page=1000, paging=Paging.BACKWARD, window=timedelta(days=89)
    )

    def leg_of(self, row: Row) -> Leg:
        """Spot has no legs."""
        return Leg.NET

    async def symbols_traded(self, since: datetime) -> Sequence[str] | None:
        """The pairs set by the user, else every pair of an asset that is held now with a common quote."""
        chosen = await super().symbols_traded(since)
        if chosen is not None:
            return chosen
        markets = await self.markets()
        report = await self.answered(self.balance_calls)
        held = [row.asset for row in report.balances if row.total]
        pairs = [f"{asset}/{quote}" for asset in held for quote in _QUOTES if asset != quote]
        return [pair for pair in pairs if markets.get(pair)]

    async def permissions(self) -> Permissions:
        """What the key may do (sapi apiRestrictions)."""
        return await request_permissions(self.client, _RESTRICTIONS, _granted)


class BinanceUsdm(Generic):
    """USD-M futures: one-way and hedge mode."""

    exchange_id = "binanceusdm"
    proven = True
    capabilities = evidence_of("binanceusdm")
    # With a table of leverage brackets present, ccxt does not ask for it at every positions call.
    options: ClassVar[Mapping[str, Any]] = {"leverageBrackets": {}}
    position_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_positions_risk", scopes=("linear:*",)),
    )
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (ReportCall("fetch_balance", wallet="usdm", scopes=()),)
    fills: ClassVar[tuple[ListCall, ...]] = (
        ListCall(
            "fetch_my_trades",
            page=1000,
            paging=Paging.FORWARD,
            per_symbol=True,
            window=timedelta(days=6, hours=23),
        ),
    )
    funding: ClassVar[tuple[ListCall, ...]] = (
        ListCall("fetch_funding_history", page=1000, paging=Paging.FORWARD, history=timedelta(days=89)),
    )
    deposits: ClassVar[ListCall | None] = None
    withdrawals: ClassVar[ListCall | None] = None
    ledgers: ClassVar[tuple[ListCall, ...]] = (
        ListCall(
            "fetch_ledger",
            {"incomeType": "TRANSFER"},
            page=1000,
            paging=Paging.FORWARD,
            history=timedelta(days=89),
        ),
    )
    income: ClassVar[str] = "fapiprivate_get_income"
    positions_request: ClassVar[str] = "fapiprivatev3_get_positionrisk"
    wallet_rows: ClassVar[str] = "assets"

    async def ask(self, call: ReportCall) -> tuple[Any, Conversation]:
        """Read every position row: fetch_positions_risk leaves out those without an entry price above 0."""
        if call.method != "fetch_positions_risk":
            return await super().ask(call)
        return await self.client.reading(self._position_rows)

    async def _position_rows(self) -> list[Any]:
        exchange = self.client.exchange
        answer = await getattr(exchange, self.positions_request)()
        if not isinstance(answer, list):
            raise Corrupt(f"positions: expected a list, got {type(answer).__name__}", payload=repr(answer))
        return [exchange.parse_position_risk(row) for row in answer]

    def position_row(self, row: Row, market: VenueInstrument) -> PositionRow:
        """The sign of the amount is the side; ccxt takes the notional's, which is 0 without a mark price."""
        size = required(row["info"], "positionAmt")
        side = "long" if size > 0 else "short" if size < 0 else None
        return super().position_row({**row, "side": side}, market)

    def has(self, method: str) -> bool:
        """fetch_positions_risk is not among ccxt's unified `has` flags."""
        return method == "fetch_positions_risk" or super().has(method)

    def leg_of(self, row: Row) -> Leg:
        """positionSide of a fill: BOTH in one-way mode."""
        return LEGS.get(str(row.get("positionSide")), Leg.NET)

    def wallet_total(self, asset: str, answer: Row) -> Decimal | None:
        """walletBalance; ccxt's total is the margin balance, which includes unrealized P&L."""
        info = answer.get("info")
        rows = info.get(self.wallet_rows) if isinstance(info, Mapping) else info
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, Mapping) and row.get("asset") == asset:
                return number(row.get("walletBalance", row.get("crossWalletBalance")), "walletBalance")
        return None

    def ledger_of(self, row: Row) -> list[Entry]:
        """A transfer between this wallet and another of the same user; income > 0 came in."""
        info = row["info"]
        asset = str(info["asset"])
        return [
            Entry(
                kind=Kind.TRANSFER,
                cause=Cause.INTERNAL,
                venue_ref=f"{self.config.venue}:transfer:{asset}:{info['tranId']}",
                time=moment(info["time"]),
                leg=None,
                amount=required(info, "income"),
                currency=asset,
                wallet=self.wallet_of_transfers(),
            )
        ]

    async def symbols_traded(self, since: datetime) -> Sequence[str] | None:
        """Every symbol that paid a commission since then, and those set by the user."""
        chosen = set(await super().symbols_traded(since) or ())
        exchange = self.client.exchange
        start, seen = milliseconds(since), set()
        for _ in range(20):
            rows, _talk = await self.client.call(
                self.income, {"incomeType": "COMMISSION", "startTime": start, "limit": 1000}
            )
            if not isinstance(rows, list):
                return None
            try:
                seen |= {exchange.safe_symbol(row["symbol"], None, None, "contract") for row in rows}
                newest = max((int(row["time"]) for row in rows), default=start)
            except ROW_ERRORS:
                return None
            if len(rows) < 1000 or newest <= start:
                return sorted(chosen | seen)
            start = newest
        return None

    async def permissions(self) -> Permissions:
        """What the key may do (sapi apiRestrictions; the account's own canWithdraw is not the key's)."""
        return await request_permissions(self.client, _RESTRICTIONS, _granted)


class BinanceCoinm(BinanceUsdm):
    """COIN-M futures: inverse, counted in US dollars."""

    exchange_id = "binancecoinm"
    capabilities = evidence_of("binancecoinm")
    position_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_positions_risk", scopes=("inverse:*",)),
    )
    balance_calls: ClassVar[tuple[ReportCall, ...]] = (
        ReportCall("fetch_balance", wallet="coinm", scopes=()),
    )
    income: ClassVar[str] = "dapiprivate_get_income"
    positions_request: ClassVar[str] = "dapiprivate_get_positionrisk"


_ALSO_TRADES = ("enableMargin", "enableVanillaOptions", "enablePortfolioMarginTrading")


def _granted(row: Mapping[str, Any]) -> Permissions:
    return Permissions(
        read=flag(row.get("enableReading")),
        # The first two are always said; others only where a key has them.
        trade=any(flag(row.get(name)) for name in _ALSO_TRADES)
        or either(flag(row.get("enableSpotAndMarginTrading")), flag(row.get("enableFutures"))),
        withdraw=flag(row.get("enableWithdrawals")),
        notes=() if flag(row.get("ipRestrict")) else (ANYWHERE,),
    )
