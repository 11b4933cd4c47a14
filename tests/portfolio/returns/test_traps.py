"""The traps in which return figures are caught, each by name, and what holds of any history."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfolio.returns.curve import drawdowns, index, sharpe
from portfolio.returns.rates import TOO_SMALL, EquityPoint, Flow, merged, performance
from portfolio.returns.transfers import Transfer, in_transit, own_transfers

JAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def point(days, equity):
    return EquityPoint(JAN + days * DAY, None if equity is None else D(str(equity)))


def flow(days, amount, before):
    return Flow(JAN + days * DAY, D(str(amount)), None if before is None else D(str(before)))


class TestAnAccountAddedLate:
    def test_is_a_flow_at_its_equity_and_no_performance(self):
        found = performance(start=point(0, 1000), end=point(30, 51_100), flows=[flow(10, 50_000, 1100)])
        assert found.gain == 100
        assert found.time_weighted.value == D("0.1")

    def test_adds_nothing_where_it_is_the_first(self):
        found = performance(start=point(0, 0), end=point(30, 5000), flows=[flow(10, 5000, 0)])
        assert found.gain == 0
        assert found.time_weighted.value == 0
        assert found.money_weighted.value == 0


class TestAPortfolioNearlyAllWithdrawn:
    def test_earns_nothing_by_what_the_last_cent_does(self):
        found = performance(
            start=point(0, 10_000), end=point(30, "0.005"), flows=[flow(10, "-10499.99", 10_500)]
        )
        assert found.time_weighted.value == D("0.05")
        assert found.time_weighted.left_out == D("-0.005")

    def test_has_no_rate_where_next_to_nothing_earned_what_counts(self):
        found = performance(start=point(0, 10_000), end=point(30, 900), flows=[flow(10, "-10000", 10_000.5)])
        assert found.gain == 900
        assert found.time_weighted == (None, TOO_SMALL, None, D("899.5"))

    def test_lost_all_of_it_only_where_it_was_lost(self):
        lost = performance(start=point(0, 10_000), end=point(30, 0))
        assert lost.time_weighted.value == -1
        assert lost.money_weighted.value is None
        withdrawn = performance(start=point(0, 10_000), end=point(30, 0), flows=[flow(20, -10_000, 10_000)])
        assert withdrawn.time_weighted.value == 0


class TestATinyStart:
    def test_gives_no_rate_of_thousands_of_percent(self):
        found = performance(start=point(0, "0.01"), end=point(30, 101_000), flows=[flow(1, 100_000, "0.05")])
        assert found.gain == D("999.99")
        assert D("0.0099") < found.time_weighted.value < D("0.0101")
        assert D("0.009") < found.money_weighted.value < D("0.012")

    def test_alone_has_no_rate_at_all(self):
        found = performance(start=point(0, "0.01"), end=point(30, "0.03"))
        assert found.gain == D("0.02")
        assert found.time_weighted.why == found.money_weighted.why == TOO_SMALL


class TestOneMissingPriceAtAFlow:
    def test_leaves_the_money_and_says_which_flow(self):
        found = performance(start=point(0, 1000), end=point(30, 2100), flows=[flow(10, 1000, None)])
        assert found.gain == 100
        assert found.time_weighted.value is None
        assert found.time_weighted.why == "a mark is missing at the flow of 2026-01-11 00:00 UTC"
        assert found.money_weighted.value is not None

    def test_starts_the_index_again_so_that_no_fall_spans_it(self):
        points = [point(0, 1000), point(5, 900), point(15, 1900), point(20, 1800)]
        curve = index(points, [flow(10, 1000, None)])
        assert [(one.value, one.chain) for one in curve] == [
            (1, 0), (D("0.9"), 0), (1, 1), (D("0.947368421053"), 1),
        ]  # fmt: skip
        assert [fall.depth for fall in drawdowns(curve)] == [D("-0.1"), D("-0.052631578947")]
        assert all(fall.recovery is None for fall in drawdowns(curve))


class TestAGap:
    def test_is_shown_as_one_and_what_it_earned_is_not_lost(self):
        curve = index([point(0, 1000), point(1, None), point(2, 1200)])
        assert [one.value for one in curve] == [1, None, D("1.2")]


class TestAnUnknownStart:
    def test_makes_everything_unknown_and_says_so(self):
        found = performance(start=point(0, None), end=point(30, 1000))
        assert found.gain is None
        assert found.time_weighted.why == "equity is not known at the start"


class TestTheMoneyWeightedRate:
    def test_is_not_told_where_two_rates_explain_the_flows(self):
        found = performance(start=point(0, 1000), end=point(730, -1290), flows=[flow(438, -2300, 2300)])
        assert found.money_weighted == (None, "2 rates explain it equally well", None, 0)

    def test_is_not_annualised_under_a_year(self):
        assert performance(start=point(0, 100), end=point(364, 110)).money_weighted.annualised is None
        assert performance(start=point(0, 100), end=point(365, 110)).money_weighted.annualised == D("0.1")
        two = performance(start=point(0, 100), end=point(730, 121))
        assert two.time_weighted.annualised == two.money_weighted.annualised == D("0.1")


def moved(account, days, amount, asset="USDC", ref=""):
    value = D(str(amount))
    return Transfer(account, JAN + days * DAY, asset, value, value, ref or f"{account}/{days}")


class TestATransferOverMonthEnd:
    def test_is_no_flow_and_under_way_it_is_still_ours(self):
        sent, came = moved(1, 30.99, -1000), moved(2, 31.01, 999)
        (pair,) = own_transfers([came, sent])
        assert pair == (sent, came)
        assert in_transit([pair], at=JAN + 31 * DAY) == 999
        assert in_transit([pair], at=JAN + 30.98 * DAY) == in_transit([pair], at=JAN + 31.01 * DAY) == 0

    def test_that_is_booked_before_it_left_is_not_counted_twice(self):
        sent, came = moved(1, 1.002, -1000), moved(2, 1, 1000)
        (pair,) = own_transfers([sent, came])
        assert in_transit([pair], at=JAN + 1.001 * DAY) == -1000

    @pytest.mark.parametrize(
        ("account", "days", "amount", "asset"),
        [(1, 1.1, 1000, "USDC"), (2, 2.5, 1000, "USDC"), (2, 1.1, 980, "USDC"), (2, 1.1, 1001, "USDC"),
         (2, 1.1, 1000, "BTC")],
    )  # fmt: skip
    def test_pairs_with_nothing_that_is_not_the_same_money(self, account, days, amount, asset):
        assert own_transfers([moved(1, 1, -1000), moved(account, days, amount, asset)]) == []

    def test_is_paired_once(self):
        found = own_transfers([moved(1, 1, -500), moved(1, 1.1, -500), moved(2, 1.2, 500)])
        assert len(found) == 1


amounts = st.decimals(min_value=D(100), max_value=D(1_000_000), places=2)
rates = st.decimals(min_value=D("-0.5"), max_value=D("0.9"), places=4)
steps = st.lists(st.tuples(st.integers(1, 40), rates, st.decimals(D(-90), D(300), places=0)), max_size=8)


def lived(start, moves):
    """Return (start, end, flows, points) of capital that earns and flows by `moves`."""
    days, capital, flows, points = 0, start, [], [point(0, start)]
    for length, rate, percent in moves:
        days += length
        before = capital * (1 + rate)
        amount = before * percent / 100
        if percent:
            flows.append(Flow(JAN + days * DAY, amount, before))
        capital = before + amount
        points.append(EquityPoint(JAN + days * DAY, capital))
    end = EquityPoint(JAN + (days + 1) * DAY, capital)
    return points[0], end, flows, [*points, end]


class TestAnyHistory:
    @given(amounts, steps)
    def test_has_a_time_weighted_rate_that_flows_do_not_move(self, start, moves):
        one = lived(start, moves)
        without = lived(start, [(length, rate, D(0)) for length, rate, _ in moves])
        found = performance(start=one[0], end=one[1], flows=one[2]).time_weighted
        assume(found.value is not None and not found.left_out)
        alone = performance(start=without[0], end=without[1]).time_weighted
        assert abs(found.value - alone.value) < D("1e-9")

    @given(amounts, steps, st.decimals(D("0.01"), D(1000), places=2))
    def test_has_rates_that_do_not_depend_on_the_currency(self, start, moves, price):
        first, end, flows, _ = lived(start, moves)
        ours = performance(start=first, end=end, flows=flows)
        theirs = performance(
            start=first._replace(equity=first.equity * price),
            end=end._replace(equity=end.equity * price),
            flows=[Flow(one.at, one.amount * price, one.equity_before * price) for one in flows],
        )
        for name in ("time_weighted", "money_weighted"):
            one, other = getattr(ours, name).value, getattr(theirs, name).value
            assert one is None or other is None or abs(one - other) < D("1e-9")

    @given(amounts, steps)
    def test_ends_its_index_at_the_time_weighted_rate(self, start, moves):
        first, end, flows, points = lived(start, moves)
        found = performance(start=first, end=end, flows=flows).time_weighted
        assume(found.value is not None and not found.left_out)
        assert abs(index(points, flows)[-1].value - 1 - found.value) < D("1e-8")

    @given(amounts, steps)
    def test_foots_start_and_flows_and_gain_are_the_end(self, start, moves):
        first, end, flows, _ = lived(start, moves)
        found = performance(start=first, end=end, flows=flows)
        assert first.equity + found.flows + found.gain == end.equity

    @given(amounts, steps)
    def test_may_have_its_flows_split(self, start, moves):
        first, end, flows, _ = lived(start, moves)
        halves = [one._replace(amount=one.amount / 2) for one in flows for _ in range(2)]
        whole, split = (performance(start=first, end=end, flows=some) for some in (flows, halves))
        assert whole.time_weighted == split.time_weighted
        assert [one.at for one in merged(halves)] == [one.at for one in flows]

    @given(st.lists(rates, max_size=1))
    def test_of_less_than_two_rates_has_no_sharpe_ratio(self, few):
        assert sharpe(few) is None
