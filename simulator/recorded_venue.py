"""The answers of a Hyperliquid that replays one real trader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from .margin import ZERO, Margin
from .recording import BTC_TIERS, OPENING_DEPOSIT, Replay
from .wire import (
    EXACT,
    Malformed,
    address,
    integer,
    number,
    parse_body,
    text,
    usd,
    wall_clock,
)

MARGIN_TABLE = 56
PAGE = 2000
Body = dict[str, Any]


class RecordedVenue:
    """The answers to each request type, from a replay and a clock (ms)."""

    def __init__(self, replay: Replay, clock: Callable[[], int] = wall_clock) -> None:
        self.replay = replay
        self.clock = clock
        self.user = replay.recording.user
        self.routes: dict[str, Callable[[Body], Any]] = {
            "meta": self.meta,
            "metaAndAssetCtxs": lambda body: [self.meta(body), self.contexts()],
            "spotMeta": self.spot_meta,
            "spotMetaAndAssetCtxs": lambda body: [self.spot_meta(body), []],
            "perpDexs": lambda body: [None],
            "allMids": lambda body: self.mids(),
            "userAbstraction": lambda body: address(body) and "default",
            "userRole": lambda body: {"role": "user" if address(body) == self.user else "missing"},
            "userFills": self.fills,
            "userFillsByTime": self.fills_by_time,
            "userFunding": self.funding,
            "userNonFundingLedgerUpdates": self.ledger,
            "clearinghouseState": self.clearinghouse,
            "spotClearinghouseState": lambda body: {"balances": []} if address(body) else None,
            "openOrders": lambda body: [] if address(body) else None,
            "frontendOpenOrders": lambda body: [] if address(body) else None,
            "exchangeStatus": lambda body: {"specialStatuses": None, "time": self.clock()},
        }

    def answer(self, raw: bytes) -> Any:
        """The answer to one request body. Raises Malformed."""
        return self.answer_body(parse_body(raw))

    def answer_body(self, body: Body) -> Any:
        """The answer to one request. Raises Malformed."""
        route = self.routes.get(text(body, "type"))
        if route is None:
            raise Malformed("unknown type")
        if text(body, "dex", ""):
            raise Malformed("unknown dex")
        return route(body)

    def mids(self) -> dict[str, str]:
        """Mid prices by coin."""
        return {self.replay.recording.coin: number(self.replay.mark(now=self.clock()))}

    def meta(self, body: Body) -> Body:
        """The one perpetual that was recorded."""
        recording = self.replay.recording
        tiers = [
            {"lowerBound": number(tier.lower_bound), "maxLeverage": tier.max_leverage} for tier in BTC_TIERS
        ]
        market = {
            "szDecimals": recording.size_decimals,
            "name": recording.coin,
            "maxLeverage": BTC_TIERS[0].max_leverage,
            "marginTableId": MARGIN_TABLE,
        }
        tables = [[MARGIN_TABLE, {"description": "tiered 40x", "marginTiers": tiers}]]
        return {"universe": [market], "marginTables": tables, "collateralToken": 0}

    def contexts(self) -> list[Body]:
        """Prices of that perpetual; what the recording does not tell (funding, volume) is zero or null."""
        now = self.clock()
        mark, oracle = self.replay.mark(now=now), self.replay.oracle(now=now)
        released = [fill for _, fill in self.replay.released(now=now)]
        volume = sum((abs(fill.signed) * fill.price for fill in released), Decimal(0))
        return [
            {
                "funding": "0.0",
                "openInterest": number(abs(sum((fill.signed for fill in released), Decimal(0)))),
                "prevDayPx": number(self.replay.recording.fills[0].price),
                "dayNtlVlm": usd(volume),
                "premium": number(EXACT.divide(mark - oracle, oracle), 10),
                "oraclePx": number(oracle),
                "markPx": number(mark),
                "midPx": number(mark),
                "impactPxs": [number(mark - 1), number(mark + 1)],
                "dayBaseVlm": number(sum((abs(fill.signed) for fill in released), Decimal(0))),
            }
        ]

    def spot_meta(self, body: Body) -> Body:
        """The collateral token; no spot market was recorded."""
        usdc = {
            "name": "USDC",
            "szDecimals": 8,
            "weiDecimals": 8,
            "index": 0,
            "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
            "isCanonical": True,
            "evmContract": None,
            "fullName": None,
            "deployerTradingFeeShare": "0.0",
        }
        return {"tokens": [usdc], "universe": []}

    def released(self, body: Body) -> list[Body]:
        """The rows of the asked user, oldest first."""
        if address(body) != self.user:
            return []
        return [self.replay.fill_row(time, fill) for time, fill in self.replay.released(now=self.clock())]

    def fills(self, body: Body) -> list[Body]:
        """userFills: newest first."""
        return self.released(body)[::-1][:PAGE]

    def fills_by_time(self, body: Body) -> list[Body]:
        """userFillsByTime: oldest first, both ends included."""
        start, end = integer(body, "startTime"), integer(body, "endTime", 2**63)
        return [row for row in self.released(body) if start <= row["time"] <= end][:PAGE]

    def funding(self, body: Body) -> list[Body]:
        """userFunding: the recording has none."""
        address(body)
        integer(body, "startTime")
        return []

    def ledger(self, body: Body) -> list[Body]:
        """userNonFundingLedgerUpdates: the deposit that pays for the replay, a minute before it begins."""
        start, end = integer(body, "startTime", 0), integer(body, "endTime", 2**63)
        time = self.replay.schedule.start - 60_000
        if address(body) != self.user or not start <= time <= end:
            return []
        digest = hashlib.sha256(f"{self.replay.recording.name}#deposit".encode()).hexdigest()
        delta = {"type": "deposit", "usdc": usd(OPENING_DEPOSIT)}
        return [{"time": time, "hash": "0x" + digest, "delta": delta}]

    def clearinghouse(self, body: Body) -> Body:
        """clearinghouseState of the asked user; an unknown address is an empty account."""
        now = self.clock()
        if address(body) != self.user:
            return Margin(ZERO, ()).wire(time=now)
        return self.replay.margin(now=now).wire(time=now)

    def truth(self, user: str) -> Body:
        """What a book of `user` should say now: for demos and tests, not part of the venue's protocol."""
        now = self.clock()
        rows = self.released({"user": user})
        margin = self.replay.margin(now=now)
        holding = margin.holdings[0] if margin.holdings and user.lower() == self.user else None
        return {
            "user": user.lower(),
            "time": now,
            "rows": len(self.replay.recording.fills),
            "fills": rows,
            "position": None
            if holding is None
            else {
                "coin": holding.coin,
                "size": number(holding.size),
                "entry": number(holding.entry, 18),
                "mark": number(holding.mark),
                "unrealized": number(holding.unrealized, 18),
            },
            "closed_pnl": number(sum((Decimal(row["closedPnl"]) for row in rows), Decimal(0))),
            "fees": number(sum((Decimal(row["fee"]) for row in rows), Decimal(0))),
        }
