"""Every cause of a difference, made to happen to an account with a history of its own.

Faults of the venue are caused at the simulator; faults of our own book come through `ingest`, as a mistake of
an adapter or a person would. What is booked carries no word of its cause that a real book would not have.
Each injection says what is right: the cause, and the subject whose case must name it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from positions.book import Cause as Booked
from positions.book import Entry, Kind, Leg, Side
from positions.sync import poll
from reconciliation.rules.causes import DriftCause
from simulator.engine.accounts import add_to
from tests.reconciliation.scenes import COINS, Expected, Lagging, Scene, case_of, scene, settled
from tests.reconciliation.stage import Stage

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
    return Expected(DriftCause.FILL_MISSED, coin)


def fill_doubled(found: Scene) -> Expected:
    """The venue tells the last fill again under another trade id."""
    settled(found, quiet=found.rng.random() < 0.5)
    coin = found.rng.choice(found.coins)
    found.trade(coin)
    found.do("repeat_fill")
    if found.rng.random() < 0.4:
        found.stage.wait(found.rng.uniform(1, 10))
        found.trade(coin)
    return Expected(DriftCause.FILL_DOUBLED, coin)


def placed_elsewhere(found: Scene) -> Expected:
    """Somebody else with the same account trades, mostly what nobody here trades, and nothing is told."""
    settled(found, quiet=found.rng.random() < 0.9)
    others = [coin for coin in COINS if coin not in found.coins]
    coin = found.rng.choice(others if found.rng.random() < 0.5 else found.coins)
    found.hide()
    found.trade(coin, usd=found.rng.uniform(300, 8_000))
    found.show()
    found.move(coin, found.rng.gauss(0, 0.002))
    return Expected(DriftCause.PLACED_ELSEWHERE, coin)


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
    return Expected(DriftCause.LIQUIDATION_UNSEEN, coin)


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
    return Expected(DriftCause.TRANSFER_UNSEEN, subject, "cash")


def funding_missing(found: Scene) -> Expected:
    """One leg's funding, or that of all of them, is never told."""
    settled(found, quiet=found.rng.random() < 0.5)
    if found.rng.random() < 0.5:
        found.trade(found.coins[0])
    found.hide("funding", count=found.rng.choice((1, len(found.coins))))
    found.stage.do("funding")
    found.show()
    return Expected(DriftCause.FUNDING_MISSING, ("perp", "USDC"), "cash")


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
    return Expected(DriftCause.FEE_MISSING, ("perp", "USDC"), "cash")


def wrong_opening(found: Scene) -> Expected:
    """A lot from before the history is set with another size or price than it had."""
    rng = found.rng
    coin = found.coins[0]
    how = rng.choice(("none", "size", "price"))
    held, entry = found.size_of(coin), found.exchange.account(found.user).positions[coin].leg.entry
    if how == "none":
        found.connect()
        return Expected(DriftCause.WRONG_OPENING, coin)
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
    return Expected(DriftCause.WRONG_OPENING, coin, "entry_price" if how == "price" else "size")


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
        return Expected(DriftCause.MANUAL_CORRECTION, ("perp", "USDC"), "cash")
    coin = rng.choice(found.coins)
    for number in range(rng.choice((1, 1, 2))):
        found.by_hand(coin, size=found.units(coin, rng.uniform(100, 3_000)), ref=str(number))
        found.stage.wait(rng.uniform(1, 30))
    if rng.random() < 0.4:
        found.trade(coin)
    return Expected(DriftCause.MANUAL_CORRECTION, coin)


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
    return Expected(DriftCause.UNIT_MISTAKE, coin)


def dust(found: Scene) -> Expected:
    """A coin worth less than a dollar becomes USDC, and no row tells."""
    token, worth = found.rng.choice((("PURR", (1, 5)), ("HYPE", (0.01, 0.02))))
    amount = found.rng.randint(*worth) if token == "PURR" else Decimal(str(found.rng.choice(worth)))
    found.do("deposit", token=token, amount=str(amount))
    settled(found, quiet=found.rng.random() < 0.5)
    found.hide()
    found.do("dust", token=token)
    found.show()
    return Expected(DriftCause.DUST, ("spot", token), "cash")


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
    return Expected(DriftCause.VENUE_LAG, coin)


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
        return Expected(DriftCause.UNKNOWN, ("perp", "USDC"), "cash")
    leg = venue.positions[coin].leg
    if how == "average":
        leg.entry *= Decimal(str(rng.choice((0.95, 0.99, 1.01, 1.04))))
        return Expected(DriftCause.UNKNOWN, coin, "entry_price")
    leg.size += found.step(coin) * Decimal(str(rng.choice((0.6, 1.4, -1.7, 2.5))))
    return Expected(DriftCause.UNKNOWN, coin)


INJECTIONS: dict[DriftCause, Callable[[Scene], Expected]] = {
    DriftCause.FILL_MISSED: fill_missed,
    DriftCause.FILL_DOUBLED: fill_doubled,
    DriftCause.PLACED_ELSEWHERE: placed_elsewhere,
    DriftCause.LIQUIDATION_UNSEEN: liquidation_unseen,
    DriftCause.TRANSFER_UNSEEN: transfer_unseen,
    DriftCause.FUNDING_MISSING: funding_missing,
    DriftCause.FEE_MISSING: fee_missing,
    DriftCause.WRONG_OPENING: wrong_opening,
    DriftCause.MANUAL_CORRECTION: manual_correction,
    DriftCause.UNIT_MISTAKE: unit_mistake,
    DriftCause.DUST: dust,
    DriftCause.VENUE_LAG: venue_lag,
    DriftCause.UNKNOWN: unknown,
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
    found = scene(stage, seed=seed, forgotten=cause is DriftCause.WRONG_OPENING)
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
