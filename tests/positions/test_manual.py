"""Positions kept by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from positions import ingest, manual, observe
from positions.models import Account, Entry, Position, VenueState
from tests.positions.conftest import PERP, assert_rebuild_changes_nothing
from tests.positions.facts import fill

pytestmark = pytest.mark.django_db
BY = manual.Actor(who="tom", source="page", trace_id="trace-0001", reason="moved to a cold wallet")


def opened(now, **given):
    done = manual.open_position(
        **{
            "symbol": "BTC/USD",
            "quantity": Decimal(2),
            "price": Decimal(60000),
            "by": BY,
            "now": now,
            **given,
        }
    )
    return Position.objects.get(pk=done.positions[0]["id"])


class TestOpeningByHand:
    def test_goes_to_the_manual_account_long_at_leverage_1(self, db, now):
        row = opened(now)
        assert (row.account.venue, row.account.is_manual, row.quantity) == ("manual", True, 2)
        assert VenueState.objects.get().leverage == 1
        event = row.events.get()
        assert (event.who, event.source, event.reason) == ("tom", "page", "moved to a cold wallet")
        assert_rebuild_changes_nothing(row.account, now)

    def test_can_be_short(self, db, now):
        assert opened(now, side="short").quantity == -2

    def test_adds_to_a_position_of_the_same_side(self, db, now):
        opened(now)
        assert opened(now, price=Decimal(62000)).entry_price == 61000

    def test_never_reduces_one_of_the_other_side(self, db, now):
        opened(now)
        with pytest.raises(manual.ManualRefusal, match="reduce or close position"):
            opened(now, side="short")

    def test_at_an_unknown_price_has_an_unknown_entry(self, db, now):
        row = opened(now, price=None)
        assert (row.entry_price, row.open_cost) == (None, None)

    def test_twice_under_one_reference_happens_once(self, db, now):
        opened(now, reference="r1")
        again = manual.open_position(
            symbol="BTC/USD", quantity=Decimal(2), price=Decimal(1), by=BY, now=now, reference="r1"
        )
        assert again.results[0].outcome is ingest.EntryOutcome.DUPLICATE
        assert Entry.objects.count() == 1

    def test_on_a_connected_account_needs_a_symbol_of_the_venue(self, account, now):
        row = opened(now, account=account, symbol=PERP)
        assert row.account == account
        with pytest.raises(manual.ManualRefusal, match="testex has no DOGE"):
            opened(now, account=account, symbol="DOGE")

    def test_uses_one_manual_account(self, db, now):
        opened(now)
        opened(now, symbol="ETH/USD")
        assert Account.objects.count() == 1


class TestReducingByHand:
    def test_takes_a_part_off(self, db, now):
        row = opened(now)
        manual.reduce(position=row.pk, quantity=Decimal("0.5"), price=Decimal(61000), by=BY, now=now)
        row.refresh_from_db()
        assert (row.status, row.quantity, row.realized_pnl) == ("REDUCED", Decimal("1.5"), 500)

    def test_refuses_more_than_there_is(self, db, now):
        with pytest.raises(manual.ManualRefusal, match="has 2, not 3"):
            manual.reduce(position=opened(now).pk, quantity=Decimal(3), price=Decimal(61000), by=BY, now=now)

    def test_refuses_a_version_that_is_not_the_current_one(self, db, now):
        row = opened(now)
        opened(now)
        with pytest.raises(ingest.StaleVersion) as stale:
            manual.close(position=row.pk, price=Decimal(1), by=BY, now=now, expected_version=1)
        assert (stale.value.expected, stale.value.actual) == (1, 2)
        assert stale.value.state["quantity"].startswith("4")


class TestClosingByHand:
    def test_takes_all_that_is_left(self, db, now):
        row = opened(now, side="short")
        manual.close(position=row.pk, price=Decimal(59000), by=BY, now=now)
        row.refresh_from_db()
        assert (row.status, row.quantity, row.realized_pnl) == ("CLOSED", 0, 2000)
        with pytest.raises(manual.ManualRefusal, match="is closed"):
            manual.close(position=row.pk, price=Decimal(59000), by=BY, now=now)

    def test_uses_the_mark_when_no_price_is_given(self, db, now):
        row = opened(now)
        with pytest.raises(manual.ManualRefusal, match="say the price"):
            manual.close(position=row.pk, by=BY, now=now)
        price = observe.MarkPrice(instrument=row.instrument_id, price=Decimal(63000), source="test", at=now)
        observe.marks(prices=[price], now=now)
        manual.close(position=row.pk, by=BY, now=now)
        row.refresh_from_db()
        assert row.realized_pnl == 6000

    def test_of_a_coin_books_a_sale_on_its_par_pair(self, account, book, now):
        book(fill("buy 2 @ 60000 fee 0 USDC", at=1, instrument="BTC/USDC"))
        row = Position.objects.get()
        manual.close(position=row.pk, price=Decimal(61000), by=BY, now=now)
        row.refresh_from_db()
        assert (row.status, row.realized_pnl) == ("CLOSED", 2000)
