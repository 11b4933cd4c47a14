"""Formulae that a careless person would write, each refuted by a number that somebody else stated.

`RIGHT` agrees with every fact; each wrong variant must miss at least one, else the facts prove too little.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import pytest

from positions.risk.hyperliquid_margin import (
    liquidation_price_hyperliquid_cross,
    liquidation_price_hyperliquid_isolated,
    tiers_by_leverage,
)
from positions.risk.measures import liquidation_distance_pct, notional, unrealized_pnl
from tests.positions.risk.contracts import BTC_INVERSE, BTC_USDT, ETH_TENTHS, D

ZERO = Decimal(0)


class Account(NamedTuple):
    """A position as the venue reports it, and the account around it."""

    size: Decimal
    mark: Decimal
    entry: Decimal
    leverage: Decimal
    max_leverage: Decimal
    account_value: Decimal
    maintenance: Decimal
    liquidation: Decimal

    @property
    def side(self) -> int:
        return 1 if self.size > 0 else -1

    @property
    def rate(self) -> Decimal:
        return 1 / (2 * self.max_leverage)


def account(*figures: str) -> Account:
    return Account(*(Decimal(figure) for figure in figures))


# Recorded: ccxt static responses and comments of Hyperliquid, 2024-2025. An isolated position's account
# value is its own marginUsed, its maintenance its own.
SOL_CROSS = account("-0.5", "137.96", "138.76", "20", "50", "11524.216934", "38.8818", "22881.19788911")
HYPE_ISOLATED = account("-4", "48.145", "47.9932", "10", "10", "18.564417", "9.629", "50.2724802381")
ETH_ISOLATED = account(
    "0.2259",
    str(D("500.12001") / D("0.2259")),
    "2213.9",
    "20",
    "50",
    "24.88097",
    "5.0012001",
    "2125.00856238",
)
# Nobody recorded one: short 1,400 BTC at 100,000 on 20 M, 40x to 150 M and 20x above. The price solves
# 160 M − 1,400·p = 1,400·p/40 − deduction.
STEPS = [(ZERO, Decimal(40)), (Decimal(150_000_000), Decimal(20))]
TIERED = account("-1400", "100000", "100000", "1", "40", "20000000", "1750000", "0")._replace(
    liquidation=(Decimal(160_000_000) + 150_000_000 * (Decimal(1) / 40 - Decimal(1) / 80))
    / 1400
    / (1 + Decimal(1) / 40)
)
FACTS = {
    "SOL cross": SOL_CROSS,
    "HYPE isolated": HYPE_ISOLATED,
    "ETH isolated": ETH_ISOLATED,
    "BTC tiered": TIERED,
}


def right(a: Account) -> Decimal | None:
    tiers = tiers_by_leverage(steps=STEPS if a is TIERED else [(ZERO, a.max_leverage)])
    if a in (HYPE_ISOLATED, ETH_ISOLATED):
        cash = a.account_value - a.size * a.mark
        return liquidation_price_hyperliquid_isolated(size=a.size, raw_usd=cash, tiers=tiers)
    return liquidation_price_hyperliquid_cross(
        size=a.size,
        mark=a.mark,
        account_value=a.account_value,
        cross_maintenance_margin=a.maintenance,
        tiers=tiers,
    )


def by_formula(a: Account, *, available: Decimal, rate: Decimal, side: int | None = None) -> Decimal:
    side = side or a.side
    return a.mark - side * available / abs(a.size) / (1 - rate * side)


def free(a: Account) -> Decimal:
    return a.account_value - a.maintenance


WRONG: dict[str, Callable[[Account], Decimal]] = {
    "maintenance ignored": lambda a: by_formula(a, available=a.account_value, rate=ZERO),
    "maintenance at the mark kept (2023)": lambda a: by_formula(a, available=free(a), rate=ZERO),
    "maintenance of the others forgotten": lambda a: by_formula(
        a, available=a.account_value - abs(a.size) * a.mark * a.rate, rate=a.rate
    ),
    "initial instead of maintenance margin": lambda a: by_formula(a, available=free(a), rate=2 * a.rate),
    "the leverage set instead of the highest": lambda a: by_formula(
        a, available=free(a), rate=1 / (2 * a.leverage)
    ),
    "isolated used for cross": lambda a: a.entry * (1 - a.side / a.leverage) / (1 - a.rate * a.side),
    "the tier at the mark instead of at liquidation": lambda a: by_formula(a, available=free(a), rate=a.rate),
    "the deduction of the tier forgotten": lambda a: (
        (a.account_value - a.size * a.mark) / abs(a.size) / (Decimal(1) / 40 - a.side)
        if a is TIERED
        else a.liquidation
    ),
    "long and short swapped": lambda a: by_formula(a, available=free(a), rate=a.rate, side=-a.side),
    "1 + l for both sides": lambda a: a.mark - a.side * free(a) / abs(a.size) / (1 + a.rate),
    "measured from the entry price": lambda a: (
        a.entry - a.side * free(a) / abs(a.size) / (1 - a.rate * a.side)
    ),
}


def agrees(price: Decimal | None, a: Account) -> bool:
    return price is not None and abs(price / a.liquidation - 1) <= Decimal("1e-9")


class TestLiquidationPrice:
    @pytest.mark.parametrize("name", FACTS)
    def test_ours_agrees_with_every_fact(self, name):
        assert agrees(right(FACTS[name]), FACTS[name])

    @pytest.mark.parametrize("variant", WRONG)
    def test_a_wrong_variant_misses_a_fact(self, variant):
        assert not all(agrees(WRONG[variant](fact), fact) for fact in FACTS.values())


class TestMeasures:
    def test_a_linear_formula_for_an_inverse_contract_is_caught(self):
        ours = unrealized_pnl(contract=BTC_INVERSE, size=D(10), entry_price=D(40_000), mark=D(50_000))
        assert ours == D("0.005")
        assert ours != 10 * 100 * (D(50_000) - D(40_000))
        assert ours != 10 * 100 * (D(50_000) - D(40_000)) / D(40_000) ** 2

    def test_a_forgotten_multiplier_is_caught(self):
        assert notional(contract=ETH_TENTHS, size=D(30), price=D(2000)) == 6000

    def test_a_distance_that_ignores_the_side_is_caught(self):
        short = liquidation_distance_pct(size=D(-1), mark=D(100), liquidation_price=D(112))
        assert short == 12
        assert short != 100 * (D(100) - D(112)) / D(100)

    def test_a_distance_measured_from_the_liquidation_price_is_caught(self):
        ours = liquidation_distance_pct(size=D(1), mark=D(42_500), liquidation_price=D(38_000))
        assert ours != 100 * (D(42_500) - D(38_000)) / D(38_000)

    def test_a_short_that_gains_on_the_way_up_is_caught(self):
        assert unrealized_pnl(contract=BTC_USDT, size=D(-1), entry_price=D(100), mark=D(90)) == 10
