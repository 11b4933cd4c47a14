from decimal import Decimal

from reconciliation.rules.compare import Difference, DifferenceKind, Tolerance
from reconciliation.rules.report_legs import OpenLeg, unexplained_legs
from tests.portfolio.stream.reports import report

BTC = ("BTC", "net")
TOLERANCE = Tolerance(quantity_step=Decimal("0.001"), price_tick=Decimal("0.01"))
OTHER_AVERAGE = TOLERANCE._replace(same_average=False)


def book(quantity, entry_price=None, *, scope="", tolerance=TOLERANCE):
    price = None if entry_price is None else Decimal(entry_price)
    return {BTC: OpenLeg(Decimal(quantity), price, scope, tolerance)}


def of_size(kind, booked, stated):
    return {BTC: Difference(kind, Decimal(booked), Decimal(stated))}


class TestAnOpenLeg:
    def test_is_explained_by_a_report_of_the_same_quantity(self):
        assert unexplained_legs(report(BTC="1.5"), book("1.5")) == {}

    def test_lacks_a_fact_where_the_report_states_another_quantity(self):
        assert unexplained_legs(report(BTC="1.5"), book(1)) == of_size(DifferenceKind.QUANTITY, 1, "1.5")

    def test_lacks_a_fact_where_the_report_states_one_that_the_book_does_not_have(self):
        assert unexplained_legs(report(BTC="1.5"), {}) == of_size(DifferenceKind.MISSING_IN_BOOK, 0, "1.5")

    def test_lacks_a_fact_where_the_report_proves_that_it_is_flat(self):
        assert unexplained_legs(report(), book(1)) == of_size(DifferenceKind.MISSING_AT_VENUE, 1, 0)
        assert unexplained_legs(report(BTC="0"), book(1)) == of_size(DifferenceKind.MISSING_AT_VENUE, 1, 0)

    def test_is_not_judged_by_a_report_that_does_not_cover_it(self):
        """Not observed is not flat."""
        assert unexplained_legs(report(complete=False), book(1)) == {}
        assert unexplained_legs(report(), book(1, scope="flx")) == {}

    def test_is_judged_by_its_row_in_a_report_that_is_not_complete(self):
        shown = unexplained_legs(report(complete=False, BTC="2"), book(1))
        assert shown == of_size(DifferenceKind.QUANTITY, 1, 2)

    def test_lacks_a_fact_however_small_the_difference_in_size_is(self):
        """A tolerated difference is no drift, and yet a fill that nobody read."""
        tolerant = TOLERANCE._replace(size_share=Decimal("0.5"))
        [shown] = unexplained_legs(report(BTC="1.001"), book(1, tolerance=tolerant)).values()
        assert (shown.kind, shown.drift) == (DifferenceKind.QUANTITY, False)

    def test_lacks_a_fact_where_the_entry_price_is_more_than_a_thousandth_off(self):
        ours = book(1, 100)
        assert unexplained_legs(report(BTC="1", entry_price="100.1"), ours) == {}
        assert unexplained_legs(report(BTC="1", entry_price="100.11"), ours) == {
            BTC: Difference(DifferenceKind.ENTRY_PRICE, Decimal(100), Decimal("100.11"))
        }

    def test_is_explained_whatever_its_entry_price_where_the_venue_averages_otherwise(self):
        assert (
            unexplained_legs(report(BTC="1", entry_price="90"), book(1, 100, tolerance=OTHER_AVERAGE)) == {}
        )

    def test_is_explained_where_an_entry_price_is_unknown(self):
        assert unexplained_legs(report(BTC="1"), book(1, 100)) == {}
        assert unexplained_legs(report(BTC="1", entry_price="90"), book(1)) == {}
