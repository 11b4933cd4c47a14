"""PURE: a year of a made-up portfolio: prices hour by hour, trades, funding, deposits. The seed decides all.

Nothing here is how the product counts: the entries go through the ledger like any venue's. Only the figures
of past minutes are made here, by the same arithmetic (average cost), because nobody took snapshots then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count

from positions.book import Cause, Entry, Kind, Leg, Side

ZERO = Decimal(0)
HOUR = timedelta(hours=1)
FEE_RATE = Decimal("0.00035")
FUNDING_RATE = Decimal("0.0001")
FUNDING_EVERY = 8  # hours


@dataclass(frozen=True, slots=True)
class SeededMarket:
    """A perpetual against USDC, with its first price, its restlessness an hour, and its steps."""

    base: str
    price: Decimal
    volatility: float
    tick: Decimal
    step: Decimal

    @property
    def symbol(self) -> str:
        return f"{self.base}/USDC:USDC"


MARKETS = (
    SeededMarket("BTC", Decimal(62000), 0.0042, Decimal("0.1"), Decimal("0.001")),
    SeededMarket("ETH", Decimal(3100), 0.0055, Decimal("0.01"), Decimal("0.01")),
    SeededMarket("SOL", Decimal(148), 0.0075, Decimal("0.001"), Decimal("0.1")),
    SeededMarket("DOGE", Decimal("0.142"), 0.0085, Decimal("0.00001"), Decimal(1)),
)
ACCOUNTS = {"main": Decimal(250_000), "hedge": Decimal(120_000), "momentum": Decimal(60_000)}
"""What each account begins with, in USDC."""


@dataclass(slots=True)
class SeededPosition:
    """A position while it is open: quantity and open cost are signed alike; results are of the episode."""

    market: SeededMarket
    opened_at: datetime
    opening_ref: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO

    def unrealized(self, price: Decimal) -> Decimal:
        return self.quantity * price - self.cost

    @property
    def net(self) -> Decimal:
        return self.realized - self.fees + self.funding


@dataclass(slots=True)
class SeededAccount:
    """An account on its way through the year. `realized` and `net` are of everything so far."""

    name: str
    cash: Decimal
    entries: list[Entry] = field(default_factory=list)
    open: dict[str, SeededPosition] = field(default_factory=dict)
    realized: Decimal = ZERO
    net: Decimal = ZERO
    refs: Iterator[int] = field(default_factory=count)

    def transfer(self, at: datetime, amount: Decimal, cause: Cause) -> None:
        """Pay in (+) or out (−)."""
        self._note(Kind.TRANSFER, at, cause=cause, leg=None, amount=amount, currency="USDC", wallet="perps")
        if cause is not Cause.OPENING:
            self.cash += amount

    def pay_funding(self, at: datetime, prices: dict[str, Decimal]) -> None:
        """Pay or receive funding on what is open."""
        for symbol, held in self.open.items():
            amount = (-held.quantity * prices[symbol] * FUNDING_RATE).quantize(Decimal("0.000001"))
            self._note(Kind.FUNDING, at, instrument=symbol, leg=Leg.NET, amount=amount, currency="USDC",
                       wallet="perps")  # fmt: skip
            held.funding += amount
            self.cash += amount
            self.net += amount

    def trade(self, market: SeededMarket, at: datetime, quantity: Decimal, price: Decimal) -> None:
        """Buy (+) or sell (−) without going through zero."""
        fee = (abs(quantity) * price * FEE_RATE).quantize(Decimal("0.000001"))
        ref = self._note(
            Kind.FILL, at, cause=Cause.TRADE, instrument=market.symbol, leg=Leg.NET,
            side=Side.BUY if quantity > 0 else Side.SELL, quantity=abs(quantity), price=price, fee=fee,
            fee_currency="USDC", wallet="perps",
        )  # fmt: skip
        held = self.open.get(market.symbol)
        if held is None:
            held = self.open[market.symbol] = SeededPosition(market, at, ref)
        realized = ZERO
        if held.quantity * quantity >= 0:
            held.cost += quantity * price
        else:
            part = held.cost * -quantity / held.quantity
            realized = -quantity * price - part
            held.cost -= part
        held.quantity += quantity
        held.realized += realized
        held.fees += fee
        self.cash += realized - fee
        self.realized += realized
        self.net += realized - fee
        if not held.quantity:
            del self.open[market.symbol]

    def equity(self, prices: dict[str, Decimal]) -> Decimal:
        return self.cash + sum((one.unrealized(prices[symbol]) for symbol, one in self.open.items()), ZERO)

    def _note(self, kind: Kind, at: datetime, **fields: object) -> str:
        ref = f"seed:{self.name}:{next(self.refs):06}"
        self.entries.append(Entry(kind=kind, venue_ref=ref, time=at, **fields))  # type: ignore[arg-type]
        return ref


@dataclass(frozen=True, slots=True)
class SeededHour:
    """One hour: prices at its start and its end, and the accounts as they are during it."""

    at: datetime
    before: dict[str, Decimal]
    prices: dict[str, Decimal]
    accounts: dict[str, SeededAccount]

    def price(self, symbol: str, minute: int) -> Decimal:
        """Return a price on the way from the hour's start to its end."""
        market = next(one for one in MARKETS if one.symbol == symbol)
        begin, end = self.before[symbol], self.prices[symbol]
        noise = random.Random(f"{symbol} {self.at:%Y%m%d%H} {minute}").gauss(0, market.volatility / 20)
        way = begin + (end - begin) * minute / 60
        return (way * Decimal(str(round(1 + noise, 8)))).quantize(market.tick)


def hours(*, begin: datetime, end: datetime, seed: int) -> Iterator[SeededHour]:
    """Yield the hours of a stretch; trades happen one second after an hour began.

    The accounts of an hour are the same objects as those of the next: read them before going on.
    """
    chance = random.Random(seed)
    accounts = {name: SeededAccount(name, cash) for name, cash in ACCOUNTS.items()}
    prices = {one.symbol: one.price for one in MARKETS}
    drift = dict.fromkeys(prices, 0.0)
    for account in accounts.values():
        account.transfer(begin, account.cash, Cause.OPENING)
    at, number = begin, 0
    while at < end:
        before = dict(prices)
        for market in MARKETS:
            drift[market.symbol] = 0.995 * drift[market.symbol] + chance.gauss(0, 0.00011)
            change = 1 + drift[market.symbol] * 0.35 + chance.gauss(0, market.volatility)
            moved = prices[market.symbol] * Decimal(str(round(change, 8)))
            prices[market.symbol] = max(moved.quantize(market.tick), market.tick * 100)
        if number:
            _act(accounts, at + timedelta(seconds=1), before, chance, number)
        yield SeededHour(at, before, dict(prices), accounts)
        at, number = at + HOUR, number + 1


def _act(
    accounts: dict[str, SeededAccount],
    at: datetime,
    prices: dict[str, Decimal],
    chance: random.Random,
    number: int,
) -> None:
    for account in accounts.values():
        if number % FUNDING_EVERY == 0:
            account.pay_funding(at, prices)
        if number % (24 * 30) == 24 * 11 and account.name == "main":
            account.transfer(at, Decimal(chance.choice([15_000, 20_000, 25_000])), Cause.DEPOSIT)
        if number % (24 * 61) == 24 * 47 and account.name == "hedge":
            account.transfer(at, Decimal(-12_000), Cause.WITHDRAWAL)
        for market in MARKETS:
            if chance.random() < 0.02:
                _trade(account, market, at, prices, chance)


def _trade(
    account: SeededAccount,
    market: SeededMarket,
    at: datetime,
    prices: dict[str, Decimal],
    chance: random.Random,
) -> None:
    price, held = prices[market.symbol], account.open.get(market.symbol)
    size = account.equity(prices) * Decimal(str(round(chance.uniform(0.05, 0.3), 3))) / price
    size = max(size.quantize(market.step), market.step)
    if held is None:
        account.trade(market, at, size if chance.random() < _longs(account) else -size, price)
    elif chance.random() < 0.45 or abs(held.quantity * price) > account.equity(prices):
        account.trade(market, at, -held.quantity, price)
    else:
        account.trade(market, at, size if held.quantity > 0 else -size, price)


def _longs(account: SeededAccount) -> float:
    """Return how often an account opens a long; the hedge sells."""
    return {"main": 0.75, "hedge": 0.2}.get(account.name, 0.55)
