"""Each account's figures minute by minute: one rule of equity, and one account's trouble is its own."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from portfolio import pipeline, rollup, snapshots
from portfolio.models import Snapshot
from portfolio.totals import account_summaries
from positions import observe
from positions.book import Cause, Entry, Kind
from positions.models import Position
from tests.portfolio.market import BTC, SPOT, Market

pytestmark = pytest.mark.django_db


@pytest.fixture
def market(now):
    found = Market(now=now)
    found.book(
        Entry(kind=Kind.TRANSFER, cause=Cause.OPENING, venue_ref="open", time=now - timedelta(hours=1),
              leg=None, amount=D("10000"), currency="USDC", wallet="perps"),
        now=now,
    )  # fmt: skip
    found.fill("buy", "0.5", "60000", now=now, wallet="perps")
    found.mark(BTC, "61000", now=now)
    return found


def taken(now):
    snapshots.take(now=now)
    return {one.account.label: one for one in Snapshot.objects.filter(at=now).select_related("account")}


class TestAnAccountsEquity:
    def test_is_that_of_the_strip(self, market, now):
        snapshot = taken(now)["main"]
        totals = rollup.totals_of(
            pipeline.compute(now=now).sums, accounts=account_summaries.of_accounts(now=now)
        )
        assert snapshot.equity == D(totals["simulated"]["equity"]) == D("10498.5")
        assert snapshot.unrealized_pnl == D(500)

    def test_counts_coins_too(self, market, now):
        market.mark(SPOT, "60000", now=now)
        market.book(
            Entry(kind=Kind.TRANSFER, cause=Cause.DEPOSIT, venue_ref="coin", time=now, leg=None,
                  amount=D("0.1"), currency="BTC", wallet="spot"),
            now=now,
        )  # fmt: skip
        assert taken(now)["main"].equity == D("16498.5")

    def test_is_unknown_while_a_cost_is(self, market, now):
        market.fill("buy", "0.1", None, now=now, wallet="perps")
        snapshot = taken(now)["main"]
        assert (snapshot.equity, snapshot.unrealized_pnl) == (None, None)

    def test_stands_beside_the_venues_with_the_wallets_that_it_covers(self, market, now, as_viewer):
        stated = observe.VenueStatement(wallet="perps", margin_balance=D("10497"))
        observe.venue_states(account=market.account, stated=[stated], as_of=now, now=now)
        snapshot = taken(now)["main"]
        assert (snapshot.equity, snapshot.venue_equity) == (D("10498.5"), D("10497"))
        assert snapshot.venue_wallets == ["perps"]
        page = as_viewer.get("/portfolio/").content.decode()
        assert "10,498.50" in page
        assert "10,497.00" in page
        assert "perps" in page


class TestASnapshot:
    def test_is_taken_of_a_coin_below_zero(self, market, now):
        """One sell without history."""
        market.mark(SPOT, "60000", now=now)
        market.fill("sell", "0.2", "60000", now=now, instrument=SPOT, wallet="spot")
        snapshot = taken(now)["main"]
        assert snapshot.open_positions == 2
        assert snapshot.exposure == D("0.5") * 61000 + D("0.2") * 60000

    def test_of_one_account_fails_alone(self, market, now):
        other = Market(now=now, label="other")
        other.fill("buy", "1", "60000", now=now)
        Position.objects.filter(account=other.account).update(state="not a state")
        assert set(taken(now)) == {"main"}
