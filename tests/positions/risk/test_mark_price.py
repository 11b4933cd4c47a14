from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from positions.risk.mark_price import Freshness, Quote, best, shown

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
FIVE_MINUTES = timedelta(seconds=300)


def quote(price, source, seconds_ago=0.0):
    return Quote(Decimal(price), source, NOW - timedelta(seconds=seconds_ago))


class TestThePriceThatCounts:
    @pytest.mark.parametrize(
        ("quotes", "counts"),
        [
            (["mark", "mid", "last", "bybit"], "mark"),
            (["mid", "last", "bybit"], "mid"),
            (["last", "bybit"], "last"),
            (["bybit"], "bybit"),
        ],
    )
    def test_is_the_venues_mark_then_mid_then_last_then_a_reference(self, quotes, counts):
        found = best(quotes=[quote("100", source) for source in quotes])
        assert found.source == counts

    def test_is_the_newer_one_when_a_better_kind_has_frozen(self):
        """The mark stands still for 6 s while the mid moves: the mid is the truth."""
        assert best(quotes=[quote("100", "mark", 6), quote("101", "mid")]).source == "mid"
        assert best(quotes=[quote("100", "mark", 5), quote("101", "mid")]).source == "mark"

    def test_is_the_last_known_one_when_nothing_new_comes(self):
        assert best(quotes=[quote("100", "mid", 900), quote("99", "last", 2000)]).price == 100

    def test_is_none_where_none_is_known(self):
        assert best(quotes=[]) is None


class TestAPriceOnAPage:
    @pytest.mark.parametrize(
        ("age", "freshness"),
        [(0, Freshness.FRESH), (30, Freshness.FRESH), (30.1, Freshness.STALE), (300, Freshness.STALE)],
    )
    def test_is_stale_after_30_seconds(self, age, freshness):
        state = shown(quotes=[quote("100", "mid", age)], now=NOW, unknown_after=FIVE_MINUTES)
        assert (state.freshness, state.price) == (freshness, 100)

    def test_is_unknown_since_its_last_time_after_the_threshold(self):
        state = shown(quotes=[quote("100", "mid", 301)], now=NOW, unknown_after=FIVE_MINUTES)
        assert (state.freshness, state.price) == (Freshness.UNKNOWN, None)
        assert state.at == NOW - timedelta(seconds=301)

    def test_was_never_known(self):
        state = shown(quotes=[], now=NOW, unknown_after=FIVE_MINUTES)
        assert (state.freshness, state.price, state.at) == (Freshness.UNKNOWN, None, None)
