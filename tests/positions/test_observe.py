"""What venues show: instruments, marks, venue state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from positions import observe
from positions.book.world import World
from positions.models import Instrument, Mark, VenueState
from tests.positions.conftest import INSTRUMENTS, PERP, SPOT, VENUE
from tests.positions.facts import moment

pytestmark = pytest.mark.django_db


class TestInstruments:
    def test_bring_the_coins_that_are_no_par_currency(self, instruments):
        coins = Instrument.objects.filter(kind="asset").values_list("venue_symbol", flat=True)
        assert sorted(coins) == ["coin:BNB", "coin:BTC", "coin:ETH"]

    def test_written_again_change_nothing(self, instruments, now):
        later = now + timedelta(days=1)
        again = observe.instruments(world=World(VENUE, "live"), described=INSTRUMENTS, now=later)
        assert again == instruments
        assert not Instrument.objects.filter(updated_at=later).exists()

    def test_take_over_a_new_description(self, instruments, now):
        finer = replace(INSTRUMENTS[0], price_tick=Decimal("0.1"), details={"tiers": [1, 2]})
        observe.instruments(world=World(VENUE, "live"), described=[finer], now=now)
        row = Instrument.objects.get(venue_symbol=PERP)
        assert (row.price_tick, row.details) == (Decimal("0.1"), {"tiers": [1, 2]})

    def test_never_change_their_terms(self, instruments, now):
        other = replace(INSTRUMENTS[0], multiplier=Decimal(10))
        with pytest.raises(observe.TermsChanged, match=r"multiplier 1\.0+ → 10"):
            observe.instruments(world=World(VENUE, "live"), described=[other], now=now)

    def test_of_another_world_are_others(self, instruments, now):
        there = observe.instruments(world=World(VENUE, "testnet"), described=INSTRUMENTS, now=now)
        assert not set(there.values()) & set(instruments.values())

    def test_of_two_simulated_servers_are_others(self, now):
        worlds = [
            observe.instruments(world=World(VENUE, "simulated", url), described=INSTRUMENTS[:1], now=now)
            for url in ("http://a", "http://b")
        ]
        assert worlds[0] != worlds[1]


class TestMarks:
    def put(self, instruments, now, symbol, price, at):
        mark = observe.MarkPrice(
            instrument=instruments[symbol], price=Decimal(price), source="venue", at=moment(at)
        )
        observe.marks(prices=[mark], now=now)

    def test_keep_the_newest(self, instruments, now):
        for price, at in ((100, 1), (102, 3), (101, 2)):
            self.put(instruments, now, PERP, price, at)
        assert Mark.objects.get().price == 102

    def test_of_one_call_keep_the_newest_of_each(self, instruments, now):
        prices = [
            observe.MarkPrice(instrument=instruments[PERP], price=Decimal(p), source="venue", at=moment(at))
            for p, at in ((100, 1), (102, 3), (101, 2))
        ]
        observe.marks(prices=prices, now=now)
        assert Mark.objects.get().price == 102

    def test_of_a_pair_against_par_price_the_coin(self, instruments, now):
        self.put(instruments, now, SPOT, 60000, 1)
        assert Mark.objects.get(instrument__venue_symbol="coin:BTC").price == 60000

    def test_of_none_are_nothing(self, db, now):
        observe.marks(prices=[], now=now)
        assert not Mark.objects.exists()


class TestVenueState:
    def state(self, account, instruments, now, at, **given):
        stated = observe.VenueStatement(instrument=instruments[PERP], leg="net", **given)
        return observe.venue_states(account=account, stated=[stated], as_of=moment(at), now=now)

    def test_counts_revisions_of_its_content(self, account, instruments, now):
        assert self.state(account, instruments, now, 1, quantity=Decimal(1))[0].revision == 1
        assert self.state(account, instruments, now, 2, quantity=Decimal(1)) == []
        assert self.state(account, instruments, now, 3, quantity=Decimal(2))[0].revision == 2
        assert VenueState.objects.get().as_of == moment(3)

    def test_is_not_replaced_by_an_older_report(self, account, instruments, now):
        self.state(account, instruments, now, 5, quantity=Decimal(2))
        assert self.state(account, instruments, now, 4, quantity=Decimal(1)) == []
        assert VenueState.objects.get().quantity == 2

    def test_of_a_leg_that_is_not_named_stays(self, account, instruments, now):
        self.state(account, instruments, now, 1, quantity=Decimal(2))
        wallet = observe.VenueStatement(wallet="perp", margin_balance=Decimal(100))
        observe.venue_states(account=account, stated=[wallet], as_of=moment(2), now=now)
        assert sorted(VenueState.objects.values_list("quantity", flat=True), key=str) == [Decimal(2), None]

    def test_keeps_unknown_apart_from_zero(self, account, instruments, now):
        self.state(account, instruments, now, 1, quantity=Decimal(0))
        row = VenueState.objects.get()
        assert (row.quantity, row.leverage) == (0, None)
