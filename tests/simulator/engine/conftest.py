"""An exchange on which nobody quotes: every counterpart is placed by the test."""

from decimal import Decimal

import pytest

from simulator.engine.exchange import Exchange
from simulator.engine.matching import Request, place

NOON = 1_760_000_000_000
ANN, BOB, CAT = ("0x" + digit * 40 for digit in "123")


class Floor:
    """Traders with 10,000 USDC each, on BTC at 100,000 unless a test says otherwise."""

    def __init__(self):
        self.exchange = Exchange(seed=1, now=NOON)
        for market in self.exchange.markets.values():
            market.frozen = True
        self.price("BTC", 100_000)
        self.people = {address: self.exchange.account(address) for address in (ANN, BOB, CAT)}
        for account in self.people.values():
            self.exchange.deposit(account, Decimal(10_000))

    def price(self, coin, price):
        self.exchange.markets[coin].jump(Decimal(price), now=self.exchange.now)

    def order(self, who, side, size, price, coin="BTC", **more):
        request = Request(
            self.exchange.markets[coin], side == "buy", Decimal(str(price)), Decimal(str(size)), **more
        )
        return place(self.exchange, self.exchange.account(who), request)

    def lever(self, who, leverage, *, cross=True, coin="BTC"):
        self.exchange.account(who).settings[coin] = (cross, leverage)

    def swap(self, buyer, seller, size, price, coin="BTC"):
        """A trade between two: the seller's order rests, the buyer takes it."""
        self.order(seller, "sell", size, price, coin)
        return self.order(buyer, "buy", size, price, coin)

    def size(self, who, coin="BTC"):
        position = self.exchange.account(who).positions.get(coin)
        return Decimal(0) if position is None else position.leg.size

    def fills(self, who):
        return list(self.exchange.account(who).fills)


@pytest.fixture
def floor():
    made = Floor()
    yield made
    assert made.exchange.imbalance() == {}
