"""Liquidation prices that venues and other projects stated, against ours."""

from decimal import Decimal

import pytest

from positions.book.contracts import Contract, ContractKind
from positions.risk.hyperliquid_margin import (
    liquidation_price_hyperliquid_cross,
    liquidation_price_hyperliquid_isolated,
    tiers_by_leverage,
)
from positions.risk.liquidation import (
    liquidation_price_binance_isolated,
    liquidation_price_bybit_isolated,
    liquidation_price_okx_gate_isolated,
)
from positions.risk.tiers import MarginTier
from tests.positions.risk.vectors import ELSEWHERE, cases, number, show, signed

ZERO = Decimal(0)
LINEAR = Contract(kind=ContractKind.LINEAR, base="BTC", quote="USDT", settle="USDT")
# The 2023 recording states no maxLeverage; these are all that the venue has offered.
MAX_LEVERAGES = (3, 5, 10, 20, 25, 40, 50)


class Inputs:
    """A case's inputs as Decimals; what no formula has asked for is an error, not ignored."""

    def __init__(self, case: dict) -> None:
        self.values = dict(case["inputs"])
        self.unread = set(self.values)

    def take(self, key: str, *default: Decimal | None) -> Decimal | None:
        """The number under a name, or under another one that cases use for it."""
        for name in (key, *ALSO.get(key, ())):
            if name in self.values:
                self.unread.discard(name)
                return number(self.values[name])
        if not default:
            raise KeyError(key)
        return default[0]

    def side(self) -> Decimal | None:
        self.unread.discard("side")
        return signed(self.values["side"]) if "side" in self.values else None

    def signed_size(self) -> Decimal:
        """The size with its sign, wherever that stands."""
        size, side = self.take("size"), self.side()
        return size if side is None else abs(size) * side

    def tick(self) -> Decimal | None:
        """The tick, or the decimals of a price."""
        tick, decimals = self.take("tick", None), self.take("decimals", None)
        return Decimal(1).scaleb(-int(decimals)) if tick is None and decimals is not None else tick


ALSO = {
    "entry": ("entry_price", "avg_entry"),
    "size": ("szi", "qty"),
    "upnl_others": ("upnl_other",),
    "tmm_others": ("tmm_other",),
}


def hl_tiers(max_leverage: Decimal):
    return tiers_by_leverage(steps=[(ZERO, max_leverage)])


def hl_cross(given: Inputs, max_leverage: Decimal | None = None) -> Decimal | None:
    size = given.signed_size()
    given.take("leverage", None)
    return liquidation_price_hyperliquid_cross(
        size=size,
        mark=given.take("position_value") / abs(size),
        account_value=given.take("account_value"),
        cross_maintenance_margin=given.take("maintenance_margin"),
        tiers=hl_tiers(max_leverage or given.take("max_leverage")),
    )


def hl_isolated(given: Inputs) -> Decimal | None:
    size = given.signed_size()
    given.take("leverage", None)
    value, margin_used = given.take("position_value", None), given.take("margin_used", None)
    if (raw_usd := given.take("raw_usd", None)) is None:
        raw_usd = margin_used - value.copy_sign(size)
    return liquidation_price_hyperliquid_isolated(
        size=size, raw_usd=raw_usd, tiers=hl_tiers(given.take("max_leverage"))
    )


def binance(given: Inputs) -> Decimal | None:
    """The case names the bracket and sums up the rest of the account: one wallet, one bracket."""
    rest = given.take("upnl_others", ZERO) - given.take("tmm_others", ZERO)
    bracket = MarginTier(lower_bound=ZERO, rate=given.take("mmr"), deduction=given.take("cum"))
    return liquidation_price_binance_isolated(
        contract=LINEAR,
        size=given.signed_size(),
        entry_price=given.take("entry"),
        isolated_wallet=given.take("wallet_balance") + rest,
        tiers=(bracket,),
    )


def bybit_isolated(given: Inputs) -> Decimal | None:
    return liquidation_price_bybit_isolated(
        size=given.signed_size(),
        entry_price=given.take("entry"),
        initial_margin=given.take("initial_margin"),
        maintenance_margin=given.take("maintenance_margin"),
        extra_margin=given.take("extra", ZERO),
        tick_size=given.tick(),
    )


def okx_gate_isolated(given: Inputs) -> Decimal | None:
    return liquidation_price_okx_gate_isolated(
        contract=LINEAR,
        size=given.signed_size(),
        entry_price=given.take("entry"),
        margin=given.take("margin"),
        maintenance_rate=given.take("mmr"),
        taker_fee_rate=given.take("taker_fee"),
    )


FORMULAE = {
    "hl_cross": hl_cross,
    "hl_isolated": hl_isolated,
    "binance": binance,
    "bybit_isolated": bybit_isolated,
    "okx_gate_isolated": okx_gate_isolated,
}
ALL = cases("liquidation")
TODAY = [case for case in ALL if case["formula"] != "hl_cross_alpha2023"]
# Where the rules of 2023 gave no price, today's give none either: only stated prices can tell them apart.
# By design: the venue gave its rule of 2023 up, so ours is another; that is shown on our cases only, as under
# some account of others both may give one price.
PRICED_IN_2023 = [
    case
    for case in ALL
    if case not in TODAY and case["expect"]["liquidation_price"] is not None and not ELSEWHERE
]


def agrees(price: Decimal | None, case: dict) -> bool:
    expected = number(case["expect"]["liquidation_price"])
    if price is None or expected is None:
        return price is expected
    return abs(price - expected) <= number(case["expect"].get("tol", "0"))


def current(case: dict) -> Decimal | None:
    given = Inputs(case)
    price = FORMULAE[case["formula"]](given)
    assert not given.unread, f"{case['id']}: inputs nobody read: {given.unread}"
    return price


def reproduced_today(case: dict) -> bool:
    """Whether today's cross formula gives the price of 2023 under any maxLeverage that fits the account."""
    inputs = case["inputs"]
    return any(
        agrees(hl_cross(Inputs(case), Decimal(most)), case)
        for most in MAX_LEVERAGES
        if Decimal(inputs["position_value"]) / (2 * most) <= Decimal(inputs["maintenance_margin"])
    )


class TestLiquidationVectors:
    @pytest.mark.parametrize("case", TODAY, ids=lambda case: case["id"])
    def test_our_price_is_the_stated_one(self, case):
        assert agrees(current(case), case), f"ours {current(case)}, stated {case['expect']}"

    @pytest.mark.parametrize("case", PRICED_IN_2023, ids=lambda case: case["id"])
    def test_the_rules_of_2023_are_not_todays(self, case):
        assert not reproduced_today(case)

    def test_the_score_is_complete(self, capsys):
        show(capsys, "liquidation", {case["id"]: agrees(current(case), case) for case in TODAY})
        if not PRICED_IN_2023:
            return
        show(
            capsys,
            "liquidation, prices of 2023 that today's formula does not give",
            {case["id"]: not reproduced_today(case) for case in PRICED_IN_2023},
        )
