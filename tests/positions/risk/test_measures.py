"""Risk measures as worked examples: the numbers a trader would check by hand."""

from decimal import Decimal

import pytest

from positions.risk.exact import BadRiskInput
from positions.risk.measures import (
    break_even_price,
    leverage,
    liquidation_distance_pct,
    margin_ratio,
    notional,
    return_on_margin,
    under_maintenance,
    unrealized_pnl,
    unrealized_pnl_pct,
)
from tests.positions.risk.contracts import BTC_INVERSE, BTC_SPOT, BTC_USDT, ETH_INVERSE, ETH_TENTHS, D, near
from tests.positions.risk.test_hyperliquid_margin import STATES


def gain(contract, size, entry, mark):
    return unrealized_pnl(contract=contract, size=D(size), entry_price=D(entry), mark=D(mark))


class TestUnrealizedPnl:
    def test_half_a_bitcoin_from_42000_to_42500_gains_250_which_is_1_19_percent(self):
        pnl = gain(BTC_USDT, "0.5", "42000", "42500")
        entry_notional = notional(contract=BTC_USDT, size=D("0.5"), price=D(42000))
        assert pnl == 250
        pct = unrealized_pnl_pct(unrealized_pnl=pnl, entry_notional=entry_notional)
        assert pct.quantize(Decimal("0.01")) == Decimal("1.19")

    def test_a_short_gains_what_a_long_loses(self):
        assert gain(BTC_USDT, "-0.5", "42000", "42500") == -250
        assert gain(BTC_INVERSE, "-10", "40000", "50000") == -gain(BTC_INVERSE, "10", "40000", "50000")

    def test_spot_is_bought_and_worth_more(self):
        assert gain(BTC_SPOT, "2", "30000", "31000") == 2000

    def test_a_multiplier_makes_contracts_into_coins(self):
        assert gain(ETH_TENTHS, "30", "2000", "2100") == 300

    def test_an_inverse_long_of_1000_dollars_gains_bitcoin(self):
        """1,000 USD were 0.025 BTC at 40,000 and are 0.02 BTC at 50,000."""
        assert gain(BTC_INVERSE, "10", "40000", "50000") == Decimal("0.005")

    def test_okx_states_the_same_of_a_recorded_inverse_long(self):
        """OKX ETH-USD-210430: 1 contract from 2566.31; upl at the mark that the state implies."""
        mark = 1 / (1 / Decimal("2566.31") + Decimal("0.0000009932766034") / 10)
        assert near(gain(ETH_INVERSE, "1", "2566.31", str(mark)), "-0.0000009932766034", 16)

    def test_the_open_cost_counts_before_a_rounded_average(self):
        """3 coins for 100 in all: the average 33.33… is rounded, the cost is not."""
        pnl = unrealized_pnl(
            contract=BTC_USDT, size=D(3), entry_price=D("33.333333333333333333"), open_cost=D(100), mark=D(40)
        )
        assert pnl == 20

    def test_flat_gains_nothing_even_without_a_mark(self):
        assert unrealized_pnl(contract=BTC_USDT, size=D(0), open_cost=D(0), mark=None) == 0

    @pytest.mark.parametrize("missing", ["size", "entry_price", "mark"])
    def test_unknown_in_unknown_out(self, missing):
        known = {"size": D(1), "entry_price": D(10), "mark": D(11)}
        assert unrealized_pnl(contract=BTC_USDT, **{**known, missing: None}) is None

    def test_a_percentage_of_nothing_is_unknown(self):
        assert unrealized_pnl_pct(unrealized_pnl=D(5), entry_notional=D(0)) is None
        assert unrealized_pnl_pct(unrealized_pnl=None, entry_notional=D(10)) is None
        assert unrealized_pnl_pct(unrealized_pnl=D(5), entry_notional=None) is None


class TestRecordedReturns:
    @pytest.mark.parametrize("key", STATES)
    def test_pnl_and_return_on_margin_are_what_hyperliquid_states(self, key):
        """returnOnEquity to its stated digits; unrealizedPnl to the six decimals of the venue."""
        for row in (row["position"] for row in STATES[key]["assetPositions"]):
            size, entry = Decimal(row["szi"]), Decimal(row["entryPx"])
            mark = Decimal(row["positionValue"]) / abs(size)
            pnl = unrealized_pnl(contract=BTC_USDT, size=size, entry_price=entry, mark=mark)
            # entryPx is itself cut, to 6 − szDecimals places: up to one last digit on each unit of size.
            last_digit = Decimal(1).scaleb(entry.as_tuple().exponent)
            if key != "hyperliquid.fetchPositions.6":  # a documentation sample: pnl 0.0 at another entry
                assert abs(pnl - Decimal(row["unrealizedPnl"])) <= abs(size) * last_digit
            roe = return_on_margin(
                unrealized_pnl=Decimal(row["unrealizedPnl"]),
                initial_margin=abs(size) * entry / Decimal(row["leverage"]["value"]),
            )
            assert abs(roe - Decimal(row["returnOnEquity"])) <= abs(roe) * last_digit / entry + Decimal(
                "1e-6"
            )


class TestLeverage:
    def test_20000_carried_by_4000_is_five_times(self):
        assert leverage(notional=D(20_000), margin_balance=D(4_000)) == 5

    @pytest.mark.parametrize("balance", ["0", "-10", None])
    def test_nothing_that_carries_is_unknown_not_infinite(self, balance):
        assert leverage(notional=D(20_000), margin_balance=D(balance)) is None


class TestMarginRatio:
    def test_is_maintenance_over_balance(self):
        assert margin_ratio(maintenance_margin=D(50), margin_balance=D(200)) == Decimal("0.25")

    def test_agrees_with_the_ratio_okx_recorded(self):
        """OKX states the reciprocal, with a closing fee of 0.05 %: (margin + upl) / (mmr + fee)."""
        margin, upl, mmr = D("0.0003896645377994"), D("-0.0000009932766034"), D("0.0000311811092368")
        fee = mmr / Decimal("0.008") * Decimal("0.0005")
        ratio = margin_ratio(maintenance_margin=mmr + fee, margin_balance=margin + upl)
        assert abs(1 / ratio - Decimal("11.731726509588816")) < Decimal("0.0001")

    def test_an_empty_balance_has_no_ratio_but_is_under_maintenance(self):
        for balance in (D(0), D(-5)):
            assert margin_ratio(maintenance_margin=D(50), margin_balance=balance) is None
            assert under_maintenance(maintenance_margin=D(50), margin_balance=balance) is True

    def test_balance_at_maintenance_is_not_under_it(self):
        assert under_maintenance(maintenance_margin=D(50), margin_balance=D(50)) is False

    def test_unknown_in_unknown_out(self):
        assert margin_ratio(maintenance_margin=None, margin_balance=D(1)) is None
        assert under_maintenance(maintenance_margin=D(1), margin_balance=None) is None


class TestLiquidationDistance:
    def test_liquidation_at_38000_seen_from_42500_is_10_6_percent_away(self):
        distance = liquidation_distance_pct(size=D("0.5"), mark=D(42500), liquidation_price=D(38000))
        assert distance.quantize(Decimal("0.1")) == Decimal("10.6")

    def test_a_short_is_liquidated_above(self):
        assert liquidation_distance_pct(size=D(-1), mark=D(100), liquidation_price=D(112)) == 12

    def test_is_negative_once_the_price_is_passed(self):
        assert liquidation_distance_pct(size=D(1), mark=D(95), liquidation_price=D(100)) < 0
        assert liquidation_distance_pct(size=D(-1), mark=D(105), liquidation_price=D(100)) < 0

    @pytest.mark.parametrize("missing", ["size", "mark", "liquidation_price"])
    def test_unknown_in_unknown_out(self, missing):
        known = {"size": D(1), "mark": D(100), "liquidation_price": D(90)}
        assert liquidation_distance_pct(**{**known, missing: None}) is None

    def test_flat_has_none(self):
        assert liquidation_distance_pct(size=D(0), mark=D(100), liquidation_price=D(90)) is None


class TestBreakEven:
    def even(self, contract=BTC_USDT, size="1", entry="50000", fees="25", funding="0", **more):
        return break_even_price(
            contract=contract,
            size=D(size),
            entry_price=D(entry),
            fees=D(fees),
            funding=D(funding),
            **{key: D(value) for key, value in more.items()},
        )

    def test_a_long_must_rise_by_what_it_paid(self):
        assert self.even() == 50_025

    def test_a_short_must_fall_by_what_it_paid(self):
        assert self.even(size="-1") == 49_975

    def test_funding_received_brings_it_nearer_and_funding_paid_moves_it_away(self):
        assert self.even(funding="10") == 50_015
        assert self.even(funding="-10") == 50_035

    def test_interest_counts_as_funding_does(self):
        assert self.even(interest="-5") == 50_030

    def test_the_fee_to_close_is_part_of_it(self):
        """At p: p − 50,000 − 25 − 0.0005·p = 0."""
        assert near(self.even(exit_fee_rate="0.0005"), str(Decimal(50_025) / Decimal("0.9995")))

    def test_gains_already_taken_count_where_the_whole_episode_is_asked_about(self):
        assert self.even(realized_pnl="525") == 49_500

    def test_an_inverse_long_pays_its_fee_in_the_coin(self):
        """1,000 USD at 40,000 cost 0.025 BTC; a fee of 0.001 BTC: even when 1,000 USD are 0.024 BTC."""
        price = self.even(contract=BTC_INVERSE, size="10", entry="40000", fees="0.001")
        assert near(price, str(Decimal(1000) / Decimal("0.024")))

    def test_an_inverse_short_is_even_lower(self):
        price = self.even(contract=BTC_INVERSE, size="-10", entry="40000", fees="0.001")
        assert near(price, str(Decimal(1000) / Decimal("0.026")))

    def test_a_long_that_has_earned_its_whole_cost_cannot_lose(self):
        assert self.even(fees="0", realized_pnl="60000") is None

    @pytest.mark.parametrize(
        "missing", ["size", "entry", "fees", "funding", "interest", "realized_pnl", "exit_fee_rate"]
    )
    def test_unknown_in_unknown_out(self, missing):
        assert self.even(**{missing: None}) is None

    def test_flat_has_none(self):
        assert self.even(size="0") is None


class TestNonsense:
    @pytest.mark.parametrize(
        ("measure", "field", "value"),
        [
            (unrealized_pnl, "mark", "NaN"),
            (unrealized_pnl, "mark", "0"),
            (unrealized_pnl, "mark", "-1"),
            (unrealized_pnl, "entry_price", "Infinity"),
            (unrealized_pnl, "open_cost", "-1"),
            (unrealized_pnl, "size", "sNaN"),
            (unrealized_pnl, "size", "1e20"),
            (notional, "price", "0"),
            (break_even_price, "fees", "NaN"),
            (break_even_price, "exit_fee_rate", "1"),
        ],
    )
    def test_is_refused_by_the_name_of_the_field(self, measure, field, value):
        figures = {
            unrealized_pnl: {"size": "1", "mark": "1", "entry_price": "1"},
            notional: {"size": "1", "price": "1"},
            break_even_price: {"size": "1", "entry_price": "1", "fees": "0", "funding": "0"},
        }[measure]
        given = {key: D(text) for key, text in {**figures, field: value}.items()}
        with pytest.raises(BadRiskInput) as refused:
            measure(contract=BTC_USDT, **given)
        assert refused.value.field == field
        assert field in str(refused.value)

    @pytest.mark.parametrize(
        ("measure", "figures", "field"),
        [
            (leverage, {"notional": "-1", "margin_balance": "1"}, "notional"),
            (leverage, {"notional": "1", "margin_balance": "NaN"}, "margin_balance"),
            (margin_ratio, {"maintenance_margin": "-1", "margin_balance": "1"}, "maintenance_margin"),
            (under_maintenance, {"maintenance_margin": "-1", "margin_balance": "1"}, "maintenance_margin"),
            (return_on_margin, {"unrealized_pnl": "1", "initial_margin": "-1"}, "initial_margin"),
            (unrealized_pnl_pct, {"unrealized_pnl": "1", "entry_notional": "-1"}, "entry_notional"),
            (
                liquidation_distance_pct,
                {"size": "1", "mark": "1", "liquidation_price": "0"},
                "liquidation_price",
            ),
        ],
    )
    def test_a_sign_no_market_has_is_refused(self, measure, figures, field):
        with pytest.raises(BadRiskInput) as refused:
            measure(**{key: D(value) for key, value in figures.items()})
        assert refused.value.field == field

    def test_a_float_has_already_lost_the_digits(self):
        with pytest.raises(BadRiskInput, match="mark"):
            unrealized_pnl(contract=BTC_USDT, size=D(1), entry_price=D(1), mark=1.1)

    def test_spot_below_zero_is_refused(self):
        with pytest.raises(BadRiskInput, match="size"):
            gain(BTC_SPOT, "-1", "10", "11")

    def test_figures_that_together_exceed_any_number_are_refused(self):
        huge = Decimal("9e19")
        contract = type(BTC_USDT)(
            kind=BTC_USDT.kind, base="BTC", quote="USDT", settle="USDT", multiplier=huge
        )
        with pytest.raises(BadRiskInput, match="out of range"):
            notional(contract=contract, size=huge, price=huge)
