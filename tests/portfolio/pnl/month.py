"""A month at a simulated venue, day by day: trades, funding, transfers, faults, and the truth."""

from __future__ import annotations

import contextlib
import random
from datetime import datetime, timedelta
from decimal import Decimal

from portfolio.pnl import closing_marks, keeping
from portfolio.totals import desk
from positions import observe
from positions.models import Account, AccountHead, Instrument
from positions.sync import poll
from positions.venues.base import Method, VenueError
from positions.venues.transport.event_loop import run
from simulator.engine import funding
from simulator.hyperliquid.faults import BadFault
from tests.reconciliation.stage import USER, Stage

COINS = {"BTC": "97250", "ETH": "3412.5", "SOL": "187.42"}
SPOT = "@1"
FAULTS = (
    {"kind": "status", "status": 500, "times": 2},
    {"kind": "truncate", "times": 1},
    {"kind": "page_cut", "rows": 3},
    {"kind": "empty", "times": 1, "type": "userFillsByTime"},
    {"kind": "empty", "times": 1, "type": "userFunding"},
    {"kind": "stale", "times": 2, "type": "userNonFundingLedgerUpdates"},
)
METHODS = [Method.FILLS, Method.FUNDING, Method.TRANSFERS]


class Month:
    """USER's account, from the day it connects on. `truth` is its equity by the venue, by moment."""

    def __init__(self, stage: Stage, *, seed: int, coins: bool = True) -> None:
        self.stage, self.rng, self.coins = stage, random.Random(seed), coins
        self.truth: dict[datetime, Decimal] = {}
        self.failures = self.late = 0
        self.account: Account = stage.account()
        for coin, price in COINS.items():
            stage.do("price", coin=coin, price=price, hold=True)
        if coins:
            stage.do("deposit", token="USDC", amount=50_000)
            self.spot_trade("buy", "20")
        self.trade()
        stage.wait(1)
        stage.reconcile(self.account, trigger="start")
        self.opened = self.head_opened()
        self.keep_marks(self.opened)

    def head_opened(self) -> datetime:
        head = AccountHead.objects.get(account=self.account)
        return min(datetime.fromisoformat(at) for at in head.opened.values())

    # What happens at the venue ------------------------------------------------------------------------------

    def trade(self) -> None:
        coin = self.rng.choice(list(COINS))
        held = self.stage.truth().get(coin, Decimal(0))
        usd = self.rng.uniform(500, 3000)
        step = Decimal(1).scaleb(-self.stage.simulation.exchange.markets[coin].listing.size_decimals)
        size = max((Decimal(str(usd)) / self.mark(coin)).quantize(step), step)
        side = self.rng.choice(("buy", "sell"))
        if held and self.rng.random() < 0.3:  # to flat, or through it
            side, size = "sell" if held > 0 else "buy", abs(held) * self.rng.choice((1, 2))
        self.stage.trade(coin, side, size)

    def spot_trade(self, side: str, size: str) -> None:
        self.stage.trade(SPOT, side, size)

    def mark(self, coin: str) -> Decimal:
        return self.stage.simulation.exchange.markets[coin].mark

    def move_prices(self) -> None:
        for coin in COINS:
            moved = self.mark(coin) * Decimal(str(1 + self.rng.gauss(0, 0.008)))
            self.stage.do("price", coin=coin, price=f"{moved:.5g}", hold=True)

    def pay_funding(self) -> None:
        async def pay() -> None:
            self.stage.venue.set_clock()
            for coin in COINS:
                premium = Decimal(str(round(self.rng.uniform(-0.002, 0.002), 6)))
                self.stage.simulation.exchange.markets[coin].premiums = [premium]
            funding.pay(self.stage.simulation.exchange)

        run(pay())

    def move_money(self) -> None:
        kind = self.rng.choice(("deposit", "withdraw"))
        self.stage.do(kind, amount=self.rng.randint(100, 900))

    # What we read of it -------------------------------------------------------------------------------------

    def read(self) -> None:
        with contextlib.suppress(VenueError):
            poll.facts(account=self.account, methods=METHODS, now=self.stage.now(), trace_id="month")
            return
        self.failures += 1

    def prove(self) -> None:
        """Compare with the venue: what was withheld and shows late is asked for again, as in production."""
        self.read()
        self.stage.reconcile(self.account)

    def keep_marks(self, at: datetime) -> None:
        self.stage.heal()
        self.tell_marks()
        closing_marks.keep(at=at, accounts=[self.account], now=self.stage.now())
        self.truth[at] = self.equity()

    def tell_marks(self) -> None:
        """Mark prices of all that is traded here, as the stream writes them; polled ones are mids."""
        poll.marks(account=self.account, now=self.stage.now())
        now = self.stage.now()
        known = Instrument.objects.filter(base_url=self.stage.base, venue_symbol__in=[*COINS, SPOT])
        prices = [
            observe.MarkPrice(instrument=one.pk, price=self.mark(one.venue_symbol), source="mark", at=now)
            for one in known
        ]
        observe.marks(prices=prices, now=now)

    def equity(self) -> Decimal:
        """What the venue's own ledger says that the account is worth."""
        account = self.stage.venue.exchange.known(USER)
        total = sum(account.cash.values(), Decimal(0))
        for position in account.positions.values():
            total += position.leg.size * position.market.mark + (position.cash or 0)
        for token, amount in account.spot.items():
            total += amount * (1 if token in ("USDC", "USDH") else self.mark(SPOT))
        return total

    # Time ---------------------------------------------------------------------------------------------------

    def day(self) -> None:
        """Live to the beginning of the next day, and keep the day."""
        ends = desk.day_end(desk.day_of(self.stage.now()))
        for _ in range(4):
            left = (ends - self.stage.now()) / timedelta(seconds=1)
            self.stage.wait(self.rng.uniform(0.1, 0.3) * left)
            self.hours()
        self.stage.wait((ends - self.stage.now()) / timedelta(seconds=1))
        self.keep_marks(ends)
        self.prove()
        keeping.keep_account(self.account, now=self.stage.now())

    def hours(self) -> None:
        """Trade and earn, with a fault or two, and read what can be read."""
        self.move_prices()
        if self.rng.random() < 0.2:
            self.stage.do("withhold", what="fill", count=1, seconds=50_000)
            self.late += 1
        self.trade()
        self.pay_funding()
        if self.rng.random() < 0.15:
            self.move_money()
        if self.coins and self.rng.random() < 0.2:
            with contextlib.suppress(BadFault):  # none left to sell
                self.spot_trade(self.rng.choice(("buy", "sell")), str(self.rng.randint(1, 9)))
        if self.rng.random() < 0.4:
            self.stage.fail(**self.rng.choice(FAULTS))
        self.read()

    def finish(self) -> datetime:
        """Read everything, keep the days, and return the moment."""
        self.stage.wait(60_000)
        self.stage.heal()
        self.stage.do("release")
        self.prove()
        self.stage.wait(60)
        self.prove()
        self.tell_marks()
        now = self.stage.now()
        self.truth[now] = self.equity()
        keeping.keep_account(self.account, now=now)
        return now
