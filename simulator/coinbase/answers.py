"""Coinbase's answers, with the fields that recorded answers and ccxt's examples show, and no others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice, takewhile
from typing import Any

from simulator.coinbase.exchange import (
    FIAT,
    MAKER,
    NAMES,
    SATOSHI,
    TAKER,
    Customer,
    Row,
    SpotExchange,
    stable_uuid,
    written,
)
from simulator.engine.market import Market
from simulator.hyperliquid.candles import joined

GRANULARITIES = {
    "ONE_MINUTE": 60,
    "FIVE_MINUTE": 300,
    "FIFTEEN_MINUTE": 900,
    "THIRTY_MINUTE": 1800,
    "ONE_HOUR": 3600,
    "TWO_HOUR": 7200,
    "SIX_HOUR": 21_600,
    "ONE_DAY": 86_400,
}
MOST_CANDLES = 350
EPOCH_ISO = "2023-01-04T06:20:06.456Z"


class BadRequest(ValueError):
    """A query that the venue refuses: `code` is its word for it, `status` the HTTP status."""

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def iso(milliseconds: int) -> str:
    """A time as Coinbase writes it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """Milliseconds of an ISO time. Raises BadRequest."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise BadRequest(f"invalid time {text}") from error


def count(text: str | None, default: int, most: int) -> int:
    """A page size. Raises BadRequest."""
    if text is None:
        return default
    if not text.isdigit() or int(text) == 0:
        raise BadRequest("invalid limit")
    return min(int(text), most)


def amount(value: Decimal, currency: str) -> Row:
    """An amount with its currency, sixteen decimals as in the recorded accounts."""
    return {"value": f"{value:.16f}", "currency": currency}


def accounts(customer: Customer, *, limit: int, cursor: str) -> Row:
    """Wallets, by page; the cursor is the last wallet's uuid."""
    wallets = sorted(customer.wallets.values(), key=lambda one: one.uuid)
    rest = [one for one in wallets if not cursor or one.uuid > cursor]
    page, more = rest[:limit], len(rest) > limit
    rows = [
        {
            "uuid": one.uuid,
            "name": f"{one.currency} Wallet",
            "currency": one.currency,
            "available_balance": amount(one.total - one.hold, one.currency),
            "default": True,
            "active": True,
            "created_at": EPOCH_ISO,
            "updated_at": EPOCH_ISO,
            "deleted_at": None,
            "type": "ACCOUNT_TYPE_FIAT" if one.currency in FIAT else "ACCOUNT_TYPE_CRYPTO",
            "ready": one.currency in FIAT,
            "hold": amount(one.hold, one.currency),
        }
        for one in page
    ]
    return {"accounts": rows, "has_next": more, "cursor": page[-1].uuid if more else "", "size": len(rows)}


def fill(row: Row) -> Row:
    """A fill as the venue shows it."""
    shown = {name: value for name, value in row.items() if name != "time"}
    return shown | {
        "trade_time": iso(row["time"]),
        "trade_type": "FILL",
        "sequence_timestamp": iso(row["time"]),
    }


def fills(customer: Customer, query: dict[str, str], *, limit: int, kept: int | None) -> Row:
    """Fills, newest first; the cursor is how many came before."""
    start = parse_iso(query["start_sequence_timestamp"]) if "start_sequence_timestamp" in query else 0
    end = parse_iso(query["end_sequence_timestamp"]) if "end_sequence_timestamp" in query else 2**62
    cursor = query.get("cursor", "") or "0"
    if not cursor.isdigit():
        raise BadRequest("invalid cursor")
    product, order = query.get("product_id"), query.get("order_id")
    history = takewhile(lambda row: start <= row["time"], islice(reversed(customer.fills), kept))
    found = [
        row
        for row in history
        if row["time"] <= end and product in (None, row["product_id"]) and order in (None, row["order_id"])
    ]
    first = int(cursor)
    page = found[first : first + limit]
    more = first + limit < len(found)
    return {"fills": [fill(row) for row in page], "cursor": str(first + limit) if more else ""}


def product(market: Market) -> Row:
    """A row of products."""
    listing = market.listing
    change = (market.mark / market.previous_day - 1) * 100
    increment = format(listing.tick(market.mark), "f")
    return {
        "product_id": listing.coin,
        "price": written(market.mark),
        "price_percentage_change_24h": f"{change:.14f}",
        "volume_24h": written(market.day_base),
        "volume_percentage_change_24h": "0",
        "base_increment": format(SATOSHI, "f"),
        "quote_increment": increment,
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": format(SATOSHI, "f"),
        "base_max_size": "3400",
        "base_name": NAMES[listing.base],
        "quote_name": NAMES[listing.quote],
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": listing.quote,
        "base_currency_id": listing.base,
        "fcm_trading_session_details": None,
        "mid_market_price": "",
        "alias": "",
        "alias_to": [],
        "base_display_symbol": listing.base,
        "quote_display_symbol": listing.quote,
        "view_only": False,
        "price_increment": increment,
        "display_name": listing.coin,
        "product_venue": "CBE",
    }


def products(exchange: SpotExchange, *, kind: str | None, wanted: list[str]) -> Row:
    """All products, or those asked for; no futures are listed here."""
    rows = [
        product(market)
        for coin, market in exchange.markets.items()
        if kind in (None, "SPOT") and (not wanted or coin in wanted)
    ]
    return {"products": rows, "num_products": len(rows)}


def pricebook(exchange: SpotExchange, market: Market) -> Row:
    """Best bid and ask."""
    bid, ask = exchange.prices(market)
    size = written((Decimal(25_000) / bid).quantize(SATOSHI))
    return {
        "product_id": market.listing.coin,
        "bids": [{"price": written(bid), "size": size}],
        "asks": [{"price": written(ask), "size": size}],
        "time": iso(exchange.now),
    }


def ticker(exchange: SpotExchange, market: Market) -> Row:
    """The last trade (the mark, when nobody has traded) with best bid and ask."""
    bid, ask = exchange.prices(market)
    trade = {
        "trade_id": str(exchange.counter),
        "product_id": market.listing.coin,
        "price": written(market.mark),
        "size": "0.01",
        "time": iso(exchange.now),
        "side": "BUY",
        "bid": "",
        "ask": "",
    }
    return {"trades": [trade], "best_bid": written(bid), "best_ask": written(ask)}


def candles(market: Market, query: dict[str, str], *, now: int) -> Row:
    """Candles that begin between two times (seconds), newest first."""
    length = GRANULARITIES.get(query.get("granularity", ""))
    start, end = query.get("start", ""), query.get("end", "")
    if length is None or not start.isdigit() or not end.isdigit():
        raise BadRequest("granularity, start and end are required")
    if (int(end) - int(start)) / length > MOST_CANDLES:
        raise BadRequest("number of candles requested should be less than 350")
    low, high = int(start) * 1000, int(end) * 1000
    rows = [
        {
            "start": str(one.time // 1000),
            "low": written(one.low),
            "high": written(one.high),
            "open": written(one.open),
            "close": written(one.close),
            "volume": written(one.volume),
        }
        for one in joined(market.minutes(now=now, since=low - low % (length * 1000)), length * 1000)
        if low <= one.time <= high
    ]
    return {"candles": rows[::-1]}


def summary(customer: Customer) -> Row:
    """Volume and fee tier."""
    tier = {
        "pricing_tier": "Advanced 1",
        "usd_from": "0",
        "usd_to": "1000",
        "taker_fee_rate": written(TAKER),
        "maker_fee_rate": written(MAKER),
        "aop_from": "",
        "aop_to": "",
    }
    fees = written(sum(customer.fees.values(), Decimal(0)))
    return {
        "total_volume": "0",
        "total_fees": fees,
        "fee_tier": tier,
        "margin_rate": None,
        "goods_and_services_tax": None,
        "advanced_trade_only_volume": "0",
        "advanced_trade_only_fees": fees,
        "coinbase_pro_volume": "0",
        "coinbase_pro_fees": "0",
        "total_balance": "",
        "has_promo_fee": False,
    }


def currencies(exchange: SpotExchange) -> tuple[list[Row], list[Row], dict[str, str]]:
    """(fiat, crypto, USD rates) as the v2 calls list them."""
    fiat = [{"id": code, "name": NAMES[code], "min_size": "0.01"} for code in sorted(FIAT)]
    crypto = [
        {
            "asset_id": stable_uuid("asset", code),
            "code": code,
            "name": NAMES[code],
            "color": "#0433FF",
            "sort_index": 100 + index,
            "exponent": 8,
            "type": "crypto",
            "address_regex": "^(?:0x)?[0-9a-fA-F]{40}$",
        }
        for index, code in enumerate(sorted(set(NAMES) - FIAT))
    ]
    rates = {"USD": "1.0", "USDC": "1.0"}
    for market in exchange.markets.values():
        rates.setdefault(market.listing.base, f"{1 / market.mark:.16f}")
    return fiat, crypto, rates


def transactions(customer: Customer, account: str, *, limit: int, after: str) -> Row:
    """Transfers of one wallet, newest first, in pages of v2."""
    wallet = next((one for one in customer.wallets.values() if one.uuid == account), None)
    if wallet is None:
        raise BadRequest("Not found", "not_found", 404)
    rows = [
        transaction(row, account)
        for row in reversed(customer.transfers)
        if row["currency"] == wallet.currency
    ]
    ids = [row["id"] for row in rows]
    first = ids.index(after) + 1 if after in ids else 0
    page = rows[first : first + limit]
    following = page[-1]["id"] if first + limit < len(rows) else None
    path = f"/v2/accounts/{account}/transactions"
    return {
        "pagination": {
            "ending_before": None,
            "starting_after": after or None,
            "limit": limit,
            "order": "desc",
            "previous_uri": None,
            "next_uri": f"{path}?limit={limit}&starting_after={following}" if following else None,
            "next_starting_after": following,
        },
        "data": page,
    }


def transaction(row: Row, account: str) -> Row:
    """A deposit or withdrawal."""
    currency, moved = row["currency"], Decimal(row["amount"])
    fiat = currency in FIAT
    incoming = moved > 0
    kind = ("fiat_deposit" if incoming else "fiat_withdrawal") if fiat else "send"
    shown: dict[str, Any] = {
        "id": row["id"],
        "type": kind,
        "status": "completed",
        "amount": {"amount": written(moved), "currency": currency},
        "native_amount": {"amount": f"{moved:.2f}", "currency": "USD"},
        "description": None,
        "created_at": iso(row["time"])[:19] + "Z",
        "updated_at": iso(row["time"])[:19] + "Z",
        "resource": "transaction",
        "resource_path": f"/v2/accounts/{account}/transactions/{row['id']}",
        "instant_exchange": False,
        "details": {"title": f"{'Received' if incoming else 'Sent'} {currency}", "subtitle": ""},
    }
    if not fiat:
        network = {"status": "confirmed", "hash": stable_uuid("hash", row["id"]).replace("-", "")}
        network["network_name"] = "ethereum"
        shown["network"] = network | {
            "transaction_fee": {"amount": "0.00000000", "currency": currency},
            "transaction_amount": {"amount": written(abs(moved)), "currency": currency},
        }
    return shown
