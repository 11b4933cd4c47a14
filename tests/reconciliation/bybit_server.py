"""A small server that speaks Bybit's v5 protocol over HTTP: one unified account in hedge mode.

Shapes are those of Bybit's documentation and of the recorded answers under tests/data/venues/bybit.
Executions carry no positionIdx; `closedSize` says how much of a position each of them closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from positions.venues.transport.event_loop import run

Row = dict[str, Any]
LONG, SHORT = 1, 2
_SIDES = {LONG: "Buy", SHORT: "Sell"}
_LIST = {"linear": "LinearPerpetual", "inverse": "InversePerpetual"}


@dataclass
class Held:
    """One side of a hedge: what is held of it (not signed), and its average entry price."""

    size: Decimal = Decimal(0)
    price: Decimal = Decimal(0)


@dataclass
class Bybit:
    """The account. `clock` is the venue's; `asked` are the requests' paths and parameters."""

    clock: Callable[[], datetime]
    balance: Decimal = Decimal(10_000)
    sides: dict[int, Held] = field(default_factory=lambda: {LONG: Held(), SHORT: Held()})
    executions: list[Row] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    server: TestServer | None = None

    def now(self) -> int:
        return int(self.clock().timestamp() * 1000)

    def trade(self, index: int, side: str, size: str, price: str) -> None:
        """A fill of one side of the hedge: bought or sold to open or to close it. Fees are 0.055 %."""
        held, quantity, at = self.sides[index], Decimal(size), Decimal(price)
        opens = side == _SIDES[index]
        fee = quantity * at * Decimal("0.00055")
        if opens:
            held.price = (held.size * held.price + quantity * at) / (held.size + quantity)
            held.size += quantity
        else:
            gain = (at - held.price) * quantity * (1 if index == LONG else -1)
            held.size -= quantity
            self.balance += gain
        self.balance -= fee
        number = len(self.executions) + 1
        self.executions.append(
            {
                "symbol": "ETHUSDT", "orderType": "Market", "underlyingPrice": "", "orderLinkId": "",
                "side": side, "indexPrice": "", "orderId": f"8c065341-7b52-4ca9-ac2c-{number:012d}",
                "stopOrderType": "UNKNOWN", "leavesQty": "0", "execTime": str(self.now()), "feeCurrency": "",
                "isMaker": False, "execFee": str(fee), "feeRate": "0.00055",
                "execId": f"e0cbe81d-0f18-5866-9415-{number:012d}", "tradeIv": "", "blockTradeId": "",
                "markPrice": price, "execPrice": price, "markIv": "", "orderQty": size, "orderPrice": price,
                "execValue": str(quantity * at), "execType": "Trade", "execQty": size,
                "closedSize": "0" if opens else size, "createType": "CreateByUser", "seq": number,
            }
        )  # fmt: skip

    # Answers

    def positions(self, asked: dict[str, str]) -> list[Row]:
        """With a symbol both sides, held or not; else what is held."""
        mine = asked.get("category") == "linear" and asked.get("settleCoin", "USDT") == "USDT"
        if not mine or asked.get("symbol", "ETHUSDT") != "ETHUSDT":
            return []
        return [
            {
                "symbol": "ETHUSDT", "positionIdx": index, "side": _SIDES[index] if held.size else "",
                "size": str(held.size), "avgPrice": str(held.price),
                "positionValue": str(held.size * held.price),
                "markPrice": str(held.price), "unrealisedPnl": "0", "leverage": "5", "liqPrice": "",
                "tradeMode": 0, "positionStatus": "Normal", "cumRealisedPnl": "0", "positionMM": "1",
                "positionIM": "10", "takeProfit": "", "stopLoss": "", "updatedTime": str(self.now()),
                "createdTime": str(self.now()),
            }
            for index, held in self.sides.items()
            if held.size or "symbol" in asked
        ]  # fmt: skip

    def fills(self, asked: dict[str, str]) -> list[Row]:
        """Newest first, as Bybit lists them."""
        if asked.get("category") != "linear" or asked.get("execType", "Trade") != "Trade":
            return []
        begin, end = int(asked.get("startTime", 0)), int(asked.get("endTime", self.now()))
        return [row for row in reversed(self.executions) if begin <= int(row["execTime"]) <= end]

    def wallet(self) -> list[Row]:
        coin = {
            "coin": "USDT", "walletBalance": str(self.balance), "equity": str(self.balance), "locked": "0",
            "unrealisedPnl": "0", "borrowAmount": "0", "totalPositionIM": "0", "totalPositionMM": "0",
            "totalOrderIM": "0", "accruedInterest": "0", "bonus": "0", "cumRealisedPnl": "0",
            "usdValue": str(self.balance),
        }  # fmt: skip
        return [{"accountType": "UNIFIED", "coin": [coin]}]

    def instruments(self, category: str) -> list[Row]:
        if category != "linear":
            return []
        return [
            {
                "symbol": "ETHUSDT", "contractType": "LinearPerpetual", "status": "Trading",
                "baseCoin": "ETH", "quoteCoin": "USDT", "settleCoin": "USDT",
                "launchTime": "1585526400000", "deliveryTime": "0",
                "deliveryFeeRate": "", "priceScale": "2", "unifiedMarginTrade": True, "fundingInterval": 480,
                "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
                "priceFilter": {"minPrice": "0.01", "maxPrice": "199999.98", "tickSize": "0.01"},
                "lotSizeFilter": {
                    "maxOrderQty": "7240", "minOrderQty": "0.01", "qtyStep": "0.01", "minNotionalValue": "5",
                    "postOnlyMaxOrderQty": "7240", "maxMktOrderQty": "724",
                },
            }
        ]  # fmt: skip

    def result(self, path: str, asked: dict[str, str]) -> Row:
        """Raises KeyError for a path that this server does not know."""
        category = asked.get("category", "")
        rows: dict[str, Callable[[], list[Row]]] = {
            "/v5/market/instruments-info": lambda: self.instruments(category),
            "/v5/position/list": lambda: self.positions(asked),
            "/v5/execution/list": lambda: self.fills(asked),
            "/v5/account/wallet-balance": self.wallet,
            "/v5/account/transaction-log": list,
        }
        if path == "/v5/market/time":
            return {"timeSecond": str(self.now() // 1000), "timeNano": str(self.now() * 1_000_000)}
        if path == "/v5/user/query-api":
            return {
                "readOnly": 1,
                "permissions": {"ContractTrade": ["Position"], "Wallet": []},
                "ips": ["1.2.3.4"],
            }
        if path in (
            "/v5/asset/deposit/query-record",
            "/v5/asset/withdraw/query-record",
            "/v5/asset/coin/query-info",
        ):
            return {"rows": [], "nextPageCursor": ""}
        return {"category": category, "list": rows[path](), "nextPageCursor": ""}

    async def answer(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append((request.path, asked))
        if "X-BAPI-SIGN" not in request.headers and not request.path.startswith("/v5/market/"):
            return web.json_response({"retCode": 10004, "retMsg": "error sign!", "time": self.now()})
        try:
            result = self.result(request.path, asked)
        except KeyError:
            return web.json_response({"retCode": 404, "retMsg": f"no {request.path}"}, status=404)
        return web.json_response(
            {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now()}
        )

    def start(self) -> str:
        """Begin to serve; returns the base URL."""

        async def begin() -> TestServer:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.answer)
            server = TestServer(app)
            await server.start_server(access_log=None)
            return server

        self.server = run(begin())
        return str(self.server.make_url("")).rstrip("/")

    def stop(self) -> None:
        if self.server is not None:
            run(self.server.close())
