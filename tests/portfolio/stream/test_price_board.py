from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from portfolio.stream.price_board import PriceBoard, row
from positions.risk.mark_price import Freshness
from positions.sync.feed_queries import HeldInstrument
from positions.venues.base import VenueMark

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def mark(price, at=NOW, symbol="BTC", source="mid"):
    return VenueMark(venue_symbol=symbol, price=Decimal(price), source=source, time=at)


def held(size="2", symbol="BTC", instrument=1, liquidations=()):
    return HeldInstrument(
        instrument=instrument,
        priced_by=symbol,
        underlying=symbol,
        ratio=Decimal(1),
        quote="USDC",
        size=size and Decimal(size),
        liquidations=tuple((Decimal(quantity), Decimal(price)) for quantity, price in liquidations),
    )


@pytest.fixture
def board():
    """Somebody holds 2 BTC; the price of 100 was told."""
    board = PriceBoard(unknown_after=timedelta(seconds=300), held=[held()])
    board.take([mark("100")])
    board.tell(board.news(now=NOW), now=NOW)
    return board


class TestAPriceIsNews:
    def test_when_it_is_the_first(self):
        board = PriceBoard(unknown_after=timedelta(seconds=300), held=[held()])
        board.take([mark("100")])
        assert board.news(now=NOW)[1].price == 100

    def test_when_it_moves_profit_by_a_cent(self, board):
        """2 BTC × 0.005 USD = 0.01 USD."""
        board.take([mark("100.004", after(1))])
        assert board.news(now=after(1)) == {}
        board.take([mark("100.005", after(1))])
        assert board.news(now=after(1))[1].price == Decimal("100.005")

    def test_when_it_enters_another_risk_band(self):
        """A dust position, liquidated at 95.1: under 5 % away from 100.1 it is in danger."""
        board = PriceBoard(
            unknown_after=timedelta(seconds=300),
            held=[held(size="0.0001", liquidations=[("0.0001", "95.1")])],
        )
        board.take([mark("100.2")])
        board.tell(board.news(now=NOW), now=NOW)
        board.take([mark("100.15", after(1))])
        assert board.news(now=after(1)) == {}
        board.take([mark("100.1", after(1))])
        assert 1 in board.news(now=after(1))

    def test_whenever_it_moves_where_profit_is_not_linear(self, board):
        board.held = [held(size=None)]
        board.take([mark("100.0001", after(1))])
        assert 1 in board.news(now=after(1))

    def test_when_it_was_confirmed_and_5_seconds_have_passed(self, board):
        board.take([mark("100", after(4))])
        assert board.news(now=after(4)) == {}
        assert 1 in board.news(now=after(5))

    def test_when_it_grows_stale_and_when_it_is_no_longer_known(self, board):
        assert board.news(now=after(30)) == {}
        stale = board.news(now=after(31))
        assert stale[1].freshness is Freshness.STALE
        board.tell(stale, now=after(31))
        assert board.news(now=after(299)) == {}
        assert board.news(now=after(301))[1].price is None

    def test_only_of_what_somebody_holds(self, board):
        board.take([mark("3000", symbol="ETH")])
        assert board.news(now=NOW) == {}


class TestAPriceIsAskedFor:
    def test_every_second_where_nothing_streams(self):
        board = PriceBoard(unknown_after=timedelta(seconds=300), held=[held()])
        assert board.silent(now=NOW) == {"BTC"}
        board.asked_at = NOW
        board.take([mark("100")], streamed=False)
        assert board.silent(now=after(0.9)) == set()
        assert board.silent(now=after(1)) == {"BTC"}

    def test_where_the_stream_has_said_nothing_for_a_while(self, board):
        assert board.silent(now=after(2)) == set()
        assert board.silent(now=after(2.5)) == {"BTC"}

    def test_of_the_reference_venue_after_30_seconds_without_one_of_its_own(self, board):
        assert board.lost(now=after(30)) == []
        assert board.lost(now=after(31)) == board.held


class TestWhatIsWritten:
    def test_is_what_changed_since(self, board):
        board.take([mark("3000", symbol="ETH")])
        quotes = board.unwritten(everything=False)
        assert list(quotes) == ["BTC"]
        board.written.update(quotes)
        assert board.unwritten(everything=False) == {}
        assert list(board.unwritten(everything=True)) == ["ETH"]


class TestARow:
    def test_carries_money_as_text_and_unknown_as_none(self, board):
        assert row(1, board.told[1][0])["price"] == "100"
        [(instrument, state)] = board.news(now=after(301)).items()
        assert row(instrument, state) == {
            "instrument": 1,
            "price": None,
            "source": "mid",
            "at": NOW.isoformat(),
            "freshness": "unknown",
        }
