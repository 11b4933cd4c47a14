"""Background traders: each opens, adds, reduces, flips and closes at its own pace; some move money.

Every trader has its own stream of random numbers, so that one more trader changes nobody's history except
through the book they share.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from random import Random

from . import transfers
from .accounts import Position
from .catalogue import PERP
from .exchange import Exchange
from .market import Market
from .matching import Rejected, Request, cancel, place

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Temper:
    """What kind of trader: deposit (USD), leverage, share of free margin an order takes, actions a minute.

    `adds`: how many of its actions in a coin it holds add to the position; the others take from it.
    A `bull` trades one major coin only, and only buys it. A `venturer` has money on the builder's dex too.
    """

    name: str
    deposit: int
    leverage: int
    share: float
    actions: float
    adds: float = 0.35
    bull: bool = False
    isolated: bool = False
    venturer: bool = False


TEMPERS = (
    Temper("swing", 50_000, 10, 0.10, 8.0),
    Temper("careful", 20_000, 3, 0.08, 6.0, venturer=True),
    Temper("gambler", 4_000, 40, 0.7, 6.0, adds=0.85, bull=True),
    Temper("isolated", 15_000, 15, 0.12, 8.0, isolated=True, venturer=True),
    Temper("whale", 900_000, 8, 0.06, 6.0),
)


def trader_address(seed: int, index: int) -> str:
    """The address of background trader `index`."""
    return "0x" + hashlib.sha256(f"plumbline simulator {seed} trader {index}".encode()).hexdigest()[:40]


class Trader:
    """One user that trades by itself."""

    def __init__(self, exchange: Exchange, index: int) -> None:
        self.rng = Random(f"{exchange.seed}/trader/{index}")
        self.temper = TEMPERS[index % len(TEMPERS)]
        self.account = exchange.account(trader_address(exchange.seed, index))
        coins = [m for m in exchange.markets.values() if m.listing.kind == PERP and not m.listing.dex]
        self.coins = self.rng.sample(coins[:2], 1) if self.temper.bull else self.rng.sample(coins, 3)
        self.spot = [m for m in exchange.markets.values() if m.listing.kind != PERP]
        if self.temper.venturer:
            self.coins.append(self.rng.choice([m for m in exchange.markets.values() if m.listing.dex]))
        exchange.deposit(self.account, Decimal(self.temper.deposit))
        for market in self.coins:
            leverage = min(self.temper.leverage, market.listing.max_leverage)
            cross = not (self.temper.isolated or market.listing.only_isolated)
            self.account.settings[market.listing.coin] = (cross, leverage)

    def act(self, exchange: Exchange, *, minutes: float) -> None:
        """Maybe do one thing in a step that lasts `minutes` of market time."""
        if self.rng.random() >= self.temper.actions * minutes:
            return
        try:
            self._choose(exchange)
        except (Rejected, transfers.Insufficient):
            # As with people: an order that the venue refuses is simply not there.
            return

    def _choose(self, exchange: Exchange) -> None:
        if (
            self.account.margin("").cross_value < self.temper.deposit * Decimal("0.05")
            and not self.account.positions
        ):
            exchange.deposit(self.account, Decimal(self.temper.deposit))
            return
        roll = self.rng.random()
        if roll < 0.04:
            self._move_money(exchange)
        elif roll < 0.10:
            self._trade_spot(exchange)
        else:
            self._trade(exchange, self.rng.choice(self.coins))

    def _trade(self, exchange: Exchange, market: Market) -> None:
        if market.listing.coin in exchange.delisted:
            return
        self._tidy(exchange, market)
        if market.listing.dex:
            self._move_to(exchange, market.listing.dex)
        position = self.account.positions.get(market.listing.coin)
        roll = self.rng.random()
        adds = self.temper.adds
        if position is None or roll < adds:
            self._enter(exchange, market, position)
        elif roll < adds + 0.55 * (1 - adds):
            self._exit(exchange, position, Decimal(self.rng.choice(("0.25", "0.5", "0.75"))))
        elif roll < adds + 0.8 * (1 - adds):
            self._exit(exchange, position, Decimal(1))
        elif not self.temper.bull:
            self._exit(exchange, position, Decimal(self.rng.choice(("1.5", "2"))), reduce_only=False)

    def _tidy(self, exchange: Exchange, market: Market) -> None:
        resting = [order for order in self.account.orders.values() if order.market is market]
        for order in resting[: max(0, len(resting) - 2)]:
            cancel(exchange, order)

    def _enter(self, exchange: Exchange, market: Market, position: Position | None) -> None:
        is_buy = self.rng.random() < 0.5 if position is None else position.leg.size > 0
        is_buy = is_buy or self.temper.bull
        _, leverage = self.account.leverage(market)
        free = self.account.margin(market.listing.dex).withdrawable
        notional = (
            free
            * Decimal(str(self.temper.share))
            * leverage
            * Decimal(str(round(self.rng.uniform(0.3, 1), 3)))
        )
        self._send(exchange, market, is_buy, notional / market.mark, patient=self.rng.random() < 0.3)

    def _exit(
        self, exchange: Exchange, position: Position, share: Decimal, *, reduce_only: bool = True
    ) -> None:
        size = abs(position.leg.size) * share
        if share == 1:
            self._send(exchange, position.market, position.leg.size < 0, size, reduce_only=True, exact=True)
        else:
            self._send(exchange, position.market, position.leg.size < 0, size, reduce_only=reduce_only)

    def _send(
        self,
        exchange: Exchange,
        market: Market,
        is_buy: bool,
        size: Decimal,
        *,
        reduce_only: bool = False,
        patient: bool = False,
        exact: bool = False,
    ) -> None:
        listing = market.listing
        step = Decimal(1).scaleb(-listing.size_decimals)
        units = size if exact else size.quantize(step, rounding=ROUND_DOWN)
        away = Decimal("0.0004") if patient else Decimal("-0.02")
        price = listing.rounded(market.mark * (1 - away if is_buy else 1 + away))
        tif = "Gtc" if patient else "Ioc"
        place(exchange, self.account, Request(market, is_buy, price, units, tif=tif, reduce_only=reduce_only))

    def _trade_spot(self, exchange: Exchange) -> None:
        market = self.rng.choice(self.spot)
        base = market.listing.base
        owned = self.account.spot.get(base, ZERO)
        cash = self.account.spot.get("USDC", ZERO)
        if owned * market.mark > 20 and self.rng.random() < 0.5:
            self._send(exchange, market, False, owned * Decimal("0.6"))
        elif cash > 30:
            self._send(exchange, market, True, cash * Decimal("0.5") / market.mark)
        else:
            amount = (self.account.margin("").withdrawable * Decimal("0.1")).quantize(
                Decimal("0.01"), ROUND_DOWN
            )
            transfers.to_class(exchange, self.account, amount, to_perp=False)

    def _move_to(self, exchange: Exchange, dex: str) -> None:
        """Collateral for a builder's dex, when there is too little: bought elsewhere, sent there."""
        token, amount = "USDH", Decimal(self.temper.deposit) / 10
        if self.account.margin(dex).withdrawable >= amount / 10:
            return
        if self.account.spot.get(token, ZERO) < amount:
            transfers.deposit_spot(exchange, self.account, token, amount, cost=amount)
        transfers.between_wallets(exchange, self.account, token, amount, source="spot", destination=dex)

    def _take_from(self, exchange: Exchange, market: Market) -> None:
        """A fifth of what is free on a builder's dex goes back to the spot wallet."""
        dex, token = market.listing.dex, market.listing.quote
        free = self.account.margin(dex).withdrawable
        amount = (free / 5).quantize(Decimal("0.01"), ROUND_DOWN)
        transfers.between_wallets(exchange, self.account, token, amount, source=dex, destination="spot")

    def _move_money(self, exchange: Exchange) -> None:
        free = self.account.margin("").withdrawable
        amount = (free * Decimal("0.2")).quantize(Decimal("0.01"), ROUND_DOWN)
        market = self.coins[-1]
        if self.rng.random() < 0.5:
            exchange.deposit(self.account, Decimal(self.temper.deposit) / 10)
        elif market.listing.dex and self.rng.random() < 0.3:
            self._take_from(exchange, market)
        elif amount > 10:
            transfers.withdraw(exchange, self.account, amount)
