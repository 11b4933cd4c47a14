"""Liquidation prices of Binance, Bybit, OKX and Gate, checked by what happens at them."""

from decimal import Decimal

import pytest

from positions.risk.exact import BadRiskInput
from positions.risk.liquidation import (
    CrossPosition,
    liquidation_price_binance_cross,
    liquidation_price_binance_isolated,
    liquidation_price_bybit_isolated,
    liquidation_price_okx_gate_isolated,
)
from positions.risk.tiers import MarginTier
from tests.positions.risk.contracts import BTC_INVERSE, BTC_SPOT, BTC_USDT, ETH_INVERSE, D, near


def bracket(bound: str, rate: str, cum: str) -> MarginTier:
    return MarginTier(lower_bound=Decimal(bound), rate=Decimal(rate), deduction=Decimal(cum))


# BTCUSDT as Binance published it: 0.4 % to 50,000, 0.5 % to 500,000, 1 % to 8 M, 2.5 % to 50 M.
BRACKETS = (
    bracket("0", "0.004", "0"),
    bracket("50000", "0.005", "50"),
    bracket("500000", "0.01", "2550"),
    bracket("8000000", "0.025", "122550"),
)


def held(size: str, *, symbol="BTCUSDT", entry="50000", mark: str | None = "50000", **other) -> CrossPosition:
    terms = {"contract": BTC_USDT, "tiers": BRACKETS, **other}
    return CrossPosition(symbol=symbol, size=D(size), entry_price=D(entry), mark=D(mark), **terms)


def cross(position, *others, wallet="10000"):
    return liquidation_price_binance_cross(position=position, others=list(others), wallet_balance=D(wallet))


def isolated(size="1", entry="50000", wallet="5000", tiers=BRACKETS, contract=BTC_USDT):
    return liquidation_price_binance_isolated(
        contract=contract, size=D(size), entry_price=D(entry), isolated_wallet=D(wallet), tiers=tiers
    )


class TestBinanceIsolated:
    def test_the_bracket_is_the_one_at_the_liquidation_price(self):
        """A 1.05 BTC long is worth 52,500 at entry (0.5 %) and less than 50,000 when liquidated (0.4 %)."""
        price = isolated(size="1.05")
        assert near(price, str((Decimal("1.05") * 50_000 - 5000) / Decimal("1.05") / Decimal("0.996")))
        at_entry = (Decimal("1.05") * 50_000 - 5000 - 50) / Decimal("1.05") / Decimal("0.995")
        assert abs(price - at_entry) > 1

    def test_a_short_climbs_into_a_dearer_bracket(self):
        price = isolated(size="-9", wallet="100000")
        assert near(price, str((9 * Decimal(50_000) + 100_000 + 2550) / 9 / Decimal("1.01")))

    def test_a_wallet_that_covers_the_whole_cost_has_no_liquidation_price(self):
        assert isolated(wallet="50000") is None

    def test_a_coin_margined_short_is_liquidated_above_in_coins(self):
        """10 contracts of 100 USD short at 40,000 with 0.005 BTC: equity 0.005 − 1000·(1/40,000 − x)."""
        tiers = (bracket("0", "0.004", "0"),)
        price = isolated(size="-10", entry="40000", wallet="0.005", tiers=tiers, contract=BTC_INVERSE)
        assert price > 40_000
        equity = Decimal("0.005") - 1000 * (1 / Decimal(40_000) - 1 / price)
        assert near(equity, str(1000 / price * Decimal("0.004")), 15)

    def test_a_fully_covered_coin_margined_short_is_never_liquidated(self):
        """1,000 USD short with the 0.025 BTC it sold: a dollar position, at any price."""
        tiers = (bracket("0", "0.004", "0"),)
        args = {"size": "-10", "entry": "40000", "tiers": tiers, "contract": BTC_INVERSE}
        assert isolated(wallet="0.0249", **args) > 1_000_000
        assert isolated(wallet="0.025", **args) is None

    def test_a_price_beyond_any_market_is_none(self):
        """Covered but for 1e-18 BTC: the equation holds at a price of 22 digits."""
        tiers = (bracket("0", "0.004", "0"),)
        args = {"size": "-10", "entry": "40000", "tiers": tiers, "contract": BTC_INVERSE}
        assert isolated(wallet="0.024999999999999999", **args) is None

    @pytest.mark.parametrize("missing", ["size", "entry", "wallet"])
    def test_unknown_in_unknown_out(self, missing):
        assert isolated(**{missing: None}) is None

    def test_unknown_brackets_are_unknown(self):
        assert isolated(tiers=None) is None

    def test_flat_has_none(self):
        assert isolated(size="0") is None


class TestBinanceCross:
    def test_alone_it_is_the_isolated_formula_with_the_cross_wallet(self):
        assert cross(held("1"), wallet="5000") == isolated()

    def test_a_losing_neighbour_brings_the_liquidation_nearer(self):
        loser = held("-10", symbol="ETHUSDT", entry="2000", mark="2300")
        assert cross(held("1"), loser) > cross(held("1"))

    def test_equity_of_all_equals_maintenance_of_all_at_that_price(self):
        neighbour = held("-10", symbol="ETHUSDT", entry="2000", mark="2300")
        price = cross(held("1"), neighbour)
        equity = 10_000 + (price - 50_000) - 3000
        assert near(equity, str(price * Decimal("0.004") + 23_000 * Decimal("0.004")))

    def test_the_other_leg_of_a_hedge_moves_with_the_price(self):
        """Long 2, short 1: the account loses 1 a dollar, and both legs need maintenance at the new price."""
        price = cross(held("2"), held("-1"))
        equity = 10_000 + (price - 50_000)
        assert near(equity, str(2 * price * Decimal("0.005") - 50 + price * Decimal("0.004")))

    def test_a_leg_that_gains_more_than_the_other_loses_has_no_price_on_its_side(self):
        assert cross(held("-1"), held("2")) is None

    def test_one_unknown_neighbour_makes_it_unknown_not_isolated(self):
        for gap in ({"mark": None}, {"entry": None}, {"tiers": None}):
            assert cross(held("1"), held("-10", symbol="ETHUSDT", **{"entry": "2000", **gap})) is None

    def test_an_unknown_second_leg_makes_it_unknown(self):
        assert cross(held("2"), held("-1", entry=None)) is None

    def test_an_account_whose_other_positions_are_not_known_has_no_price(self):
        assert (
            liquidation_price_binance_cross(position=held("1"), others=None, wallet_balance=D(10_000)) is None
        )
        assert cross(held("1"), wallet=None) is None

    def test_its_own_mark_is_not_needed(self):
        assert cross(held("1", mark=None)) == cross(held("1"))

    def test_a_position_given_among_its_own_others_is_refused(self):
        with pytest.raises(BadRiskInput, match="each leg counts once"):
            cross(held("1"), held("1"))

    def test_two_contracts_for_one_symbol_are_refused(self):
        with pytest.raises(BadRiskInput, match="one contract a symbol"):
            cross(held("1"), held("-1", contract=BTC_INVERSE))

    def test_a_flat_leg_beside_it_changes_nothing(self):
        assert cross(held("-1"), held("0")) == cross(held("-1"))


class TestBybitIsolated:
    def price(self, **change):
        terms = {
            "size": "1",
            "entry_price": "40000",
            "initial_margin": "800",
            "maintenance_margin": "200",
            "extra_margin": "0",
        }
        return liquidation_price_bybit_isolated(**{key: D(v) for key, v in {**terms, **change}.items()})

    def test_a_50x_long_from_40000_is_liquidated_at_39400(self):
        """40,000 − (800 − 200): initial margin 2 %, maintenance 0.5 %."""
        assert self.price() == 39_400

    def test_a_short_is_liquidated_as_far_above(self):
        assert self.price(size="-1") == 40_600

    def test_margin_added_by_hand_moves_it_away(self):
        """3,000 added to 1 BTC: 3,000 lower."""
        assert self.price(extra_margin="3000") == 36_400

    def test_is_cut_to_the_tick(self):
        """3 BTC: 40,000 − 1,799/3 = 39,400.33 and 40,000 − 1,801/3 = 39,399.67."""
        terms = {"size": "3", "initial_margin": "2400", "tick_size": "0.5"}
        assert self.price(**terms, maintenance_margin="601") == 39_400
        assert self.price(**terms, maintenance_margin="599") == Decimal("39399.5")

    @pytest.mark.parametrize(
        "missing", ["size", "entry_price", "initial_margin", "maintenance_margin", "extra_margin"]
    )
    def test_unknown_in_unknown_out(self, missing):
        assert self.price(**{missing: None}) is None

    def test_no_price_above_zero_is_none(self):
        assert self.price(extra_margin="40000") is None


class TestOkxAndGateIsolated:
    def test_a_recorded_inverse_long_agrees_but_for_the_tick_okx_adds(self):
        """OKX ETH-USD-210430, 2021: 10 USD long from 2566.31, mmr 0.8 %, taker fee 0.05 %, tick 0.01.

        OKX stated 2352.8496681818233: ours to 13 digits, plus one tick towards the position.
        """
        price = liquidation_price_okx_gate_isolated(
            contract=ETH_INVERSE,
            size=D(1),
            entry_price=D("2566.31"),
            margin=D("0.0003896645377994"),
            maintenance_rate=D("0.008"),
            taker_fee_rate=D("0.0005"),
        )
        assert near(price + Decimal("0.01"), "2352.8496681818233")

    def test_the_fee_to_close_brings_a_long_s_price_nearer(self):
        args = {"contract": BTC_USDT, "size": D(1), "entry_price": D(10), "margin": D(2)}
        free = liquidation_price_okx_gate_isolated(**args, maintenance_rate=D("0.01"), taker_fee_rate=D(0))
        paid = liquidation_price_okx_gate_isolated(
            **args, maintenance_rate=D("0.01"), taker_fee_rate=D("0.001")
        )
        assert paid > free == D(8) / D("0.99").quantize(D("0.01")) or paid > free

    @pytest.mark.parametrize(
        "missing", ["size", "entry_price", "margin", "maintenance_rate", "taker_fee_rate"]
    )
    def test_unknown_in_unknown_out(self, missing):
        known = {
            "size": D(1),
            "entry_price": D(10),
            "margin": D(2),
            "maintenance_rate": D("0.01"),
            "taker_fee_rate": D("0.001"),
        }
        assert liquidation_price_okx_gate_isolated(contract=BTC_USDT, **known) > 0
        assert liquidation_price_okx_gate_isolated(contract=BTC_USDT, **{**known, missing: None}) is None


class TestNonsense:
    def test_spot_is_not_liquidated(self):
        with pytest.raises(BadRiskInput, match="contract"):
            isolated(contract=BTC_SPOT)
        with pytest.raises(BadRiskInput, match="contract"):
            held("1", contract=BTC_SPOT)

    @pytest.mark.parametrize(("field", "value"), [("size", "NaN"), ("entry", "0"), ("wallet", "Infinity")])
    def test_a_figure_no_market_has_is_refused(self, field, value):
        with pytest.raises(BadRiskInput):
            isolated(**{field: value})

    @pytest.mark.parametrize(
        "tiers",
        [
            (),
            (bracket("10", "0.01", "0"),),
            (bracket("0", "0.01", "0"), bracket("100", "0.02", "0")),
            (bracket("0", "0.02", "0"), bracket("100", "0.01", "0")),
        ],
        ids=["empty", "not from zero", "a jump (cum forgotten)", "falling rate"],
    )
    def test_a_table_of_brackets_that_cannot_be_is_refused(self, tiers):
        with pytest.raises(BadRiskInput, match="tiers"):
            isolated(tiers=tiers)

    def test_a_rate_of_one_or_more_is_refused(self):
        with pytest.raises(BadRiskInput, match="rate"):
            bracket("0", "1", "0")

    def test_a_deduction_rounded_by_the_venue_still_has_a_solution_at_the_bound(self):
        """cum 50.04 for 50: each line meets equity just outside its own stretch, so neither holds exactly."""
        tiers = (bracket("0", "0.004", "0"), bracket("50000", "0.005", "50.04"))
        assert abs(isolated(entry="60000", wallet="10199.98", tiers=tiers) - 50_000) < Decimal("0.1")
