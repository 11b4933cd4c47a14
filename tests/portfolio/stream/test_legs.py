from decimal import Decimal

from portfolio.streaming.legs import Comparison, differing
from tests.portfolio.stream.reports import report


def book(scope="", **quantities):
    return {(symbol, "net"): (Decimal(quantity), scope) for symbol, quantity in quantities.items()}


BTC = ("BTC", "net")


class TestABook:
    def test_agrees_with_a_report_of_the_same_quantities(self):
        assert differing(report(BTC="1.5"), book(BTC="1.5")) == {}

    def test_differs_where_a_fill_is_missing(self):
        assert differing(report(BTC="1.5"), book(BTC="1")) == {BTC: (Decimal("1.5"), Decimal(1))}
        assert differing(report(BTC="1.5"), book()) == {BTC: (Decimal("1.5"), Decimal(0))}

    def test_differs_where_the_venue_is_flat_and_says_so(self):
        assert differing(report(), book(BTC="1")) == {BTC: (Decimal(0), Decimal(1))}

    def test_is_not_judged_by_what_was_not_observed(self):
        """Not observed is not flat."""
        assert differing(report(complete=False), book(BTC="1")) == {}
        assert differing(report(), book(scope="flx", BTC="1")) == {}


class TestAComparison:
    def test_waits_until_quantities_stand_still(self):
        comparison = Comparison()
        comparison.saw(report(BTC="1"), at=0.0)
        comparison.saw(report(BTC="2"), at=1.0)
        assert comparison.due(at=2.0, after=1.5) == []
        assert comparison.due(at=2.5, after=1.5) == [report(BTC="2")]
        assert comparison.due(at=9.0, after=1.5) == []

    def test_is_made_once_a_change(self):
        comparison = Comparison()
        comparison.saw(report(BTC="1"), at=0.0)
        comparison.due(at=2.0, after=1.5)
        comparison.saw(report(BTC="1"), at=3.0)
        assert comparison.due(at=9.0, after=1.5) == []

    def test_finds_a_difference_that_two_reports_show(self):
        comparison = Comparison()
        comparison.saw(report(BTC="2"), at=0.0)
        [first] = comparison.due(at=2.0, after=1.5)
        assert comparison.judge(first, book(BTC="1"), at=2.0) == {}
        [second] = comparison.due(at=4.0, after=1.5)
        assert comparison.judge(second, book(BTC="1"), at=4.0) == {BTC: (Decimal(2), Decimal(1))}
        assert comparison.due(at=9.0, after=1.5) == [], "asked for once"

    def test_forgets_a_difference_that_was_only_on_its_way(self):
        comparison = Comparison()
        comparison.saw(report(BTC="2"), at=0.0)
        [first] = comparison.due(at=2.0, after=1.5)
        comparison.judge(first, book(BTC="1"), at=2.0)
        [second] = comparison.due(at=4.0, after=1.5)
        assert comparison.judge(second, book(BTC="2"), at=4.0) == {}
        assert comparison.due(at=9.0, after=1.5) == []
