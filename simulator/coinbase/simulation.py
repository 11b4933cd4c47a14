"""The spot exchange with its background customers, advanced in steps."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from simulator.coinbase.exchange import Refused, SpotExchange
from simulator.engine.records import Archive
from simulator.engine.simulation import MINUTE, STEP, Phase, regime_at

DEPOSITS = ((40_000, 0.6), (250_000, 0.4), (5_000, 0.9))


def customer_key(index: int) -> str:
    """The API key of background customer `index`; any secret goes with it."""
    return f"simulated-key-{index}"


class Buyer:
    """A customer that buys, adds, takes profit and sells out, `actions` times a minute."""

    def __init__(self, exchange: SpotExchange, index: int) -> None:
        self.rng = Random(f"{exchange.seed}/customer/{index}")
        self.customer = exchange.customer(customer_key(index))
        deposit, self.actions = DEPOSITS[index % len(DEPOSITS)]
        exchange.transfer(self.customer, "USD", Decimal(deposit))
        exchange.transfer(self.customer, "USDC", Decimal(deposit) / 5)

    def act(self, exchange: SpotExchange, *, minutes: float) -> None:
        """Maybe do one thing."""
        if self.rng.random() >= self.actions * minutes:
            return
        if self.rng.random() < 0.03:
            self._move_money(exchange)
            return
        coin = self.rng.choice(sorted(exchange.markets))
        market = exchange.markets[coin]
        base, quote = market.listing.base, market.listing.quote
        owned, cash = self.customer.wallet(base).total, self.customer.wallet(quote).total
        share = Decimal(self.rng.choice(("0.1", "0.2", "0.35")))
        parts, maker = self.rng.choice((1, 1, 2, 3)), self.rng.random() < 0.3
        selling = owned * market.oracle > 50 and self.rng.random() < 0.45
        size = (
            owned * self.rng.choice((Decimal("0.5"), Decimal(1))) if selling else cash * share / market.oracle
        )
        try:
            exchange.trade(self.customer, coin, buy=not selling, size=size, maker=maker, parts=parts)
        except Refused:
            # Too little left to trade: the customer waits.
            return

    def _move_money(self, exchange: SpotExchange) -> None:
        currency = self.rng.choice(("USD", "USDC"))
        amount = Decimal(self.rng.randint(50, 500))
        try:
            exchange.transfer(self.customer, currency, amount if self.rng.random() < 0.5 else -amount)
        except Refused:
            # Nothing to withdraw.
            return


class SpotSimulation:
    """Same seed, same history; `speed` is market time per wall time."""

    def __init__(
        self, *, seed: int, now: int, traders: int, speed: float, phases: tuple[Phase, ...] = ()
    ) -> None:
        if speed <= 0 or traders < 0:
            raise ValueError("speed must be positive, traders not negative")
        self.start = self.clock = now
        self.speed = speed
        self.phases = phases
        self.paused = False
        self.skew = 0
        self.exchange = SpotExchange(seed=seed, now=now)
        self.traders = [Buyer(self.exchange, index) for index in range(traders)]

    def advance(self, now: int) -> int:
        """Take every step that is due at `now` (ms); how many."""
        taken = 0
        while self.clock + STEP <= now:
            self.clock += STEP
            taken += 1
            if not self.paused:
                self._step()
        return taken

    def _step(self) -> None:
        minutes = STEP * self.speed / MINUTE
        regime = regime_at(self.phases, (self.clock - self.start) / 1000 * self.speed)
        self.exchange.step(now=self.clock + self.skew, minutes=minutes, regime=regime)
        for trader in self.traders:
            trader.act(self.exchange, minutes=minutes)

    @property
    def archive(self) -> Archive:
        """Where older rows are."""
        return self.exchange.archive

    def resume(self, skipped: int) -> None:
        """Go on `skipped` ms later, as if the venue had been halted."""
        self.clock += skipped
        self.start += skipped

    def retune(self, *, speed: float, phases: tuple[Phase, ...] | None) -> None:
        """Another speed, or a scenario that begins now."""
        self.speed = speed
        if phases is not None:
            self.phases = phases
            self.start = self.clock
