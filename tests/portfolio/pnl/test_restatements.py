"""A closed day that changes leaves a row: what it was, what it is, why, by which entry, and who."""

from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from django.db import DatabaseError, transaction

from portfolio.models import Restatement
from portfolio.pnl.restatements import RestatedDay, note
from positions.models import Entry

pytestmark = pytest.mark.django_db


@pytest.fixture
def late(market, now):
    """A fill of three days ago that is booked now."""
    market.fill("buy", "1", "60000", now=now - timedelta(days=4))
    known = Entry.objects.get().sequence
    market.fill("sell", "1", "61000", now=now - timedelta(days=3))
    return known


def restated(now, counted, *, old="0", new="1000"):
    return RestatedDay(date(2026, 1, 12), now - timedelta(days=2), D(old), D(new), counted)


class TestARestatement:
    def test_names_the_entry_that_came_late_and_its_source(self, market, late, now):
        [row] = note(market.account, [restated(now, late)], now=now)
        assert (row.old, row.new, row.who) == (0, 1000, "test")
        assert row.entry == Entry.objects.order_by("sequence").last()
        assert row.why.startswith("late Fill of −1 BTC/USDC:USDC, booked ")

    def test_is_not_written_for_a_day_that_stays(self, market, late, now):
        assert note(market.account, [restated(now, late, old="5", new="5.0")], now=now) == []

    def test_without_a_new_entry_says_that_a_value_became_known(self, market, late, now):
        last = Entry.objects.order_by("sequence").last().sequence
        [row] = note(market.account, [restated(now, last)], now=now)
        assert row.entry is None
        assert "became known later" in row.why

    def test_is_never_changed_nor_taken_back(self, market, late, now):
        note(market.account, [restated(now, late)], now=now)
        for change in (
            lambda: Restatement.objects.update(old=1),
            lambda: Restatement.objects.all().delete(),
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                change()
        assert Restatement.objects.get().old == 0
