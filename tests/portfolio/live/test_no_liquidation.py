"""A leg that no price can liquidate is safe, and is not counted among those of unknown distance."""

import pytest
from django.utils import timezone

from portfolio import rollup
from portfolio.live import rows
from portfolio.live.held_rows import held_book
from positions import observe, queries
from positions.book import Leg
from positions.book.contracts import Contract, ContractKind
from positions.venues.base import VenueInstrument
from positions.venues.hyperliquid import rows as venue_rows
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db
LEG = {"szi": "0.5", "entryPx": "60000", "leverage": {"type": "cross", "value": 5}}


@pytest.fixture
def market():
    now = timezone.now()
    found = Market(now=now)
    found.fill("buy", "0.5", "60000", now=now)
    found.mark(BTC, "61000", now=now)
    return found


def shown(market, **stated):
    now = timezone.now()
    one = observe.VenueStatement(instrument=market.instruments[BTC], leg="net", **stated)
    observe.venue_states(account=market.account, stated=[one], as_of=now, now=now)
    held = queries.open_positions()
    [row] = rows.rows(held, now=now)
    [totals] = rollup.totals(rows=held_book(now=now, since=now).rows).values()
    return row, totals


class TestALegThatNoPriceLiquidates:
    def test_is_safe_where_the_venue_says_so(self, market):
        row, totals = shown(market, margin_mode="cross", no_liquidation=True)
        assert (row["risk"], row["liquidation_price"], row["liquidation_distance_pct"]) == (
            "none",
            None,
            None,
        )
        assert totals["nearest_note"] == "no position that can be liquidated"

    def test_is_unknown_where_nobody_says_so(self, market):
        row, totals = shown(market, margin_mode="cross")
        assert row["risk"] == "unknown"
        assert totals["nearest_note"] == "1 leveraged, not known"


class TestAHyperliquidRow:
    @pytest.fixture
    def instrument(self):
        contract = Contract(kind=ContractKind.LINEAR, base="BTC", quote="USDC", settle="USDC")
        return VenueInstrument(venue_symbol="BTC", symbol=BTC, contract=contract)

    def test_with_a_null_says_that_no_price_does(self, instrument):
        leg = {
            "szi": "0.5",
            "entryPx": "60000",
            "liquidationPx": None,
            "leverage": {"type": "cross", "value": 5},
        }
        found = venue_rows.position({"position": leg}, instrument)
        assert (found.no_liquidation, found.leg) == (True, Leg.NET)

    def test_without_the_field_says_nothing(self, instrument):
        assert not venue_rows.position({"position": LEG}, instrument).no_liquidation
