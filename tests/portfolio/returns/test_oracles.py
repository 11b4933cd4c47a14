"""Returns, drawdowns and ratios against pyxirr, empyrical and ffn, over 200 seeded histories of flows."""

import warnings
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import numpy
import pandas
import pytest
import pyxirr

from portfolio.returns.curve import HOURS_A_YEAR, changes, drawdowns, index, sharpe, sortino
from portfolio.returns.rates import performance, time_weighted
from tests.portfolio.returns.histories import history

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical
    import ffn

SEEDS = range(200)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def histories():
    return [history(seed) for seed in SEEDS]


def near(ours, theirs, tolerance=1e-8):
    return abs(float(ours) - float(theirs)) <= tolerance * max(1.0, abs(float(theirs)))


class TestTheTimeWeightedRate:
    def test_is_what_empyrical_compounds_from_the_daily_rates(self, histories):
        wrong = []
        for seed, one in zip(SEEDS, histories, strict=True):
            ours = performance(start=one.start, end=one.end, flows=one.flows).time_weighted.value
            if not near(ours, empyrical.cum_returns_final(pandas.Series(one.rates))):
                wrong.append(seed)
        assert wrong == []

    def test_of_a_year_is_the_one_of_ffn_and_none_of_less(self, histories):
        for one in histories:
            rate = time_weighted(start=one.start, end=one.end, flows=one.flows)
            if one.days < 365:
                assert rate.annualised is None
                continue
            # ffn counts a year as 365.25 days: we count 365, as XIRR does.
            theirs = (1 + ffn.calc_total_return(pandas.Series([1.0, 1 + float(rate.value)]))) ** (
                365 / one.days
            ) - 1
            assert near(rate.annualised, theirs)


class TestTheMoneyWeightedRate:
    def test_is_the_one_of_pyxirr(self, histories):
        wrong, compared = [], 0
        for seed, one in zip(SEEDS, histories, strict=True):
            ours = performance(start=one.start, end=one.end, flows=one.flows).money_weighted
            if ours.value is None:
                continue
            dates = [one.start.at, *(flow.at for flow in one.flows), one.end.at]
            paid = [-one.start.equity, *(-flow.amount for flow in one.flows), one.end.equity]
            yearly = pyxirr.xirr([at.date() for at in dates], [float(amount) for amount in paid])
            compared += 1
            if yearly is None or not near(ours.value, (1 + yearly) ** (one.days / 365) - 1, 1e-7):
                wrong.append(seed)
        assert wrong == []
        assert compared > 180

    def test_says_that_there_are_several_only_where_pyxirr_sees_several_signs(self, histories):
        for one in histories:
            rate = performance(start=one.start, end=one.end, flows=one.flows).money_weighted
            if "equally well" in rate.why:
                paid = [-one.start.equity, *(-flow.amount for flow in one.flows), one.end.equity]
                assert not pyxirr.is_conventional_cash_flow([float(amount) for amount in paid])


class TestTheIndex:
    def test_has_the_drawdown_of_empyrical_and_of_ffn(self, histories):
        for one in histories:
            curve = index(one.points, one.flows)
            deepest = min((fall.depth for fall in drawdowns(curve)), default=Decimal(0))
            assert near(deepest, empyrical.max_drawdown(pandas.Series(one.rates)))
            prices = pandas.Series([float(point.value) for point in curve])
            assert near(deepest, ffn.calc_max_drawdown(prices))

    def test_has_drawdowns_that_recover_when_the_peak_is_reached_again(self, histories):
        for one in histories[:40]:
            curve = index(one.points, one.flows)
            value = {point.at: point.value for point in curve}
            for fall in drawdowns(curve):
                between = [point.value for point in curve if fall.start < point.at <= fall.trough]
                assert min(between) == value[fall.trough]
                if fall.recovery is not None:
                    assert value[fall.recovery] >= value[fall.start] > value[fall.trough]

    def test_has_the_sharpe_and_sortino_ratios_of_empyrical(self, histories):
        for one in histories:
            rates = changes(index(one.points, one.flows), every=DAY)
            numbers = pandas.Series([float(rate) for rate in rates])
            assert len(rates) == one.days
            ours = sharpe(rates, periods_a_year=Decimal(365))
            assert near(ours, empyrical.sharpe_ratio(numbers, annualization=365), 1e-6)
            below = sortino(rates, periods_a_year=Decimal(365))
            assert near(below, empyrical.sortino_ratio(numbers, annualization=365), 1e-6)

    def test_of_hours_is_a_year_of_8760(self):
        assert HOURS_A_YEAR == 8760

    def test_grows_by_the_rates_of_its_days(self, histories):
        for one in histories[:40]:
            curve = index(one.points, one.flows)
            grown = [float(after.value / before.value - 1) for before, after in pairwise(curve)]
            assert numpy.allclose(grown, one.rates, atol=1e-9)
