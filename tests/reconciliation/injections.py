"""Every cause of a difference, made to happen to an account with a history of its own.

Faults of the venue are caused at the simulator; faults of our own book come through `ingest`, as a mistake of
an adapter or a person would. What is booked carries no word of its cause that a real book would not have.
Each injection says what is right: the cause, and the subject whose case must name it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from positions import connections, ingest, poll
from positions.book import Cause as Booked
from positions.book import Entry, Kind, Leg, Side
from positions.models import Account
from positions.venues import hyperliquid_rows
from positions.venues.loop import run
from positions.venues.simulator.engine.accounts import add_to
from reconciliation.causes import Cause
from reconciliation.models import Case
from tests.reconciliation.stage import Stage

COINS = ("BTC", "ETH", "SOL", "HYPE", "DOGE")
FIRST = {"BTC": "97250", "ETH": "3412.5", "SOL": "187.42", "HYPE": "38.615", "DOGE": "0.18244"}


@dataclass
class Expected:
    """The cause, and of which subject: a leg's symbol, or (wallet, asset)."""

    cause: Cause
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


# The causes -------------------------------------------------------------------------------------------------


def fill_missed(found: Scene) -> Expected:
    """One fill of a leg that trades is never told; sometimes later ones are."""
    settled(found, quiet=False)
    coin = found.rng.choice(found.coins)
    for _ in range(found.rng.randint(1, 3)):
        found.trade(coin)
        found.stage.wait(found.rng.uniform(1, 20))
    found.minutes()
    found.hide()
    found.trade(coin)
    found.show()
    for _ in range(found.rng.randrange(3)):
        found.stage.wait(found.rng.uniform(1, 10))
        found.trade(coin)
    found.move(coin, found.rng.gauss(0, 0.004))
    return Expected(Cause.FILL_MISSED, coin)


def fill_doubled(found: Scene) -> Expected:
    """The venue tells the last fill again under another trade id."""
    settled(found, quiet=found.rng.random() < 0.5)
    coin = found.rng.choice(found.coins)
    found.trade(coin)
    found.do("repeat_fill")
    if found.rng.random() < 0.4:
        found.stage.wait(found.rng.uniform(1, 10))
        found.trade(coin)
    return Expected(Cause.FILL_DOUBLED, coin)


def placed_elsewhere(found: Scene) -> Expected:
    """Somebody else with the same account trades, mostly what nobody here trades, and nothing is told."""
    settled(found, quiet=found.rng.random() < 0.9)
    others = [coin for coin in COINS if coin not in found.coins]
    coin = found.rng.choice(others if found.rng.random() < 0.5 else found.coins)
    found.hide()
    found.trade(coin, usd=found.rng.uniform(300, 8_000))
    found.show()
    found.move(coin, found.rng.gauss(0, 0.002))
    return Expected(Cause.PLACED_ELSEWHERE, coin)


def liquidation_unseen(found: Scene) -> Expected:
    """The price runs through the liquidation price; or the venue takes a part at a price of its own."""
    rng = found.rng
    coin = rng.choice(found.coins)
    found.do("lever", coin=coin, leverage=10)
    settled(found, quiet=rng.random() < 0.5)
    side = "buy" if found.size_of(coin) > 0 else "sell"
    room = float(found.exchange.account(found.user).margin("").withdrawable)
    found.trade(coin, usd=room * 8, side=side)
    found.minutes()
    found.hide()
    away = -1 if side == "buy" else 1
    if rng.random() < 0.75:
        beyond = found.liquidation_price(coin) * Decimal(str(1 + away * rng.uniform(0.001, 0.02)))
        found.stage.do("price", coin=coin, price=str(beyond), hold=True)
    else:
        found.move(coin, away * rng.uniform(0.02, 0.06))
        found.do("adl" if rng.random() < 0.5 else "liquidate", coin=coin)
    found.show()
    return Expected(Cause.LIQUIDATION_UNSEEN, coin)


def transfer_unseen(found: Scene) -> Expected:
    """Money or a coin comes, goes or changes its wallet, and no row tells."""
    settled(found, quiet=found.rng.random() < 0.5)
    rng = found.rng
    found.hide("ledger")
    amount = rng.choice((rng.randrange(1, 5_000), round(rng.uniform(2, 9_000), rng.choice((2, 6)))))
    how = rng.choice(("deposit", "withdraw", "class_transfer", "coin"))
    subject = ("perp", "USDC")
    if how == "coin":
        found.do("deposit", token="HYPE", amount=str(round(rng.uniform(0.5, 90), 2)))
        subject = ("spot", "HYPE")
    elif how == "class_transfer":
        found.do(how, amount=str(amount), to_perp=False)
    elif how == "withdraw":
        found.do(how, amount=str(amount + 1))
    else:
        found.do(how, amount=str(amount))
    found.show()
    return Expected(Cause.TRANSFER_UNSEEN, subject, "cash")


def funding_missing(found: Scene) -> Expected:
    """One leg's funding, or that of all of them, is never told."""
    settled(found, quiet=found.rng.random() < 0.5)
    if found.rng.random() < 0.5:
        found.trade(found.coins[0])
    found.hide("funding", count=found.rng.choice((1, len(found.coins))))
    found.stage.do("funding")
    found.show()
    return Expected(Cause.FUNDING_MISSING, ("perp", "USDC"), "cash")


def fee_missing(found: Scene) -> Expected:
    """Our adapter reads a fill without its fee."""
    settled(found, quiet=found.rng.random() < 0.5)
    coin = found.rng.choice(found.coins)
    if found.rng.random() < 0.5:
        found.trade(coin)
        found.minutes()
    found.hide()
    found.trade(coin)
    found.show()
    found.book(*(replace(entry, fee=Decimal(0)) for entry in found.hidden_fills()))
    return Expected(Cause.FEE_MISSING, ("perp", "USDC"), "cash")


def wrong_opening(found: Scene) -> Expected:
    """A lot from before the history is set with another size or price than it had."""
    rng = found.rng
    coin = found.coins[0]
    how = rng.choice(("none", "size", "price"))
    held, entry = found.size_of(coin), found.exchange.account(found.user).positions[coin].leg.entry
    if how == "none":
        found.connect()
        return Expected(Cause.WRONG_OPENING, coin)
    found.account = found.stage.account(found.user, label=f"case {found.user[-8:]}")
    off = found.units(coin, rng.uniform(50, 900)) if how == "size" else Decimal(0)
    price = entry * Decimal(str(rng.choice((0.9, 0.97, 1.04, 1.1)))) if how == "price" else entry
    lot = abs(held) + off
    poll.facts(account=found.known, methods=[], now=found.stage.now(), trace_id="t")
    found.book(
        Entry(
            kind=Kind.FILL, cause=Booked.OPENING, venue_ref=f"opening:{coin}", time=poll.BEGINNING,
            instrument=coin, leg=Leg.NET, side=Side.BUY if held > 0 else Side.SELL, quantity=lot,
            price=price.quantize(Decimal("0.000001")), wallet="perp",
        ),
        source="import",
    )  # fmt: skip
    return Expected(Cause.WRONG_OPENING, coin, "entry_price" if how == "price" else "size")


def manual_correction(found: Scene) -> Expected:
    """A person corrects what was right: a size in one or two steps, or cash."""
    settled(found, quiet=found.rng.random() < 0.5)
    rng = found.rng
    if rng.random() < 0.3:
        amount = Decimal(str(round(rng.uniform(-400, 400), rng.choice((0, 2, 5))))) or Decimal(7)
        found.book(
            Entry(
                kind=Kind.ADJUSTMENT, venue_ref=f"by-hand:{found.user}", time=found.stage.now(), leg=None,
                amount=amount, currency="USDC", wallet="perp", reason="looked wrong",
            ),
            source="by hand",
        )  # fmt: skip
        return Expected(Cause.MANUAL_CORRECTION, ("perp", "USDC"), "cash")
    coin = rng.choice(found.coins)
    for number in range(rng.choice((1, 1, 2))):
        found.by_hand(coin, size=found.units(coin, rng.uniform(100, 3_000)), ref=str(number))
        found.stage.wait(rng.uniform(1, 30))
    if rng.random() < 0.4:
        found.trade(coin)
    return Expected(Cause.MANUAL_CORRECTION, coin)


def unit_mistake(found: Scene) -> Expected:
    """Our adapter takes contracts for units in a fill, or the other way round."""
    settled(found, quiet=found.rng.random() < 0.5)
    coin = found.rng.choice(found.coins)
    found.hide()
    found.trade(coin, usd=found.rng.uniform(200, 3_000))
    found.show()
    factor = Decimal(10) ** found.rng.choice((-3, -2, -1, 1, 2))
    found.book(
        *(replace(one, quantity=one.quantity * factor) for one in found.hidden_fills() if one.quantity)
    )
    if found.rng.random() < 0.4:
        found.stage.wait(found.rng.uniform(1, 10))
        found.trade(coin)
    return Expected(Cause.UNIT_MISTAKE, coin)


def dust(found: Scene) -> Expected:
    """A coin worth less than a dollar becomes USDC, and no row tells."""
    token, worth = found.rng.choice((("PURR", (1, 5)), ("HYPE", (0.01, 0.02))))
    amount = found.rng.randint(*worth) if token == "PURR" else Decimal(str(found.rng.choice(worth)))
    found.do("deposit", token=token, amount=str(amount))
    settled(found, quiet=found.rng.random() < 0.5)
    found.hide()
    found.do("dust", token=token)
    found.show()
    return Expected(Cause.DUST, ("spot", token), "cash")


class Lagging:
    """A venue's state that stands still for one user, under a time that goes on."""

    def __init__(self, told: Callable[[dict[str, Any]], Any], user: str) -> None:
        self.told, self.user = told, user
        self.old = told({"type": "clearinghouseState", "user": user})

    def __call__(self, body: dict[str, Any]) -> Any:
        now = self.told(body)
        mine = body["user"] == self.user and not body.get("dex")
        return {**self.old, "time": now["time"]} if mine else now


def venue_lag(found: Scene) -> Expected:
    """The venue's state stands still while its list of fills goes on."""
    settled(found, quiet=found.rng.random() < 0.5)
    routes = found.stage.venue.info.routes
    told = routes["clearinghouseState"]
    lagging = Lagging(told, found.user)
    coin = found.rng.choice(found.coins)
    for _ in range(found.rng.choice((1, 1, 2))):
        found.trade(coin)
        found.stage.wait(0.5)
    routes["clearinghouseState"] = lagging
    poll.facts(account=found.known, methods=["fills"], now=found.stage.now(), trace_id="t")
    found.stage.wait(found.rng.uniform(4, 15))
    found.look()
    routes["clearinghouseState"] = told
    return Expected(Cause.VENUE_LAG, coin)


def unknown(found: Scene) -> Expected:
    """Nothing that leaves a trace: another average, part of a step, or a few cents without a position."""
    rng = found.rng
    how = rng.choice(("average", "step", "cash"))
    coin = found.coins[0]
    venue = found.exchange.account(found.user)
    if how == "cash":
        found.do("deposit", amount=500)
        for one in list(found.coins):
            held = found.size_of(one)
            found.do("trade", coin=one, side="sell" if held > 0 else "buy", size=str(abs(held)))
    settled(found, quiet=rng.random() < 0.5)
    if how == "cash":
        add_to(venue.cash, "", Decimal(str(round(rng.uniform(-0.9, -0.02), 6))))
        return Expected(Cause.UNKNOWN, ("perp", "USDC"), "cash")
    leg = venue.positions[coin].leg
    if how == "average":
        leg.entry *= Decimal(str(rng.choice((0.95, 0.99, 1.01, 1.04))))
        return Expected(Cause.UNKNOWN, coin, "entry_price")
    leg.size += found.step(coin) * Decimal(str(rng.choice((0.6, 1.4, -1.7, 2.5))))
    return Expected(Cause.UNKNOWN, coin)


INJECTIONS: dict[Cause, Callable[[Scene], Expected]] = {
    Cause.FILL_MISSED: fill_missed,
    Cause.FILL_DOUBLED: fill_doubled,
    Cause.PLACED_ELSEWHERE: placed_elsewhere,
    Cause.LIQUIDATION_UNSEEN: liquidation_unseen,
    Cause.TRANSFER_UNSEEN: transfer_unseen,
    Cause.FUNDING_MISSING: funding_missing,
    Cause.FEE_MISSING: fee_missing,
    Cause.WRONG_OPENING: wrong_opening,
    Cause.MANUAL_CORRECTION: manual_correction,
    Cause.UNIT_MISTAKE: unit_mistake,
    Cause.DUST: dust,
    Cause.VENUE_LAG: venue_lag,
    Cause.UNKNOWN: unknown,
}


@dataclass
class Judged:
    """One seeded case: what was right, what came first (None: no case was opened), and what was known."""

    seed: int
    right: Expected
    said: str | None
    ranked: list[str]


def judged(stage: Stage, *, seed: int) -> Judged:
    """Inject a cause (they take turns), let reconciliation run, and read the case of its subject."""
    causes = list(INJECTIONS)
    cause = causes[seed % len(causes)]
    found = scene(stage, seed=seed, forgotten=cause is Cause.WRONG_OPENING)
    right = INJECTIONS[cause](found)
    if found.account is None:
        found.connect()
    for _ in range(3):
        case = case_of(found, right)
        if case is not None:
            break
        found.minutes()
    ranked = [one["cause"] for one in case.diagnosis] if case else []
    return Judged(seed, right, ranked[0] if ranked else None, ranked)


def case_of(found: Scene, right: Expected) -> Case | None:
    """The case of the subject, as it was opened."""
    rows = Case.objects.filter(account=found.known, family=right.family)
    if isinstance(right.subject, tuple):
        wallet, asset = right.subject
        return rows.filter(wallet=wallet, asset=asset).first()
    return rows.filter(instrument__venue_symbol=right.subject).first()


def table(results: list[Judged]) -> str:
    """The confusion matrix: a line for each cause, how often it was right and what it was taken for."""
    lines = []
    for cause in INJECTIONS:
        mine = [one for one in results if one.right.cause is cause]
        if not mine:
            continue
        hits = sum(one.said == cause for one in mine)
        wrong = [one.said or "no case" for one in mine if one.said != cause]
        taken = ", ".join(f"{name} {wrong.count(name)}" for name in sorted(set(wrong)))
        lines.append(f"{cause:<20} {hits:>3}/{len(mine):<3} {taken}")
    return "\n".join(lines)


def hit_rate(results: list[Judged]) -> float:
    """The share of cases whose likeliest cause is right."""
    return sum(one.said == one.right.cause for one in results) / len(results)
