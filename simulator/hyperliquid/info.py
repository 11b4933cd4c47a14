"""Answers to POST /info, by request type."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import islice
from typing import Any

from simulator.engine import catalogue
from simulator.engine.account_values import AccountValues
from simulator.engine.accounts import KEPT_FILLS, Account
from simulator.engine.exchange import Exchange, perps
from simulator.engine.market import Market
from simulator.engine.settlement import MAKER, TAKER
from simulator.hyperliquid.candles import snapshot
from simulator.wire import Malformed, address, integer, number, text

Body = dict[str, Any]
FILLS_PAGE = 2000
TIME_PAGE = 500
ZERO = Decimal(0)


class UnknownDex(LookupError):
    """No perp dex of that name: the venue answers 500 with null."""


class Info:
    """Reads of one exchange. `fills_page` and `kept_fills` shrink under faults."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.values = AccountValues(exchange)
        self.fills_page = FILLS_PAGE
        self.kept_fills: int | None = None
        self.routes: dict[str, Callable[[Body], Any]] = {
            "meta": lambda body: self.meta(self.dex(body)),
            "metaAndAssetCtxs": self.meta_and_contexts,
            "spotMeta": lambda body: catalogue.spot_meta(frozenset(exchange.unlisted)),
            "spotMetaAndAssetCtxs": lambda body: [
                catalogue.spot_meta(frozenset(exchange.unlisted)),
                self.spot_contexts(),
            ],
            "perpDexs": lambda body: catalogue.perp_dexs(),
            "marginTable": lambda body: catalogue.margin_table(integer(body, "id")),
            "allMids": self.all_mids,
            "l2Book": self.l2_book,
            "recentTrades": lambda body: list(reversed(self.market(body).trades)),
            "candleSnapshot": self.candles,
            "fundingHistory": self.funding_history,
            "exchangeStatus": lambda body: {"specialStatuses": None, "time": exchange.now},
            "clearinghouseState": self.clearinghouse,
            "spotClearinghouseState": lambda body: self.account(body).spot_state(),
            "userAbstraction": lambda body: self.account(body).abstraction,
            "userRole": self.role,
            "userFills": self.fills,
            "userFillsByTime": self.fills_by_time,
            "userFunding": self.funding,
            "userNonFundingLedgerUpdates": self.ledger,
            "openOrders": lambda body: [order.basic() for order in self.orders(body)],
            "frontendOpenOrders": lambda body: [order.full() for order in self.orders(body)],
            "historicalOrders": self.historical,
            "orderStatus": self.order_status,
            "userFees": self.fees,
            "userRateLimit": self.rate_limit,
            "maxBuilderFee": self.max_builder_fee,
            "extraAgents": self.extra_agents,
            "subAccounts": lambda body: address(body) and None,
            "userVaultEquities": lambda body: address(body) and [],
            "userTwapSliceFills": lambda body: address(body) and [],
            "activeAssetData": self.active_asset,
            "referral": self.referral,
            "portfolio": lambda body: self.values.portfolio(address(body)),
        }

    def answer(self, body: Body) -> Any:
        """The answer to one body. Raises Malformed and UnknownDex."""
        route = self.routes.get(text(body, "type"))
        if route is None:
            raise Malformed("unknown type")
        return route(body)

    # -- what a body names ---------------------------------------------------------------------------

    def account(self, body: Body) -> Account:
        """The asked account; an address never seen is an empty one that is not kept."""
        user = address(body)
        return self.exchange.known(user) or Account(user)

    def dex(self, body: Body) -> str:
        """The asked perp dex. Raises UnknownDex."""
        dex = text(body, "dex", "")
        if dex not in ("", catalogue.BUILDER_DEX):
            raise UnknownDex(dex)
        return dex

    def market(self, body: Body) -> Market:
        """The market of the asked coin. Raises UnknownDex, as the venue answers 500 null."""
        market = self.exchange.markets.get(text(body, "coin"))
        if market is None:
            raise UnknownDex(text(body, "coin"))
        return market

    # -- markets -------------------------------------------------------------------------------------

    def meta(self, dex: str) -> Body:
        """Perpetuals of a dex that it lists."""
        exchange = self.exchange
        return catalogue.meta(dex, frozenset(exchange.delisted), frozenset(exchange.unlisted))

    def meta_and_contexts(self, body: Body) -> Any:
        """Perpetuals of a dex with their prices."""
        dex = self.dex(body)
        contexts = [market.context() for market in perps(self.exchange, dex)]
        return [self.meta(dex), contexts]

    def spot_contexts(self) -> list[Body]:
        """Prices of the spot pairs, by index."""
        markets = self.exchange.markets.values()
        return [market.spot_context() for market in markets if market.listing.kind == catalogue.SPOT]

    def all_mids(self, body: Body) -> dict[str, str]:
        """Mid prices of a dex; spot mids come with the first."""
        dex = self.dex(body)
        return {
            coin: number(mid)
            for coin, market in self.exchange.markets.items()
            if market.listing.dex == dex and (mid := market.mid) is not None
        }

    def l2_book(self, body: Body) -> Body:
        """Twenty levels a side."""
        market = self.market(body)
        levels = [market.book.levels(True), market.book.levels(False)]
        return {"coin": market.listing.coin, "time": self.exchange.now, "levels": levels}

    def candles(self, body: Body) -> list[Body]:
        """Candles of an interval between two times."""
        request = body.get("req")
        if not isinstance(request, dict):
            raise Malformed("no req")
        start, end = integer(request, "startTime"), integer(request, "endTime", 2**63)
        return snapshot(
            self.market(request), text(request, "interval"), start=start, end=end, now=self.exchange.now
        )

    def funding_history(self, body: Body) -> list[Body]:
        """Past funding rates of a coin, oldest first."""
        start, end = integer(body, "startTime"), integer(body, "endTime", 2**63)
        return list(islice(self.market(body).funding_history.between(start, end), TIME_PAGE))

    # -- a user --------------------------------------------------------------------------------------

    def clearinghouse(self, body: Body) -> Body:
        """Margin, positions and cash of a user on a dex."""
        return self.account(body).state(self.dex(body), now=self.exchange.now)

    def role(self, body: Body) -> Body:
        """What an address is to the venue."""
        user = address(body)
        owner = self.exchange.agents.get(user)
        if owner is not None:
            return {"role": "agent", "data": {"user": owner}}
        return {"role": "missing" if self.exchange.known(user) is None else "user"}

    def fills(self, body: Body) -> list[Body]:
        """Newest fills first."""
        count = min(self.fills_page, KEPT_FILLS if self.kept_fills is None else self.kept_fills)
        rows = list(islice(reversed(self.account(body).fills), count))
        return combined(rows) if body.get("aggregateByTime") is True else rows

    def fills_by_time(self, body: Body) -> list[Body]:
        """Oldest fills first, both ends included."""
        start, end = integer(body, "startTime"), integer(body, "endTime", 2**63)
        fills = self.account(body).fills
        rows = fills.between(start, end)
        if self.kept_fills is not None:
            rows = (row for row in fills.newest(self.kept_fills) if start <= row["time"] <= end)
        page = list(islice(rows, self.fills_page))
        return combined(page) if body.get("aggregateByTime") is True else page

    def funding(self, body: Body) -> list[Body]:
        """Funding payments, oldest first; startTime is required."""
        start, end = integer(body, "startTime"), integer(body, "endTime", 2**63)
        return list(islice(self.account(body).fundings.between(start, end), TIME_PAGE))

    def ledger(self, body: Body) -> list[Body]:
        """Deposits, withdrawals, transfers, liquidations, oldest first."""
        start, end = integer(body, "startTime", 0), integer(body, "endTime", 2**63)
        return list(islice(self.account(body).ledger.between(start, end), TIME_PAGE))

    def orders(self, body: Body) -> list[Any]:
        """Live orders of a user on a dex; spot ones come with the first."""
        dex = self.dex(body)
        account = self.account(body)
        return [order for order in reversed(account.orders.values()) if order.market.listing.dex == dex]

    def historical(self, body: Body) -> list[Body]:
        """Newest order events first."""
        return list(islice(reversed(self.account(body).history), 2000))

    def order_status(self, body: Body) -> Body:
        """The last known status of an order, by id or client id."""
        account, wanted = self.account(body), body.get("oid")
        if isinstance(wanted, bool) or not isinstance(wanted, int | str):
            raise Malformed("invalid oid")
        for row in reversed(account.history):
            if wanted in (row["order"]["oid"], row["order"]["cloid"]):
                return {"status": "order", "order": row}
        return {"status": "unknownOid"}

    def fees(self, body: Body) -> Body:
        """Fee rates, without discounts."""
        address(body)
        perp = {"cross": number(TAKER["perp"]), "add": number(MAKER["perp"])}
        spot = {"spotCross": number(TAKER["spot"]), "spotAdd": number(MAKER["spot"])}
        return {
            "dailyUserVlm": [],
            "feeSchedule": perp
            | spot
            | {"tiers": {"vip": [], "mm": []}, "referralDiscount": "0.04", "stakingDiscountTiers": []},
            "userCrossRate": perp["cross"],
            "userAddRate": perp["add"],
            "userSpotCrossRate": spot["spotCross"],
            "userSpotAddRate": spot["spotAdd"],
            "activeReferralDiscount": "0.0",
            "trial": None,
            "feeTrialEscrow": "0.0",
            "nextTrialAvailableTimestamp": None,
            "stakingLink": None,
            "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
        }

    def rate_limit(self, body: Body) -> Body:
        """How many requests the user's volume has bought."""
        account = self.account(body)
        volume = account.totals.volume
        return {
            "cumVlm": number(volume, 2),
            "nRequestsUsed": account.totals.fills,
            "nRequestsCap": 10_000 + int(volume),
            "nRequestsSurplus": 0,
        }

    def max_builder_fee(self, body: Body) -> int:
        """The fee that the user allowed a builder, in tenths of a basis point."""
        builder = address(body, "builder")
        return int(self.account(body).builders.get(builder, ZERO) * 100_000)

    def extra_agents(self, body: Body) -> list[Body]:
        """Named API wallets of a user."""
        agents = self.account(body).agents
        return [
            {"address": agent, "name": "agent", "validUntil": until or 2**53 - 1}
            for agent, until in agents.items()
        ]

    def active_asset(self, body: Body) -> Body:
        """Leverage and room to trade of a user in a coin."""
        account, market = self.account(body), self.market(body)
        cross, leverage = account.leverage(market)
        room = account.margin(market.listing.dex).withdrawable * leverage
        size = number(room / market.mark, market.listing.size_decimals)
        kind: Body = {"type": "cross" if cross else "isolated", "value": leverage}
        return {
            "user": account.address,
            "coin": market.listing.coin,
            "leverage": kind if cross else kind | {"rawUsd": "0.0"},
            "maxTradeSzs": [size, size],
            "availableToTrade": [number(room, 6)] * 2,
            "markPx": number(market.mark),
        }

    def referral(self, body: Body) -> Body:
        """Nobody refers here."""
        address(body)
        return {
            "referredBy": None,
            "cumVlm": "0.0",
            "unclaimedRewards": "0.0",
            "claimedRewards": "0.0",
            "builderRewards": "0.0",
            "tokenToState": [],
            "referrerState": {"stage": "needToCreateCode"},
            "rewardHistory": [],
        }


def combined(rows: list[Body]) -> list[Body]:
    """Fills of one order in one block as one row: sizes add up, the price is their average."""
    merged: dict[tuple[Any, ...], Body] = {}
    for row in rows:
        key = (row["oid"], row["time"], row["coin"], row["crossed"])
        if key not in merged or not row["crossed"]:
            merged[key if key not in merged else (*key, row["tid"])] = dict(row)
            continue
        merged[key] = _joined(merged[key], row)
    return list(merged.values())


def _joined(first: Body, second: Body) -> Body:
    sizes = [Decimal(first["sz"]), Decimal(second["sz"])]
    paid = sizes[0] * Decimal(first["px"]) + sizes[1] * Decimal(second["px"])
    sums = {key: number(Decimal(first[key]) + Decimal(second[key])) for key in ("closedPnl", "fee")}
    return first | sums | {"sz": number(sizes[0] + sizes[1]), "px": number(paid / (sizes[0] + sizes[1]), 8)}
