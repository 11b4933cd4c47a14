"""One account of a simulated venue: what happens to it there, and what is booked of it here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from positions import ingest
from positions.book import Cause as Booked
from positions.book import Entry, Kind, Leg, Side
from positions.models import Account
from positions.sync import connections, poll
from positions.venues.hyperliquid import rows as hyperliquid_rows
from positions.venues.transport.event_loop import run
from reconciliation.models import Case
from reconciliation.rules.causes import DriftCause
from tests.reconciliation.stage import Stage

COINS = ("BTC", "ETH", "SOL", "HYPE", "DOGE")
FIRST = {"BTC": "97250", "ETH": "3412.5", "SOL": "187.42", "HYPE": "38.615", "DOGE": "0.18244"}


@dataclass
class Expected:
    """The cause, and of which subject: a leg's symbol, or (wallet, asset)."""

    cause: DriftCause
    subject: str | tuple[str, str]
    family: str = "size"


@dataclass
class Scene:
    """One account at the venue and in our book, and chance. Positions are worth 5 000 to 40 000 USD."""

    stage: Stage
    rng: random.Random
    user: str
    account: Account | None = None
    coins: list[str] = field(default_factory=list)

    # The venue ----------------------------------------------------------------------------------------------

    @property
    def exchange(self) -> Any:
        return self.stage.simulation.exchange

    def do(self, kind: str, **spec: Any) -> Any:
        return self.stage.do(kind, **{"user": self.user, **spec})

    def units(self, coin: str, usd: float) -> Decimal:
        """A size of about that many USD, in whole steps."""
        market = self.exchange.markets[coin]
        step = Decimal(1).scaleb(-market.listing.size_decimals)
        return max(step, (Decimal(str(usd)) / market.mark).quantize(step))

    def size_of(self, coin: str) -> Decimal:
        position = self.exchange.account(self.user).positions.get(coin)
        return position.leg.size if position else Decimal(0)

    def trade(
        self, coin: str, *, usd: float | None = None, side: str = "", size: Decimal | None = None
    ) -> None:
        """An order at the market; by default it grows the position half of the time, and never flips it."""
        held = self.size_of(coin)
        side = side or self.rng.choice(("buy", "sell"))
        usd = usd or self.rng.uniform(200, 4_000)
        size = size or self.units(coin, usd)
        if held and (held > 0) == (side == "sell"):
            size = min(size, abs(held) / 2).quantize(self.step(coin)) or self.step(coin)
        self.do("trade", coin=coin, side=side, size=str(size))

    def step(self, coin: str) -> Decimal:
        return Decimal(1).scaleb(-self.exchange.markets[coin].listing.size_decimals)

    def move(self, coin: str, share: float) -> None:
        """Its price moves by a share, and stays there."""
        price = self.exchange.markets[coin].mark * Decimal(str(1 + share))
        self.stage.do("price", coin=coin, price=str(price), hold=True)
        self.stage.wait(0.3)

    def liquidation_price(self, coin: str) -> Decimal:
        """As the venue states it now."""
        state = self.stage.venue.info.clearinghouse({"type": "clearinghouseState", "user": self.user})
        rows = {row["position"]["coin"]: row["position"] for row in state["assetPositions"]}
        return Decimal(rows[coin]["liquidationPx"])

    def hide(self, what: str = "fill", count: int = 1_000) -> None:
        self.do("withhold", what=what, count=count)
        # Before a rule that only delays: the first that concerns a row has it.
        self.exchange.withheld.insert(0, self.exchange.withheld.pop())

    def show(self) -> None:
        """From now on rows are shown again; those hidden stay so."""
        self.exchange.withheld = [rule for rule in self.exchange.withheld if rule.user != self.user]

    def hidden_fills(self) -> list[Entry]:
        """The fills that the venue keeps to itself, as our adapter reads them."""
        venue = connections.connect(account=self.known)
        listed = {one.venue_symbol: one for one in run(venue.instruments())}
        rows = [
            row for _, kind, one, row in self.exchange.hidden if kind == "fill" and one.address == self.user
        ]
        return [hyperliquid_rows.fill(row, listed[row["coin"]], address=self.user) for row in rows]

    # Our book -----------------------------------------------------------------------------------------------

    @property
    def known(self) -> Account:
        assert self.account is not None
        return self.account

    def connect(self) -> None:
        self.account = self.stage.account(self.user, label=f"case {self.user[-8:]}")
        self.look(trigger="start")

    def look(self, trigger: str = "schedule") -> Any:
        poll.marks(account=self.known, now=self.stage.now())
        return self.stage.reconcile(self.known, trigger=trigger)

    def minutes(self, count: int = 1) -> None:
        for _ in range(count):
            self.stage.wait(self.rng.uniform(50, 60))
            self.look()

    def book(self, *entries: Entry, source: str = "poll fills") -> None:
        ingest.record(account=self.known, entries=entries, source=source, trace_id="t", now=self.stage.now())

    def by_hand(self, coin: str, *, size: Decimal, ref: str) -> None:
        side = self.rng.choice((Side.BUY, Side.SELL))
        self.book(
            Entry(
                kind=Kind.FILL, cause=Booked.MANUAL, venue_ref=f"manual:{coin}:{self.user}:{ref}",
                time=self.stage.now(), instrument=coin, leg=Leg.NET, side=side, quantity=size,
                price=self.exchange.markets[coin].mark, fee=Decimal(0), fee_currency="USDC", wallet="perp",
            ),
            source="by hand",
        )  # fmt: skip


def scene(stage: Stage, *, seed: int, forgotten: bool = False) -> Scene:
    """An account with one to three positions, some funding and money; not connected yet.

    `forgotten`: the fills of its first position are older than the venue's history.
    """
    rng = random.Random(seed)
    made = Scene(stage, rng, f"0x{rng.getrandbits(160):040x}")
    for coin, price in FIRST.items():
        stage.do("price", coin=coin, price=price, hold=True)
    stage.wait(1)
    made.do("deposit", amount=rng.randrange(40_000, 90_000))
    made.coins = rng.sample(COINS, rng.randint(1, 3))
    for coin in made.coins:
        if forgotten and coin == made.coins[0]:
            made.hide()
        made.trade(coin, usd=rng.uniform(5_000, 40_000))
        for _ in range(rng.randrange(4)):
            stage.wait(rng.uniform(1, 400))
            made.trade(coin)
        made.show()
    if rng.random() < 0.6:
        stage.do("funding")
    stage.wait(rng.uniform(5, 100))
    return made


def settled(found: Scene, *, quiet: bool) -> None:
    """Connected and proven; `quiet`: hours ago, and proven again since."""
    found.connect()
    found.minutes()
    if found.rng.random() < 0.5:
        found.stage.do("funding")
        found.minutes()
    if quiet:
        found.stage.wait(found.rng.uniform(4_000, 9_000))
        found.look()
        found.minutes()


class Lagging:
    """A venue's state that stands still for one user, under a time that goes on."""

    def __init__(self, told: Callable[[dict[str, Any]], Any], user: str) -> None:
        self.told, self.user = told, user
        self.old = told({"type": "clearinghouseState", "user": user})

    def __call__(self, body: dict[str, Any]) -> Any:
        now = self.told(body)
        mine = body["user"] == self.user and not body.get("dex")
        return {**self.old, "time": now["time"]} if mine else now


def case_of(found: Scene, right: Expected) -> Case | None:
    """The case of the subject, as it was opened."""
    rows = Case.objects.filter(account=found.known, family=right.family)
    if isinstance(right.subject, tuple):
        wallet, asset = right.subject
        return rows.filter(wallet=wallet, asset=asset).first()
    return rows.filter(instrument__venue_symbol=right.subject).first()
