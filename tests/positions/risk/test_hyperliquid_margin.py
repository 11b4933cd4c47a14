"""Hyperliquid's margin, judged by clearinghouse states the venue itself answered."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from positions.risk.exact import BadRiskInput
from positions.risk.hyperliquid_margin import (
    HyperliquidPosition,
    hyperliquid_margin,
    hyperliquid_tiers,
    liquidation_price_hyperliquid_cross,
    liquidation_price_hyperliquid_isolated,
    maintenance_margin,
    tiers_by_leverage,
)

RECORDED = Path(__file__).parents[2] / "data" / "venues" / "hyperliquid.json"
FORTY_X = tiers_by_leverage(steps=[(Decimal(0), Decimal(40)), (Decimal(150_000_000), Decimal(20))])


def D(text: str | None) -> Decimal | None:  # noqa: N802
    return None if text is None else Decimal(text)


def flat(max_leverage: str | int):
    return tiers_by_leverage(steps=[(Decimal(0), Decimal(max_leverage))])


def recorded_states() -> dict[str, dict]:
    """Every clearinghouse state that follows today's rules: those that state maxLeverage."""
    states = {}
    for case in json.loads(RECORDED.read_text())["cases"]:
        answer = case["httpResponse"]
        rows = answer.get("assetPositions") if isinstance(answer, dict) else None
        if rows is not None and all("maxLeverage" in row["position"] for row in rows):
            states[case["id"]] = answer
    return states


STATES = recorded_states()
CONSISTENT = {key: state for key, state in STATES.items() if key not in {"hyperliquid.fetchPositions.6"}}


def position(row: dict) -> HyperliquidPosition:
    size, leverage = Decimal(row["szi"]), row["leverage"]
    return HyperliquidPosition(
        coin=row["coin"],
        size=size,
        mark=Decimal(row["positionValue"]) / abs(size),
        leverage=Decimal(leverage["value"]),
        tiers=flat(row["maxLeverage"]),
        mode=leverage["type"],
        raw_usd=D(leverage.get("rawUsd")),
    )


def margin_of(state: dict):
    return hyperliquid_margin(
        raw_usd=Decimal(state["crossMarginSummary"]["totalRawUsd"]),
        positions=[position(row["position"]) for row in state["assetPositions"]],
    )


class TestRecordedStates:
    def test_are_there_to_be_judged_by(self):
        assert len(STATES) >= 6
        assert sum(len(state["assetPositions"]) for state in STATES.values()) >= 6

    @pytest.mark.parametrize("key", STATES)
    def test_liquidation_prices_agree_to_a_billionth(self, key):
        ours = margin_of(STATES[key]).positions
        for row in STATES[key]["assetPositions"]:
            theirs, price = (
                D(row["position"]["liquidationPx"]),
                ours[row["position"]["coin"]].liquidation_price,
            )
            if theirs is None:
                assert price is None
            else:
                assert abs(price - theirs) <= theirs * Decimal("1e-9")

    @pytest.mark.parametrize("key", STATES)
    def test_each_margin_used_agrees_exactly(self, key):
        ours = margin_of(STATES[key]).positions
        for row in STATES[key]["assetPositions"]:
            assert ours[row["position"]["coin"]].margin_used == Decimal(row["position"]["marginUsed"])
            assert ours[row["position"]["coin"]].notional == Decimal(row["position"]["positionValue"])

    @pytest.mark.parametrize("key", STATES)
    def test_cross_sums_agree_exactly(self, key):
        ours = margin_of(STATES[key])
        assert ours.cross_maintenance_margin == Decimal(STATES[key]["crossMaintenanceMarginUsed"])
        agrees(ours.cross, STATES[key]["crossMarginSummary"])

    @pytest.mark.parametrize("key", CONSISTENT)
    def test_totals_with_isolated_positions_agree_exactly(self, key):
        agrees(margin_of(STATES[key]).total, STATES[key]["marginSummary"])

    @pytest.mark.parametrize("key", STATES)
    def test_withdrawable_leaves_what_open_orders_hold(self, key):
        state, ours = STATES[key], margin_of(STATES[key])
        held = ours.withdrawable - Decimal(state["withdrawable"])
        assert held >= 0  # the states do not say what their open orders hold
        again = hyperliquid_margin(
            raw_usd=ours.cross.total_raw_usd,
            positions=[position(row["position"]) for row in state["assetPositions"]],
            open_order_margin=held,
        )
        assert again.withdrawable == Decimal(state["withdrawable"])

    @pytest.mark.parametrize("key", STATES)
    def test_the_short_form_from_venue_totals_gives_the_same_price(self, key):
        state = STATES[key]
        for row in state["assetPositions"]:
            held = position(row["position"])
            expected = margin_of(state).positions[held.coin].liquidation_price
            if held.mode == "isolated":
                price = liquidation_price_hyperliquid_isolated(
                    size=held.size, raw_usd=held.raw_usd, tiers=held.tiers
                )
            else:
                price = liquidation_price_hyperliquid_cross(
                    size=held.size,
                    mark=held.mark,
                    account_value=Decimal(state["crossMarginSummary"]["accountValue"]),
                    cross_maintenance_margin=Decimal(state["crossMaintenanceMarginUsed"]),
                    tiers=held.tiers,
                )
            assert price == expected or abs(price - expected) < Decimal("1e-12")


def agrees(ours, theirs: dict) -> None:
    assert ours.account_value == Decimal(theirs["accountValue"])
    assert ours.total_notional == Decimal(theirs["totalNtlPos"])
    assert ours.total_raw_usd == Decimal(theirs["totalRawUsd"])
    assert ours.total_margin_used == Decimal(theirs["totalMarginUsed"])


def cross(coin: str, size: str, mark: str | None, *, tiers=FORTY_X, leverage: str | None = "10"):
    return HyperliquidPosition(coin=coin, size=Decimal(size), mark=D(mark), leverage=D(leverage), tiers=tiers)


class TestTiers:
    def test_maintenance_is_half_the_initial_margin_at_the_highest_leverage(self):
        assert maintenance_margin(notional=Decimal(100_000), tiers=FORTY_X) == Decimal(1250)

    def test_maintenance_is_continuous_where_the_leverage_falls(self):
        bound = Decimal(150_000_000)
        below, at, above = (
            maintenance_margin(notional=bound + step, tiers=FORTY_X)
            for step in (Decimal(-1), Decimal(0), Decimal(1))
        )
        assert at == Decimal(1_875_000)
        assert at - below == Decimal("0.0125")
        assert above - at == Decimal("0.025")

    def test_the_second_tier_counts_only_what_lies_above_its_bound(self):
        expected = Decimal(150_000_000) / 80 + Decimal(50_000_000) / 40
        assert maintenance_margin(notional=Decimal(200_000_000), tiers=FORTY_X) == expected

    def test_unknown_notional_or_tiers_is_unknown_margin(self):
        assert maintenance_margin(notional=None, tiers=FORTY_X) is None
        assert maintenance_margin(notional=Decimal(1), tiers=None) is None

    @pytest.mark.parametrize(
        "steps",
        [
            [],
            [("5", "40")],
            [("0", "40"), ("0", "20")],
            [("0", "20"), ("1000", "40")],
            [("0", "0")],
            [("0", "-3")],
            [("0", "0.5")],
            [("0", "NaN")],
        ],
    )
    def test_a_table_no_venue_would_publish_is_refused(self, steps):
        with pytest.raises(BadRiskInput):
            tiers_by_leverage(steps=[(Decimal(bound), Decimal(leverage)) for bound, leverage in steps])


class TestTiersFromMeta:
    TABLES = {56: [(Decimal(0), Decimal(40)), (Decimal(150_000_000), Decimal(20))]}

    def test_an_id_below_50_is_the_leverage_itself(self):
        assert hyperliquid_tiers(margin_table_id=10, margin_tables=self.TABLES) == flat(10)

    def test_a_listed_table_is_read(self):
        assert hyperliquid_tiers(margin_table_id=56, margin_tables=self.TABLES) == FORTY_X

    def test_a_table_that_is_not_listed_is_unknown(self):
        assert hyperliquid_tiers(margin_table_id=57, margin_tables=self.TABLES) is None
        assert hyperliquid_tiers(margin_table_id=None, margin_tables=self.TABLES) is None


class TestCrossLiquidation:
    def test_uses_the_tier_at_the_liquidation_price_not_the_one_at_the_mark(self):
        """Short 1,400 BTC at 100,000 is 140 M: under the bound now, above it where it is liquidated."""
        account = hyperliquid_margin(
            raw_usd=Decimal(160_000_000), positions=[cross("BTC", "-1400", "100000")]
        )
        price = account.positions["BTC"].liquidation_price
        at_the_mark = Decimal(160_000_000) / 1400 / (1 + Decimal(1) / 80)
        assert price != pytest.approx(at_the_mark, rel=Decimal("1e-6"))
        equity = Decimal(160_000_000) - 1400 * price
        owed = Decimal(150_000_000) / 80 + (1400 * price - 150_000_000) / 40
        assert abs(equity - owed) < Decimal("1e-12")

    def test_a_long_falls_into_the_lower_tier_on_its_way(self):
        account = hyperliquid_margin(
            raw_usd=Decimal(-140_000_000), positions=[cross("BTC", "1600", "100000")]
        )
        price = account.positions["BTC"].liquidation_price
        assert abs(1600 * price * (1 - Decimal(1) / 80) - 140_000_000) < Decimal("1e-11")

    def test_a_second_position_moves_the_price_of_the_first(self):
        alone = hyperliquid_margin(raw_usd=Decimal(-40_000), positions=[cross("BTC", "1", "50000")])
        both = hyperliquid_margin(
            raw_usd=Decimal(-40_000), positions=[cross("BTC", "1", "50000"), cross("ETH", "-2", "1000")]
        )
        assert both.positions["BTC"].liquidation_price > alone.positions["BTC"].liquidation_price

    @pytest.mark.parametrize("gap", [{"mark": None}, {"tiers": None}, {"leverage": None}])
    def test_one_unknown_neighbour_makes_the_whole_account_unknown(self, gap):
        neighbour = cross("ETH", "-2", **{"mark": "1000", **gap})
        positions = [cross("BTC", "1", "50000"), neighbour]
        assert hyperliquid_margin(raw_usd=Decimal(-40_000), positions=positions) is None

    def test_unknown_cash_or_positions_is_unknown(self):
        assert hyperliquid_margin(raw_usd=None, positions=[cross("BTC", "1", "50000")]) is None
        assert hyperliquid_margin(raw_usd=Decimal(1), positions=None) is None

    def test_unknown_order_margin_leaves_only_withdrawable_unknown(self):
        held = [cross("BTC", "1", "50000")]
        known = hyperliquid_margin(raw_usd=Decimal(-40_000), positions=held)
        ours = hyperliquid_margin(raw_usd=Decimal(-40_000), positions=held, open_order_margin=None)
        assert ours.withdrawable is None
        assert ours.positions == known.positions

    def test_an_isolated_position_without_its_cash_is_never_taken_for_cross(self):
        held = HyperliquidPosition(
            coin="ETH",
            size=Decimal(1),
            mark=Decimal(1000),
            leverage=Decimal(5),
            tiers=FORTY_X,
            mode="isolated",
        )
        assert hyperliquid_margin(raw_usd=Decimal(500), positions=[held]) is None

    def test_an_isolated_neighbour_does_not_touch_the_cross_account(self):
        isolated = HyperliquidPosition(
            coin="ETH",
            size=Decimal(1),
            mark=Decimal(1000),
            leverage=Decimal(5),
            tiers=FORTY_X,
            mode="isolated",
            raw_usd=Decimal(-800),
        )
        alone = hyperliquid_margin(raw_usd=Decimal(-40_000), positions=[cross("BTC", "1", "50000")])
        both = hyperliquid_margin(raw_usd=Decimal(-40_000), positions=[cross("BTC", "1", "50000"), isolated])
        assert both.cross == alone.cross
        assert both.positions["BTC"] == alone.positions["BTC"]
        assert both.total.account_value == alone.total.account_value + 200

    def test_a_fully_paid_long_has_no_liquidation_price(self):
        account = hyperliquid_margin(raw_usd=Decimal(0), positions=[cross("BTC", "1", "50000")])
        assert account.positions["BTC"].liquidation_price is None

    def test_is_liquidated_exactly_when_the_mark_passes_the_price(self):
        cash = Decimal(-40_000)
        price = (
            hyperliquid_margin(raw_usd=cash, positions=[cross("BTC", "1", "50000")])
            .positions["BTC"]
            .liquidation_price
        )
        for step, falls in ((Decimal("-0.01"), True), (Decimal("0.01"), False)):
            account = hyperliquid_margin(raw_usd=cash, positions=[cross("BTC", "1", str(price + step))])
            assert account.is_cross_liquidatable() is falls
            assert account.is_liquidatable("BTC") is falls

    def test_an_isolated_position_is_judged_by_its_own_equity(self):
        held = HyperliquidPosition(
            coin="ETH",
            size=Decimal(1),
            mark=Decimal(800),
            leverage=Decimal(5),
            tiers=FORTY_X,
            mode="isolated",
            raw_usd=Decimal(-795),
        )
        account = hyperliquid_margin(raw_usd=Decimal(1_000_000), positions=[held])
        assert account.is_liquidatable("ETH") is True
        assert account.is_cross_liquidatable() is False


class TestNonsense:
    def test_the_same_coin_twice_is_refused(self):
        twice = [cross("BTC", "1", "50000"), cross("BTC", "2", "50000")]
        with pytest.raises(BadRiskInput, match="one row a coin"):
            hyperliquid_margin(raw_usd=Decimal(0), positions=twice)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("mark", "0"), ("mark", "-1"), ("mark", "NaN"), ("leverage", "0"), ("size", "Infinity")],
    )
    def test_a_figure_no_market_has_is_refused_by_name(self, field, value):
        with pytest.raises(BadRiskInput) as refused:
            cross("BTC", **{"size": "1", "mark": "1", field: value})
        assert refused.value.field == field

    def test_totals_smaller_than_the_positions_own_margin_are_refused(self):
        with pytest.raises(BadRiskInput, match="cross_maintenance_margin"):
            liquidation_price_hyperliquid_cross(
                size=Decimal(1),
                mark=Decimal(50_000),
                account_value=Decimal(10_000),
                cross_maintenance_margin=Decimal(1),
                tiers=FORTY_X,
            )

    @pytest.mark.parametrize(
        "missing", ["size", "mark", "account_value", "cross_maintenance_margin", "tiers"]
    )
    def test_any_missing_total_is_unknown(self, missing):
        known = {
            "size": Decimal(1),
            "mark": Decimal(50_000),
            "account_value": Decimal(10_000),
            "cross_maintenance_margin": Decimal(1000),
            "tiers": FORTY_X,
        }
        assert liquidation_price_hyperliquid_cross(**known) > 0
        assert liquidation_price_hyperliquid_cross(**{**known, missing: None}) is None
