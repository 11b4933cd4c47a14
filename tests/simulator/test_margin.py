"""Real account states, rebuilt by the simulator's own margin arithmetic."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.margin import Holding, Margin, Tier, flat, liquidation_price, maintenance_margin

DATA = Path(__file__).parents[1] / "data"
CASES = {
    path.stem: json.loads(path.read_text())
    for path in sorted((DATA / "venues" / "hyperliquid").glob("*.json"))
}
VECTORS = json.loads((DATA / "vectors" / "liquidation.json").read_text())["cases"]
# Answers that tell maxLeverage: the cassette of March 2023 does not, and follows older rules.
STATES = {
    name: case["response"]
    for name, case in CASES.items()
    if isinstance(case, dict)
    and case.get("origin") != "hand-edited"
    and isinstance(case.get("response"), dict)
    and any("maxLeverage" in row["position"] for row in case["response"].get("assetPositions", ()))
}


def holding(row):
    """A recorded position as the margin engine takes it: the mark is positionValue / |szi|."""
    size = Decimal(row["szi"])
    leverage = row["leverage"]
    cash = Decimal(leverage["rawUsd"]) if leverage["type"] == "isolated" else None
    return Holding(
        coin=row["coin"],
        size=size,
        entry=Decimal(row["entryPx"]),
        mark=Decimal(row["positionValue"]) / abs(size),
        leverage=int(leverage["value"]),
        tiers=flat(int(row["maxLeverage"])),
        price_decimals=6,
        cash=cash,
    )


def rebuilt(state):
    rows = [entry["position"] for entry in state["assetPositions"]]
    cash = Decimal(state["crossMarginSummary"]["totalRawUsd"])
    return Margin(cash, tuple(holding(row) for row in rows)), rows


def near(ours, theirs, relative):
    return abs(Decimal(ours) - Decimal(theirs)) <= abs(Decimal(theirs)) * Decimal(relative)


class TestMarginOfRecordedStates:
    def test_there_are_some(self):
        assert len(STATES) >= 4

    @pytest.mark.parametrize("name", STATES)
    def test_liquidation_prices_are_the_venues_to_a_billionth(self, name):
        margin, rows = rebuilt(STATES[name])
        for one, row in zip(margin.holdings, rows, strict=True):
            ours, theirs = margin.liquidation_price(one), row["liquidationPx"]
            assert ours is None if theirs is None else near(ours, theirs, "1e-9")

    @pytest.mark.parametrize("name", STATES)
    def test_margin_used_and_maintenance_are_exact(self, name):
        margin, rows = rebuilt(STATES[name])
        state = STATES[name]
        shown = margin.wire(time=0)
        assert shown["crossMaintenanceMarginUsed"] == Decimal(state["crossMaintenanceMarginUsed"]).__format__(
            "f"
        )
        for field in ("totalMarginUsed", "totalNtlPos", "totalRawUsd", "accountValue"):
            assert Decimal(shown["crossMarginSummary"][field]) == Decimal(state["crossMarginSummary"][field])
        for mine, row in zip(shown["assetPositions"], rows, strict=True):
            assert Decimal(mine["position"]["marginUsed"]) == Decimal(row["marginUsed"])
            assert Decimal(mine["position"]["positionValue"]) == Decimal(row["positionValue"])

    @pytest.mark.parametrize("name", STATES)
    def test_unrealized_agrees_within_the_rounding_of_the_entry_price(self, name):
        margin, rows = rebuilt(STATES[name])
        for one, row in zip(margin.holdings, rows, strict=True):
            places = -Decimal(row["entryPx"]).as_tuple().exponent
            # The state shows at most four decimals of these entries, the venue computes with all of them.
            allowed = abs(one.size) * Decimal(1).scaleb(-min(places, 4)) + Decimal("1e-6")
            assert abs(one.unrealized - Decimal(row["unrealizedPnl"])) <= allowed

    @pytest.mark.parametrize("name", STATES)
    def test_writes_a_state_with_the_venues_fields(self, name):
        margin, rows = rebuilt(STATES[name])
        shown = margin.wire(time=1)
        assert shown.keys() == STATES[name].keys()
        for mine, row in zip(shown["assetPositions"], rows, strict=True):
            assert mine["position"].keys() == row.keys()
            assert mine["position"]["leverage"].keys() == row["leverage"].keys()


class TestVectorsOfLiquidationPrices:
    CROSS = [case for case in VECTORS if case["formula"] == "hl_cross"]

    @pytest.mark.parametrize("case", CROSS, ids=lambda case: case["id"])
    def test_agree_for_cross_margin(self, case):
        given, expected = case["inputs"], case["expect"]
        size, value = Decimal(given["szi"]), Decimal(given["position_value"])
        tiers = flat(given["max_leverage"])
        price = liquidation_price(
            size=size,
            mark=value / abs(size),
            equity=Decimal(given["account_value"]),
            other_maintenance=Decimal(given["maintenance_margin"]) - maintenance_margin(value, tiers),
            tiers=tiers,
        )
        if expected["liquidation_price"] is None:
            assert price is None
        else:
            assert abs(price - Decimal(expected["liquidation_price"])) <= Decimal(expected["tol"])


class TestMarginTiers:
    TIERS = (Tier(Decimal(0), 40), Tier(Decimal(150_000_000), 20))

    def test_maintenance_is_continuous_where_the_tier_changes(self):
        edge = Decimal(150_000_000)
        below = maintenance_margin(edge - Decimal("0.000001"), self.TIERS)
        assert abs(maintenance_margin(edge, self.TIERS) - below) < Decimal("0.0000001")
        assert maintenance_margin(edge, self.TIERS) == edge / 80

    def test_the_upper_tier_asks_the_double_of_what_is_above_it(self):
        assert maintenance_margin(Decimal(250_000_000), self.TIERS) == Decimal(1_875_000) + Decimal(2_500_000)

    def test_the_liquidation_price_is_where_equity_meets_maintenance_in_its_own_tier(self):
        size, mark, equity = Decimal(-2000), Decimal(70_000), Decimal(20_000_000)
        price = liquidation_price(
            size=size, mark=mark, equity=equity, other_maintenance=Decimal(0), tiers=self.TIERS
        )
        notional = abs(size) * price
        assert notional > 150_000_000 > abs(size) * mark
        left = equity + size * (price - mark)
        assert abs(left - maintenance_margin(notional, self.TIERS)) < Decimal("1e-6")
