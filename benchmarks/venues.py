"""Venues: decoding, memory, start-up and what ten wallets cost of Hyperliquid's rate budget."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from positions.book.world import World
from positions.venues.base import AccountConfig, Method, Ports
from positions.venues.hyperliquid.adapter import Hyperliquid
from positions.venues.hyperliquid.rows import perp_instruments
from positions.venues.instruments.catalog import Catalog, catalogs, encode
from positions.venues.pacing import Work, at_least
from positions.venues.transport.lazy_ccxt import exchange_class
from positions.venues.transport.local_ports import MemoryBudget, MemoryCache

FILLS = 2000
ROUNDS = 7
ADDRESS = "0x" + "ab" * 20
START = datetime(2026, 1, 1, tzinfo=UTC)
BUILDER_DEXES = 8
# The address's budget per hour: 1200 a minute (see hyperliquid.py).
HOURLY = 72_000


class Report(Protocol):
    """Takes one figure and its goal."""

    def __call__(
        self, name: str, value: float, unit: str, goal: float, better: str, floor: float | None = None
    ) -> None: ...


def run(report: Report) -> None:
    """All figures of the venues."""
    logging.disable(logging.WARNING)
    ours, ccxt_alone = asyncio.run(_decoding())
    report("ccxt alone, per fill", ccxt_alone * 1e6 / FILLS, "µs", 1000, "lower")
    report("ccxt and adapter, per fill", ours * 1e6 / FILLS, "µs", 1000, "lower")
    report("ratio of both to ccxt alone", ours / ccxt_alone, "×", 1.3, "lower")
    report("memory per further account", _memory(), "MB", 5, "lower")
    lone, whole = _start("hyperliquid"), _whole_start()
    report("start with one exchange", lone, "s", 2, "lower")
    report("ratio to import ccxt.pro", lone / whole, "×", 0.4, "lower")
    for kind, schedule in (("streamed", _streamed()), ("polled", _polled())):
        spent = asyncio.run(_weight(schedule))
        report(f"weight of a {kind} wallet and hour", spent, "", HOURLY * 0.02, "lower")
        report(f"ten {kind} wallets, of the address's budget", spent * 10 / HOURLY * 100, "%", 20, "lower")


# Transport


class _Response:
    status, reason, content = 200, "OK", None
    headers = {"Content-Type": "application/json"}

    def __init__(self, text: str) -> None:
        self._text = text

    async def __aenter__(self) -> _Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def text(self, **_: object) -> str:
        return self._text


class _Session:
    """Answers what an exchange instance asks, without a network."""

    headers: dict[str, str] = {}

    def __init__(self, answer: Callable[[dict[str, Any]], str]) -> None:
        self._answer = answer

    def post(self, url: Any, *, data: bytes, **_: object) -> _Response:
        return _Response(self._answer(json.loads(data)))

    async def close(self) -> None:
        return None


def _put_in(exchange: Any, answer: Callable[[dict[str, Any]], str]) -> None:
    exchange.session, exchange.own_session = _Session(answer), False


# Decoding


async def _decoding() -> tuple[float, float]:
    """(ours, ccxt alone): best seconds to turn one answer of 2,000 fills into entries / unified trades."""
    rows = [_fill(number) for number in range(FILLS)]
    whole, last = json.dumps(rows), json.dumps(rows[-1:])

    def answer(body: dict[str, Any]) -> str:
        return whole if body["startTime"] < rows[-1]["time"] else last

    venue = await _opened(answer)
    alone = exchange_class("hyperliquid")({"enableRateLimit": False, "walletAddress": ADDRESS})
    alone.set_markets([_market("ETH")])
    _put_in(alone, answer)
    since = datetime(2023, 1, 1, tzinfo=UTC)

    async def decode() -> None:
        batch = await venue.entries(since=since, methods=[Method.FILLS])
        assert len(batch.entries) == FILLS

    async def parse() -> None:
        trades = await alone.fetch_my_trades("ETH/USDC:USDC", 1, None, {"user": ADDRESS})
        assert len(trades) == FILLS

    return await _best(decode), await _best(parse)


async def _best(work: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        started = time.perf_counter()
        await work()
        best = min(best, time.perf_counter() - started)
    return best


def _fill(number: int) -> dict[str, Any]:
    buys = number % 2 == 0
    return {
        "coin": "ETH",
        "px": f"{2000 + number % 97}.{number % 10}",
        "sz": "0.25",
        "side": "B" if buys else "A",
        "time": 1_700_000_000_000 + number,
        "startPosition": "0.0" if buys else "0.25",
        "dir": "Open Long" if buys else "Close Long",
        "closedPnl": "0.0",
        "hash": f"0x{number:064x}",
        "oid": 90_000_000_000 + number,
        "crossed": True,
        "fee": "0.225013",
        "tid": 700_000_000_000_000 + number,
        "feeToken": "USDC",
        "twapId": None,
    }


def _market(coin: str) -> dict[str, Any]:
    return {
        "id": coin,
        "baseId": coin,
        "symbol": f"{coin}/USDC:USDC",
        "base": coin,
        "quote": "USDC",
        "settle": "USDC",
        "type": "swap",
        "spot": False,
        "swap": True,
        "contract": True,
        "linear": True,
        "inverse": False,
        "contractSize": 1.0,
        "precision": {"amount": 0.0001, "price": 0.1},
        "limits": {},
    }


# Memory and start-up

_ACCOUNTS = """
import gc, os, sys
from datetime import UTC, datetime
from positions.venues.base import AccountConfig, Credentials
from positions.venues.generic.markets import store
from positions.venues.transport.local_ports import ports
from positions.venues.registry import open_venue
import asyncio

def market(n):
    return {"id": f"C{n}USDT", "symbol": f"C{n}/USDT:USDT", "base": f"C{n}", "quote": "USDT",
            "settle": "USDT", "baseId": f"C{n}", "quoteId": "USDT", "type": "swap", "spot": False,
            "swap": True, "contract": True, "linear": True, "inverse": False, "contractSize": 1.0,
            "limits": {}, "precision": {"amount": 0.001, "price": 0.01},
            "info": {"filters": [str(n)] * 20}}

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    plugs, kept = ports(), []
    def account(n):
        return open_venue(AccountConfig(account=str(n), venue="binanceusdm",
                                        credentials=Credentials(api_key="k" * 20, secret="s" * 20)), plugs)
    first = account(0)
    first.client.exchange.set_markets([market(n) for n in range(3500)])
    store.hold(first.client)
    await first.instruments()
    first.client.exchange.open()
    kept.append(first)
    before = resident()
    for n in range(1, 21):
        venue = account(n)
        await venue.markets()
        venue.client.exchange.open()
        kept.append(venue)
    print((resident() - before) / 20 / 1e6)
    for venue in kept:
        await venue.close()

asyncio.run(main())
"""


def _memory() -> float:
    """MB that each of twenty accounts adds after the first, with 3,500 shared markets and an open session."""
    return float(_python(_ACCOUNTS).splitlines()[-1])


def _start(exchange: str) -> float:
    """Seconds until a fresh process has one exchange instance, best of three."""
    code = f"from positions.venues.transport.lazy_ccxt import exchange_class; exchange_class({exchange!r})()"
    return min(_seconds(code) for _ in range(3))


def _whole_start() -> float:
    return min(_seconds("import ccxt.pro; ccxt.pro.hyperliquid()") for _ in range(3))


def _seconds(code: str) -> float:
    started = time.perf_counter()
    _python(code)
    return time.perf_counter() - started


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


# Rate budget


Ask = Callable[[Hyperliquid], Any]
Schedule = list[tuple[timedelta, Ask]]
OVERLAP = timedelta(seconds=10)


def _list_of(method: Method, every: timedelta) -> tuple[timedelta, Ask]:
    """A list, read from where the last reading ended."""

    def ask(venue: Hyperliquid) -> Any:
        return venue.entries(since=venue.ports.clock() - every - OVERLAP, methods=[method])

    return every, ask


def _report(venue: Hyperliquid) -> Any:
    return venue.report()


def _marks(venue: Hyperliquid) -> Any:
    return venue.marks(symbols=["ETH", "dex0:X"])


def _streamed() -> Schedule:
    """What `manage.py stream` asks beside its sockets, and a proof a minute: it needs no lists of its own
    while the stream's process reads them at least every ten minutes.
    """
    import django

    django.setup()
    from portfolio.stream.list_schedule import SWEEP
    from portfolio.stream.state_watch import REPORT_EVERY

    assert SWEEP[Method.FILLS] < timedelta(minutes=10)
    lists = [_list_of(method, every) for method, every in SWEEP.items()]
    return [*lists, (REPORT_EVERY[True], _report), (timedelta(minutes=1), _report)]


def _polled() -> Schedule:
    """What the beat asks for ten wallets that nothing streams; a wallet's tenth of the prices; the proofs."""

    def every(work: Work, beat: int, accounts: int = 10) -> timedelta:
        paced = at_least(world=World("hyperliquid", "live"), work=work, accounts=accounts)
        return max(timedelta(seconds=beat), paced)

    return [
        _list_of(Method.FILLS, every(Work.FILLS, 5)),
        _list_of(Method.FUNDING, every(Work.CASH, 60)),
        _list_of(Method.TRANSFERS, every(Work.CASH, 60)),
        (every(Work.STATE, 5), _report),
        (every(Work.MARKS, 2, accounts=1) * 10, _marks),
        (timedelta(minutes=1), _report),
    ]


async def _weight(schedule: Schedule) -> float:
    """Tokens that one wallet spends in an hour; each kind of asking comes from a process of its own.

    The wallet holds a position on the main dex and one on a builder's; an hour brings 100 fills.
    """
    now = START
    rows = [_fill(number) | {"time": 1_767_225_600_000 + number * 36_000} for number in range(100)]

    def answer(body: dict[str, Any]) -> str:
        kind, dex = body["type"], body.get("dex", "")
        if kind == "userFillsByTime":
            known = now.timestamp() * 1000
            return json.dumps([row for row in rows if body["startTime"] <= row["time"] <= known])
        if kind in ("userFunding", "userNonFundingLedgerUpdates"):
            return "[]"
        if kind == "userAbstraction":
            return '"default"'
        if kind == "spotClearinghouseState":
            return '{"balances": []}'
        if kind == "allMids":
            return json.dumps({"ETH": "2000.0"} if not dex else {f"{dex}:X": "1.0"})
        held = {"": ["ETH"], "dex0": ["dex0:X"]}.get(dex, [])
        return json.dumps(_state([{"position": {"coin": coin, "szi": "1.0"}} for coin in held]))

    first = await _opened(answer, clock=lambda: now)
    venues = [first]
    for _ in schedule[1:]:
        venues.append(Hyperliquid(first.config, first.ports))
        _put_in(venues[-1].client.exchange, answer)
    budget = first.ports.budget
    assert isinstance(budget, MemoryBudget)
    await first.instruments()
    due = [START] * len(schedule)
    for second in range(3600):
        now = START + timedelta(seconds=second)
        for number, (every, ask) in enumerate(schedule):
            if now >= due[number]:
                due[number] = now + every
                await ask(venues[number])
    for venue in venues:
        await venue.close()
    return budget.spent[first.client.budget_key]


def _state(positions: list[Any]) -> dict[str, Any]:
    summary = {
        "accountValue": "100.0",
        "totalNtlPos": "0.0",
        "totalRawUsd": "100.0",
        "totalMarginUsed": "0.0",
    }
    return {
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": "0.0",
        "withdrawable": "100.0",
        "assetPositions": positions,
        "time": 1_700_000_000_000,
    }


async def _opened(
    answer: Callable[[dict[str, Any]], str], *, clock: Callable[[], datetime] | None = None
) -> Hyperliquid:
    """An adapter on stubbed transport; tokens are counted and not waited for (without a clock, a minute
    passes between two requests).
    """

    async def at_once(_: float) -> None:
        return None

    instruments = perp_instruments(
        {"universe": [{"name": "ETH", "szDecimals": 4, "maxLeverage": 50}]}, dex="", collateral="USDC"
    )
    for number in range(BUILDER_DEXES):
        universe = [{"name": f"dex{number}:X", "szDecimals": 2, "maxLeverage": 10}]
        instruments += perp_instruments({"universe": universe}, dex=f"dex{number}", collateral="USDC")
    catalogs.forget()
    ticks = clock if clock is not None else lambda: datetime.now(UTC)
    seconds = iter(range(0, 10**9, 60)) if clock is None else None
    budget = MemoryBudget(
        now=lambda: float(next(seconds)) if seconds else (ticks() - START).total_seconds(), sleep=at_once
    )
    plugs = Ports(cache=MemoryCache(), budget=budget, clock=ticks)
    config = AccountConfig(account="1", venue="hyperliquid", address=ADDRESS)
    await plugs.cache.set(
        f"venues:instruments:1:{config.server}", encode(Catalog(instruments)), timedelta(days=1)
    )
    venue = Hyperliquid(config, plugs)
    _put_in(venue.client.exchange, answer)
    return venue
