"""A simulated venue as the demo runs it, for as long as one likes, with clients: what its process needs.

`python -m benchmarks.simulator --memory MINUTES` prints its memory once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.pro
import psutil

from benchmarks._simulator_server import MEGABYTE, Server
from simulator.engine.traders import trader_address

TRADERS = 6
SOCKETS = 8
OF_A_USER = ("userFills", "orderUpdates", "userFundings", "userNonFundingLedgerUpdates", "userEvents")
STATES = ("clearinghouseState", "spotState", "openOrders", "webData2")
OF_A_MARKET = ("activeAssetCtx", "l2Book", "bbo", "trades")
# What the demo's Procfile says.
OPTIONS = ("--speed", "3", "--scenario", "calm", "--allow-control")


def memory(minutes: int) -> None:
    """Run for so long; the last line is the growth after a tenth of it."""
    asyncio.run(_memory(minutes))


async def _memory(minutes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(*OPTIONS, "--state", str(Path(folder) / "hyperliquid.json"))
        server.wait()
        clients = [
            *(asyncio.create_task(_listen(server.base, index)) for index in range(SOCKETS)),
            *(asyncio.create_task(_trade_library(server.base, index)) for index in range(2)),
        ]
        try:
            await _watch(server, minutes)
        finally:
            for one in clients:
                one.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            server.stop()


async def _watch(server: Server, minutes: int) -> None:
    process = psutil.Process(server.process.pid)
    sizes: list[float] = []
    async with aiohttp.ClientSession() as session:
        for minute in range(minutes + 1):
            sizes.append(process.memory_info().rss / MEGABYTE)
            fills = await _fills(session, server.base)
            print(
                json.dumps(
                    {
                        "time": datetime.now(UTC).isoformat(timespec="seconds"),
                        "minute": minute,
                        "rss_mb": round(sizes[-1], 2),
                        "fills": fills,
                        "processor_s": round(sum(process.cpu_times()[:2]), 1),
                    }
                ),
                flush=True,
            )
            if minute < minutes:
                await asyncio.sleep(60)
    warm = max(1, minutes // 10)
    if minutes > warm:
        hours = (minutes - warm) / 60
        grown = sizes[-1] - sizes[warm]
        print(json.dumps({"after_minute": warm, "grown_mb": round(grown, 2), "per_hour": grown / hours}))


async def _fills(session: aiohttp.ClientSession, base: str) -> int:
    total = 0
    for index in range(TRADERS):
        user = trader_address(1, index)
        async with session.get(f"{base}/sim/truth", params={"user": user}) as reply:
            total += int((await reply.json())["totals"]["fills"])
    return total


async def _listen(base: str, index: int) -> None:
    """A socket with all of one user and a market; every five minutes it comes back, as browsers do."""
    user, coin = trader_address(1, index % TRADERS), ("BTC", "ETH", "SOL", "HYPE")[index % 4]
    wanted: list[dict[str, Any]] = [{"type": kind, "user": user} for kind in (*OF_A_USER, *STATES)]
    wanted += [{"type": kind, "coin": coin} for kind in OF_A_MARKET]
    wanted += [{"type": "allMids"}, {"type": "candle", "coin": coin, "interval": "1m"}]
    async with aiohttp.ClientSession() as session:
        while True:
            until = time.monotonic() + 300
            async with session.ws_connect(f"{base}/ws", max_msg_size=1 << 25) as socket:
                for one in wanted:
                    await socket.send_json({"method": "subscribe", "subscription": one})
                while time.monotonic() < until:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(socket.receive(), 30)


async def _trade_library(base: str, index: int) -> None:
    """An unmodified ccxt client: streams, and reads everything once a minute."""
    socket = base.replace("http", "ws", 1) + "/ws"
    urls = {"public": base, "private": base, "ws": {"public": socket}}
    client = ccxt.pro.hyperliquid({"walletAddress": trader_address(1, index), "urls": {"api": urls}})
    try:
        await asyncio.gather(_follow(client), _read(client))
    finally:
        await client.close()


async def _follow(client: Any) -> None:
    while True:
        await client.watch_my_trades()


async def _read(client: Any) -> None:
    while True:
        await client.fetch_positions()
        await client.fetch_balance()
        await client.fetch_my_trades(since=1)
        await client.fetch_funding_history(since=1)
        await client.fetch_ledger(since=0)
        await client.fetch_orders()
        await client.fetch_ohlcv("BTC/USDC:USDC", "1m")
        await asyncio.sleep(60)
