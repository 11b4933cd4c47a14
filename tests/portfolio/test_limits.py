"""Limits: levels with hysteresis, unknown figures, contradictions; exposure netted by underlying."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.limits import (
    BadLimit,
    Exposed,
    LimitFigure,
    LimitKind,
    LimitLevel,
    LimitRule,
    LimitScope,
    by_underlying,
    check,
    evaluate,
)

LIVE = LimitScope("live")


def rule(kind=LimitKind.EXPOSURE, breach="100", warn="80", *, id=1, scope=LIVE, hysteresis="5"):
    return LimitRule(id, kind, scope, D(breach), None if warn is None else D(warn), D(hysteresis))


def level(one, value, before=LimitLevel.OK, *, least=False):
    figure = LimitFigure(None if value is None else D(str(value)), least=least)
    (state,) = evaluate([one], {one.id: figure}, before={one.id: before})
    return state.level


class TestALimit:
    @pytest.mark.parametrize(
        ("value", "expected"), [(79, "ok"), (80, "warn"), ("99.9", "warn"), (100, "breach"), (101, "breach")]
    )
    def test_is_reached_at_its_threshold(self, value, expected):
        assert level(rule(), value) == expected

    @pytest.mark.parametrize(
        ("value", "before", "expected"),
        [(96, "breach", "breach"), (95, "breach", "warn"), (77, "warn", "warn"), (76, "warn", "ok"),
         (96, "warn", "warn"), (77, "breach", "warn"), (10, "breach", "ok")],
    )  # fmt: skip
    def test_is_left_only_when_the_figure_is_better_by_the_hysteresis(self, value, before, expected):
        assert level(rule(), value, LimitLevel(before)) == expected

    @pytest.mark.parametrize(
        ("value", "before", "expected"),
        [("20.1", "ok", "ok"), (20, "ok", "warn"), (10, "ok", "breach"), (-1, "ok", "breach"),
         ("10.4", "breach", "breach"), ("10.5", "breach", "warn"), (21, "warn", "ok")],
    )  # fmt: skip
    def test_of_distance_is_reached_from_above(self, value, before, expected):
        distance = rule(LimitKind.DISTANCE, "10", "20")
        assert level(distance, value, LimitLevel(before)) == expected

    @pytest.mark.parametrize("before", list(LimitLevel))
    def test_stays_where_it_is_while_the_figure_is_not_known(self, before):
        assert level(rule(), None, before) is before

    def test_is_raised_and_not_cleared_by_a_figure_of_which_parts_lack(self):
        assert level(rule(), 120, least=True) is LimitLevel.BREACH
        assert level(rule(), 10, LimitLevel.BREACH, least=True) is LimitLevel.BREACH

    def test_says_what_is_left_and_how_much_is_used(self):
        one = rule(LimitKind.DISTANCE, "10", "20")
        (state,) = evaluate([one], {1: LimitFigure(D(40))}, before={})
        assert (state.headroom, state.used_pct) == (30, 25)
        (state,) = evaluate([rule()], {1: LimitFigure(D(150))}, before={})
        assert (state.headroom, state.used_pct, state.exceeded) == (-50, 150, True)

    def test_that_is_breached_comes_first(self):
        rules = [rule(id=1), rule(LimitKind.LEVERAGE, "3", "2", id=2)]
        states = evaluate(rules, {1: LimitFigure(D(1)), 2: LimitFigure(D(9))}, before={})
        assert [state.rule.id for state in states] == [2, 1]

    @given(st.lists(st.decimals(D("95.1"), D("104"), places=1), max_size=50))
    def test_that_trembles_on_the_line_is_breached_once(self, values):
        known, breaches = LimitLevel.OK, 0
        for value in [D(100), *values]:
            after = level(rule(), value, known)
            breaches += after is LimitLevel.BREACH and known is not LimitLevel.BREACH
            known = after
        assert breaches == 1


class TestLimitsThatCannotBeMeant:
    @pytest.mark.parametrize(
        ("one", "field"),
        [(rule(breach="0", warn=None), "breach"), (rule(warn="100"), "warn"), (rule(warn="-1"), "warn"),
         (rule(LimitKind.DISTANCE, "10", "5"), "warn"),
         (rule(LimitKind.CONCENTRATION, "101", None), "breach"),
         (rule(LimitKind.DISTANCE, "100", None), "breach"), (rule(hysteresis="100"), "hysteresis_pct"),
         (rule(LimitKind.LEVERAGE, "3", None, scope=LimitScope("live", None, "BTC")), "asset"),
         (rule(scope=LimitScope("live", 1, "BTC")), "asset"), (rule(breach="NaN", warn=None), "breach")],
    )  # fmt: skip
    def test_are_refused_with_the_field(self, one, field):
        with pytest.raises(BadLimit) as refused:
            check([one])
        assert refused.value.field == field

    def test_are_two_of_one_thing(self):
        with pytest.raises(BadLimit, match="two limits of exposure"):
            check([rule(id=1), rule(id=2, breach="200")])

    def test_are_a_part_that_may_hold_more_than_the_whole(self):
        with pytest.raises(BadLimit, match="may be 200, but all together only 100"):
            check([rule(id=1), rule(id=2, breach="200", scope=LimitScope("live", None, "BTC"))])

    def test_are_fine_in_different_environments(self):
        check([rule(id=1), rule(id=2, breach="200", scope=LimitScope("simulated", 7))])


class TestExposureByUnderlying:
    def test_nets_spot_perpetual_and_inverse_in_units_and_in_money(self):
        held = [
            Exposed("BTC", D(2), D(120_000), spot=True),
            Exposed("BTC", D("-1.5"), D(-90_000), spot=False),
            Exposed("BTC", D("-0.5"), D(-30_000), spot=False),
            Exposed("PEPE", D(5000), D(50), spot=False),
        ]
        btc, pepe = by_underlying(held)
        assert (btc.underlying, btc.net_quantity, btc.net_value, btc.gross_value) == ("BTC", 0, 0, 240_000)
        assert (btc.spot_quantity, btc.derivative_quantity, btc.long_value) == (2, -2, 120_000)
        assert pepe.net_quantity == 5000

    def test_counts_what_is_not_known(self):
        (one,) = by_underlying([Exposed("BTC", D(1), None, spot=True)])
        assert (one.positions, one.unknown, one.net_value) == (1, 1, 0)
