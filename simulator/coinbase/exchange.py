"""Wallets and fills of a spot exchange: customers trade against the house at its bid and ask."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Any

from simulator.engine.catalogue import SPOT, Listing
from simulator.engine.market import Market
from simulator.engine.records import Archive, Records

ZERO = Decimal(0)
TAKER, MAKER = Decimal("0.006"), Decimal("0.004")
HALF_SPREAD = Decimal("0.0002")
CENT = Decimal("0.01")
SATOSHI = Decimal("0.00000001")
KEPT = 10_000
NAMES = {
    "BTC": "Bitcoin",
    "ETH": "Ethereum",
    "SOL": "Solana",
    "DOGE": "Dogecoin",
    "USD": "US Dollar",
    "USDC": "USDC",
}
FIAT = {"USD"}
Row = dict[str, Any]


class Product(Listing):
    """A spot pair; prices have its own fixed increment."""

    @property
    def price_decimals(self) -> int:
        """Decimals of the increment."""
        return 2 if self.base != "DOGE" else 5

    def tick(self, price: Decimal) -> Decimal:
        """The price increment, whatever the price."""
        return CENT if self.base != "DOGE" else Decimal("0.00001")


def product(base: str, quote: str, start: str, volatility: float) -> Product:
    """A pair that walks the same path as the perpetual of its base on the simulated Hyperliquid."""
    return Product(f"{base}-{quote}", 0, SPOT, 8, Decimal(start), volatility, quote, base, follow=base)


PRODUCTS = (
    product("BTC", "USD", "97250", 0.0006),
    product("BTC", "USDC", "97250", 0.0006),
    product("ETH", "USD", "3412.5", 0.0008),
    product("SOL", "USD", "187.42", 0.0011),
    product("DOGE", "USD", "0.18244", 0.0013),
)


class Refused(ValueError):
    """The exchange does not do it; the message says why."""


@dataclass(slots=True)
class Wallet:
    """One currency of a customer; `hold` is the part that a resting order keeps."""

    currency: str
    uuid: str
    total: Decimal = ZERO
    hold: Decimal = ZERO


@dataclass(slots=True)
class Customer:
    """One API key's portfolio."""

    key: str
    portfolio: str
    fills: Records
    transfers: Records
    wallets: dict[str, Wallet] = field(default_factory=dict)
    deposits: dict[str, Decimal] = field(default_factory=dict)
    fees: dict[str, Decimal] = field(default_factory=dict)
    count: int = 0

    def wallet(self, currency: str) -> Wallet:
        """The wallet of a currency, opened when first needed."""
        if currency not in self.wallets:
            self.wallets[currency] = Wallet(currency, stable_uuid(self.key, currency))
        return self.wallets[currency]


def stable_uuid(*names: object) -> str:
    """A UUID made from names: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "plumbline/coinbase/" + "/".join(map(str, names))))


def written(value: Decimal) -> str:
    """A number as Coinbase writes fills: plain notation, as many decimals as it needs."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


class SpotExchange:
    """All products and customers. `house` is the other side of every fill: its balances may be negative."""

    def __init__(self, *, seed: int, now: int) -> None:
        self.seed = seed
        self.now = now
        self.archive = Archive()
        self.markets = {one.coin: Market.open(one, seed, self.archive) for one in PRODUCTS}
        self.customers: dict[str, Customer] = {}
        self.house: dict[str, Decimal] = {}
        self.counter = 0
        self.withheld: dict[str, int] = {}
        self.hidden: list[tuple[int, Customer, Row]] = []

    def customer(self, key: str) -> Customer:
        """The portfolio of an API key, opened when first seen."""
        if key not in self.customers:
            fills, transfers = self.archive.records(KEPT), self.archive.records(KEPT)
            self.customers[key] = Customer(key, stable_uuid(key, "portfolio"), fills, transfers)
        return self.customers[key]

    def step(self, *, now: int, minutes: float, regime: str) -> None:
        """Prices move."""
        self.now = now
        for market in self.markets.values():
            market.move(minutes=minutes, regime=regime, now=now)
        due = [(customer, row) for when, customer, row in self.hidden if when <= now]
        self.hidden = [one for one in self.hidden if one[0] > now]
        for customer, row in due:
            self._file(customer, row)

    def prices(self, market: Market) -> tuple[Decimal, Decimal]:
        """(bid, ask): two basis points round the path, at least a tick apart."""
        listing = market.listing
        bid = listing.rounded(market.oracle * (1 - HALF_SPREAD), ROUND_DOWN)
        ask = listing.rounded(market.oracle * (1 + HALF_SPREAD), ROUND_UP)
        return bid, max(ask, bid + listing.tick(bid))

    def transfer(self, customer: Customer, currency: str, amount: Decimal) -> Row:
        """Money from (+) or to (-) outside. Raises Refused when there is not enough."""
        wallet = customer.wallet(currency)
        if wallet.total - wallet.hold + amount < 0:
            raise Refused(f"not enough {currency}")
        wallet.total += amount
        customer.deposits[currency] = customer.deposits.get(currency, ZERO) + amount
        self.counter += 1
        row = {"id": stable_uuid(self.seed, "transfer", self.counter), "time": self.now}
        row |= {"currency": currency, "amount": str(amount)}
        customer.transfers.append(row)
        return row

    def trade(
        self, customer: Customer, coin: str, *, buy: bool, size: Decimal, maker: bool = False, parts: int = 1
    ) -> list[Row]:
        """Buy or sell `size` units in up to `parts` fills of one order. Raises Refused."""
        market = self.markets[coin]
        listing = market.listing
        bid, ask = self.prices(market)
        price = (bid if buy else ask) if maker else (ask if buy else bid)
        size = size.quantize(SATOSHI, rounding=ROUND_DOWN)
        cost = size * price * (1 + (MAKER if maker else TAKER))
        wallet = customer.wallet(listing.quote if buy else listing.base)
        if size <= 0 or wallet.total - wallet.hold < (cost if buy else size):
            raise Refused("INSUFFICIENT_FUND")
        self.counter += 1
        order = stable_uuid(self.seed, "order", self.counter)
        rows = []
        for part in pieces(size, parts):
            rows.append(self._fill(customer, market, order, buy=buy, size=part, price=price, maker=maker))
            price = listing.rounded(price + listing.tick(price) * (1 if buy else -1) * (0 if maker else 1))
        return rows

    def _fill(
        self,
        customer: Customer,
        market: Market,
        order: str,
        *,
        buy: bool,
        size: Decimal,
        price: Decimal,
        maker: bool,
    ) -> Row:
        listing = market.listing
        value = size * price
        fee = (value * (MAKER if maker else TAKER)).quantize(Decimal("0.0000000001"), ROUND_HALF_EVEN)
        signed = size if buy else -size
        base, quote = customer.wallet(listing.base), customer.wallet(listing.quote)
        base.total += signed
        quote.total -= signed * price + fee
        self.house[listing.base] = self.house.get(listing.base, ZERO) - signed
        self.house[listing.quote] = self.house.get(listing.quote, ZERO) + signed * price + fee
        customer.fees[listing.quote] = customer.fees.get(listing.quote, ZERO) + fee
        customer.count += 1
        self.counter += 1
        market.traded(size=size, price=price, now=self.now)
        entry = hashlib.sha256(f"{self.seed}/fill/{self.counter}".encode()).hexdigest()
        row = {
            "entry_id": entry,
            "trade_id": stable_uuid(self.seed, "trade", self.counter),
            "order_id": order,
            "time": self.now,
            "price": written(price),
            "size": written(size),
            "commission": written(fee),
            "product_id": listing.coin,
            "liquidity_indicator": "MAKER" if maker else "TAKER",
            "size_in_quote": False,
            "user_id": stable_uuid(customer.key, "user"),
            "side": "BUY" if buy else "SELL",
        }
        if self.withheld.get(customer.key, 0) > 0:
            self.withheld[customer.key] -= 1
            self.hidden.append((2**62, customer, row))
        else:
            self._file(customer, row)
        return row

    def release(self) -> int:
        """Show withheld fills with the next step; how many."""
        self.withheld.clear()
        self.hidden = [(self.now, customer, row) for _, customer, row in self.hidden]
        return len(self.hidden)

    def _file(self, customer: Customer, row: Row) -> None:
        customer.fills.insert(row)

    def imbalance(self) -> dict[str, Decimal]:
        """Per currency: what customers and house own less what came from outside. Always empty."""
        missing = dict(self.house)
        for customer in self.customers.values():
            for currency, wallet in customer.wallets.items():
                missing[currency] = missing.get(currency, ZERO) + wallet.total
            for currency, amount in customer.deposits.items():
                missing[currency] = missing.get(currency, ZERO) - amount
        return {currency: amount for currency, amount in missing.items() if amount}


def pieces(size: Decimal, parts: int) -> list[Decimal]:
    """`size` in up to `parts` parts that add up to it."""
    part = (size / parts).quantize(SATOSHI, rounding=ROUND_DOWN)
    if parts == 1 or part == 0:
        return [size]
    return [part] * (parts - 1) + [size - part * (parts - 1)]
