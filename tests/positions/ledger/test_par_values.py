"""What a fact in another currency was worth is fixed when it is booked, or unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from positions import observe
from positions.models import Position
from tests.positions.conftest import PERP, SPOT
from tests.positions.facts import fill, moment

pytestmark = pytest.mark.django_db


class TestParValues:
    def price(self, instruments, now, symbol: str, price: str, at: float) -> None:
        mark = observe.MarkPrice(
            instrument=instruments[symbol], price=Decimal(price), source="test", at=moment(at)
        )
        observe.marks(prices=[mark], now=now)

    def test_are_fixed_when_first_booked(self, book, instruments, now):
        self.price(instruments, now, SPOT, "60000", 0)
        book(fill("buy 10 @ 0.05 fee 0 USDC", at=30, instrument="ETH/BTC"))
        eth = Position.objects.get(instrument__symbol="ETH")
        assert (eth.quantity, eth.entry_price) == (10, 3000)
        self.price(instruments, now, SPOT, "70000", 40)
        book(fill("buy 10 @ 0.05 fee 0 USDC", at=45, instrument="ETH/BTC"))
        eth.refresh_from_db()
        assert eth.entry_price == 3250

    def test_are_unknown_without_a_mark_within_60_s(self, book, instruments, now):
        self.price(instruments, now, SPOT, "60000", 0)
        book(fill("buy 10 @ 0.05 fee 0 USDC", at=61, instrument="ETH/BTC"))
        eth = Position.objects.get(instrument__symbol="ETH")
        assert (eth.entry_price, eth.open_cost) == (None, None)

    def test_value_a_fee_in_a_third_currency(self, book, instruments, now):
        self.price(instruments, now, "BNB/USDC", "300", 0)
        book(fill("buy 1 @ 60000 fee 0.01 BNB", at=1))
        row = Position.objects.get(instrument__symbol=PERP)
        assert (row.fees, row.net_pnl, row.unknown_count) == ({"BNB": "0.01"}, -3, 0)
