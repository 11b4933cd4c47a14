"""What our adapters make of one recorded answer, in the terms the expectations are written in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from positions.venues.base import EntryBatch, Method, Report
from positions.venues.generic.adapter import Generic
from positions.venues.generic.calls import ReportCall
from positions.venues.generic.lists import ListReader
from positions.venues.hyperliquid import rows
from positions.venues.hyperliquid.adapter import Hyperliquid
from positions.venues.instruments.catalog import Catalog, catalogs, encode
from positions.venues.registry import VENUES
from positions.venues.transport.lazy_ccxt import exchange_class

from .replay import (
    ADDRESS,
    FAKE,
    NOW,
    Answer,
    Case,
    Session,
    config_for,
    give_keys,
    market,
    opened,
    put_in,
    routed,
    snake,
    unhurried,
)

LISTS = {
    "fetchMyTrades": Method.FILLS,
    "fetchFundingHistory": Method.FUNDING,
    "fetchDeposits": Method.TRANSFERS,
    "fetchWithdrawals": Method.TRANSFERS,
    "fetchLedger": Method.TRANSFERS,
}
# Asked for beside fills, whose recordings are of accounts in one-way mode.
BYBIT_POSITIONS = "/v5/position/list"
NO_POSITION = Answer({"retCode": 0, "retMsg": "OK", "result": {"list": [], "nextPageCursor": ""}})
STATES = ("fetchPositions", "fetchPosition", "fetchPositionsRisk")
Result = Report | EntryBatch
_KEYS = {
    "apiKey": FAKE.api_key,
    "secret": FAKE.secret,
    "password": FAKE.password,
    "privateKey": FAKE.private_key,
    "uid": FAKE.uid,
    "walletAddress": ADDRESS,
    "timeout_on_exit": 0,
}


async def read(case: Case, *, adapter: Any = None) -> Result:
    """The report or batch that the case's adapter (the registry's, or the one given) makes of its answer."""
    factory = adapter or VENUES.get(case.exchange, Generic)
    if factory is Hyperliquid:
        return await read_hyperliquid(case)
    venue = opened(factory, case.exchange, case.markets, case.options)
    give_keys(venue.client.exchange, case.credentials)
    answer = routed(case.response)

    def answered(method: str, url: str, body: Any) -> Answer:
        asks_mode = case.method == "fetchMyTrades" and BYBIT_POSITIONS in url
        return NO_POSITION if asks_mode else _with_status(answer(method, url, body), case)

    put_in(venue.client, answered)
    call = snake(case.method)
    try:
        if case.method in STATES:
            return await venue.answered([ReportCall(call, tuple(case.input))])
        if case.method == "fetchBalance":
            wallet = venue.balance_calls[0].wallet
            return await venue.answered([ReportCall(call, tuple(case.input), wallet=wallet)])
        lists = ListReader(venue, await venue.markets(), since=NOW, until=None)
        if case.method == "fetchLedger":
            return await lists.ledger_answered(call, *case.input)
        incoming = case.method != "fetchWithdrawals"
        return await lists.answered(LISTS[case.method], call, *case.input, incoming=incoming)
    finally:
        await venue.close()


def _with_status(answer: Answer, case: Case) -> Answer:
    return Answer(answer.body, case.status, case.headers or answer.headers)


_NOTHING = {"accountValue": "0.0", "totalNtlPos": "0.0", "totalRawUsd": "0.0", "totalMarginUsed": "0.0"}
FLAT = {
    "marginSummary": _NOTHING,
    "crossMarginSummary": _NOTHING,
    "crossMaintenanceMarginUsed": "0.0",
    "withdrawable": "0.0",
    "assetPositions": [],
    "time": 1700000000000,
}
_DEFAULTS: Mapping[str, Any] = {
    "userAbstraction": '"default"',
    "userRole": {"role": "user"},
    "spotClearinghouseState": {"balances": []},
    "clearinghouseState": FLAT,
}
_TOKENS = [
    {"index": 0, "name": "USDC", "szDecimals": 8},
    {"index": 1, "name": "PURR", "szDecimals": 0},
    {"index": 2, "name": "HYPE", "szDecimals": 2},
]
_PAIRS = [
    {"name": "PURR/USDC", "tokens": [1, 0], "index": 0},
    {"name": "@107", "tokens": [2, 0], "index": 107},
]


def catalog_for(response: Any) -> Catalog:
    """Instruments for every coin that an answer names: perpetuals, builder-dex perpetuals, two spot pairs."""
    coins: set[str] = set()
    pending = [response]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            if isinstance(item.get("coin"), str):
                coins.add(item["coin"])
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    perps = [coin for coin in coins if "/" not in coin and not coin.startswith("@")]
    found = rows.spot_instruments({"tokens": _TOKENS, "universe": _PAIRS})
    for dex, collateral in (("", "USDC"), ("flx", "USDH")):
        names = [coin for coin in perps if (coin.partition(":")[0] if ":" in coin else "") == dex]
        universe = [{"name": name, "szDecimals": 2, "maxLeverage": 50} for name in names]
        found += rows.perp_instruments({"universe": universe}, dex=dex, collateral=collateral)
    return Catalog(found)


async def opened_hyperliquid(catalog: Catalog, answer: Any, **config: Any) -> tuple[Hyperliquid, Any]:
    """The adapter with a catalog in its cache and `answer(kind, body)` behind its info endpoint."""
    catalogs.forget()
    plugs = unhurried()
    venue = Hyperliquid(config_for("hyperliquid", **config), plugs)
    key = f"venues:instruments:1:{venue.config.server}"
    await plugs.cache.set(key, encode(catalog), timedelta(hours=1))

    def respond(method: str, url: str, body: Any) -> Answer | BaseException:
        found = answer(body["type"], body)
        return found if isinstance(found, (Answer, BaseException)) else Answer(found)

    return venue, put_in(venue.client, respond)


async def read_hyperliquid(case: Case) -> Result:
    spot = case.method == "fetchBalance" and case.input == [{"type": "spot"}]
    kinds = {
        "fetchMyTrades": "userFillsByTime",
        "fetchFundingHistory": "userFunding",
        "fetchBalance": "spotClearinghouseState" if spot else "clearinghouseState",
        "fetchPositions": "clearinghouseState",
    }
    recorded_kind = kinds.get(case.method, "userNonFundingLedgerUpdates")

    def answer(kind: str, body: Any) -> Any:
        if kind == recorded_kind:
            return Answer(case.response, case.status, case.headers or {"Content-Type": "application/json"})
        return _DEFAULTS[kind]

    venue, _ = await opened_hyperliquid(catalog_for(case.response), answer, address=case.address)
    try:
        if case.method in LISTS:
            since = datetime(2020, 1, 1, tzinfo=UTC)
            return await venue.entries(since=since, methods=[LISTS[case.method]])
        return await venue.report(scopes=["spot"] if spot else [""])
    finally:
        await venue.close()


async def plain_rows(case: Case) -> list[dict[str, Any]]:
    """What ccxt alone makes of a positions answer; [] where its parser fails on it."""
    if case.method not in STATES:
        return []
    exchange = exchange_class(case.exchange)({"enableRateLimit": False, **_KEYS})
    exchange.number = str
    exchange.set_markets([market(entry) for entry in case.markets])
    exchange.options.update(case.options)
    give_keys(exchange, case.credentials)
    exchange.session, exchange.own_session = Session(routed(case.response)), False
    try:
        rows = await getattr(exchange, snake(case.method))(*case.input)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return []
    finally:
        exchange.session = None
        await exchange.close()
    return rows if isinstance(rows, list) else [rows]


# Comparison


def same(expected: Any, found: Any) -> bool:
    """Equal as numbers where both are; {"of": [a, b]} is the exact quotient a / b."""
    if isinstance(expected, Mapping) and "of" in expected:
        over, under = map(Decimal, expected["of"])
        return found == abs(over / under)
    if expected is None or found is None or isinstance(expected, bool):
        return expected is found
    if isinstance(found, Decimal):
        return Decimal(expected) == found
    if isinstance(found, datetime):
        return datetime.fromisoformat(expected) == found
    if isinstance(expected, list):
        return sorted(expected) == sorted(found)
    return str(expected) == str(found)


def differences(expected: Mapping[str, Any], found: Any, names: Mapping[str, str] | None = None) -> list[str]:
    """Every field of an expectation that is not so; fields the expectation does not name are not compared."""
    return [
        f"{name}: expected {value}, got {getattr(found, (names or {}).get(name, name))}"
        for name, value in expected.items()
        if not same(value, getattr(found, (names or {}).get(name, name)))
    ]
