"""The house's market maker: quotes both sides of every market round its oracle price."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal
from random import Random

from .book import Order
from .catalogue import SPOT, TOKENS
from .exchange import Exchange
from .market import Market
from .matching import Rejected, Request, cancel, place

ADDRESS = "0x" + "a" * 40
LEVELS = 4
SPREAD = Decimal("0.0002")
STEP = Decimal("0.0006")
# A book that is a tenth of a spread off is left as it is: quotes that never rest fill nobody's stream.
TOLERANCE = Decimal("0.0001")
WEALTH = Decimal(5_000_000_000)


class MarketMaker:
    """Keeps `LEVELS` orders a side; sizes grow with the distance (USD 5,000 to 80,000, seeded)."""

    def __init__(self, exchange: Exchange) -> None:
        self.rng = Random(f"{exchange.seed}/maker")
        self.account = exchange.account(ADDRESS, house=True)
        self.quoted: dict[str, Decimal] = {}
        self.orders: dict[str, list[Order]] = {}
        exchange.deposit(self.account, WEALTH, silent=True)
        exchange.deposit(self.account, WEALTH, dex="flx", silent=True)
        for token in TOKENS:
            self.account.spot[token.name] = WEALTH
            self.account.totals.deposits[token.name] = (
                self.account.totals.deposits.get(token.name, Decimal(0)) + WEALTH
            )

    def quote(self, exchange: Exchange) -> None:
        """Renew the quotes of markets that moved, or that were hit."""
        for coin, market in exchange.markets.items():
            if coin in exchange.delisted:
                self.withdraw(exchange, coin)
                continue
            last = self.quoted.get(coin)
            live = [order for order in self.orders.get(coin, ()) if order.oid in self.account.orders]
            moved = last is None or abs(market.oracle / last - 1) > TOLERANCE
            if moved or len(live) < 2 * LEVELS:
                self._renew(exchange, market)

    def withdraw(self, exchange: Exchange, coin: str) -> None:
        """Take every quote of a market away."""
        for order in self.orders.pop(coin, []):
            if order.oid in self.account.orders:
                cancel(exchange, order)
        self.quoted.pop(coin, None)

    def _renew(self, exchange: Exchange, market: Market) -> None:
        coin = market.listing.coin
        self.withdraw(exchange, coin)
        self.quoted[coin] = market.oracle
        for level in range(LEVELS):
            for is_buy in (True, False):
                self._place(exchange, market, level, is_buy)
        self.orders[coin] = [o for o in self.account.orders.values() if o.market is market]

    def _place(self, exchange: Exchange, market: Market, level: int, is_buy: bool) -> None:
        distance = SPREAD + STEP * level
        listing = market.listing
        wanted = market.oracle * (1 - distance if is_buy else 1 + distance)
        price = listing.rounded(wanted, ROUND_DOWN if is_buy else ROUND_UP)
        notional = Decimal(self.rng.randint(5_000, 20_000) * (level + 1))
        if listing.kind == SPOT:
            notional /= 4
        step = Decimal(1).scaleb(-listing.size_decimals)
        size = max(step, (notional / price).quantize(step, rounding=ROUND_DOWN))
        try:
            place(exchange, self.account, Request(market, is_buy, price, size))
        except Rejected as refusal:
            raise AssertionError(f"the maker's quote was refused: {refusal}") from refusal
