"""What a snapshot writes: one rule of equity, one moment, and one account's trouble is its own."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from portfolio import pipeline, rollup
from portfolio.models import AccountSnapshot, PortfolioSnapshot, PositionSnapshot
from portfolio.snapshots import taking
from portfolio.snapshots.quality import Quality
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
    taking.take(now=now)
    return {
        one.account.label: one for one in AccountSnapshot.objects.filter(at=now).select_related("account")
    }


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

    def test_stands_beside_the_venues_with_the_wallets_that_it_covers(self, market, now):
        stated = observe.VenueStatement(wallet="perps", margin_balance=D("10497"))
        observe.venue_states(account=market.account, stated=[stated], as_of=now, now=now)
        snapshot = taken(now)["main"]
        assert (snapshot.equity, snapshot.venue_equity) == (D("10498.5"), D("10497"))
        assert snapshot.venue_wallets == ["perps"]


class TestASnapshot:
    def test_is_taken_of_a_coin_below_zero(self, market, now):
        """One sell without history."""
        market.mark(SPOT, "60000", now=now)
        market.fill("sell", "0.2", "60000", now=now, instrument=SPOT, wallet="spot")
        snapshot = taken(now)["main"]
        assert snapshot.open_positions == 2
        assert snapshot.exposure == D("0.5") * 61000 + D("0.2") * 60000

    def test_of_one_account_fails_alone_and_leaves_the_portfolio_incomplete(self, market, now):
        other = Market(now=now, label="other")
        other.fill("buy", "1", "60000", now=now)
        # A notional that no column holds: 1e19 × 61000.
        Position.objects.filter(account=other.account).update(quantity=D(10) ** 19)
        assert set(taken(now)) == {"main"}
        whole = PortfolioSnapshot.objects.get(environment="simulated", at=now)
        assert (whole.accounts, whole.accounts_incomplete) == (2, 1)
        assert (whole.equity, whole.equity_known) == (None, D("10498.5"))
        assert whole.quality & Quality.FAILED

    def test_has_a_row_of_each_open_position_with_the_features_of_models(self, market, now):
        taking.take(now=now + timedelta(minutes=90))
        [row] = PositionSnapshot.objects.all()
        assert (row.quantity, row.realized_pnl) == (D("0.5"), 0)
        assert row.time_held_minutes == 90
        market.mark(BTC, "61000", now=now + timedelta(minutes=90))
        taking.take(now=now + timedelta(minutes=91))
        row = PositionSnapshot.objects.order_by("at").last()
        assert (row.mark_price, row.unrealized_pnl) == (61000, 500)
        assert row.unrealized_pnl_pct == D("1.666667")
        assert row.position_size_norm == 1

    def test_says_that_a_price_is_old_and_then_that_it_is_not_known(self, market, now):
        def quality(minutes):
            taking.take(now=now + timedelta(minutes=minutes))
            row = PositionSnapshot.objects.get(at=now + timedelta(minutes=minutes))
            return row.quality, row.unrealized_pnl

        assert quality(0) == (Quality.COMPLETE, 500)
        assert quality(2) == (Quality.MARK_STALE, 500)
        assert quality(60) == (Quality.MARK_UNKNOWN, None)
        assert PortfolioSnapshot.objects.order_by("at").last().equity is None

    def test_of_the_portfolio_is_the_sum_of_its_accounts_and_never_mixes_environments(self, market, now):
        second = Market(now=now, label="second")
        second.fill("sell", "0.1", "62000", now=now, wallet="perps")
        live = Market(now=now, label="live", environment="live")
        live.fill("buy", "1", "60000", now=now)
        market.mark(BTC, "61000", now=now)
        taking.take(now=now)
        rows = {one.environment: one for one in PortfolioSnapshot.objects.all()}
        assert set(rows) == {"simulated", "live"}
        simulated = rows["simulated"]
        assert (simulated.accounts, simulated.open_positions) == (2, 2)
        assert simulated.exposure == D("0.6") * 61000
        assert simulated.net_exposure == D("0.4") * 61000
        mine = AccountSnapshot.objects.filter(account__environment="simulated")
        assert simulated.unrealized_pnl == sum(one.unrealized_pnl for one in mine) == 600

    def test_of_an_empty_portfolio_is_zeros(self, now):
        Market(now=now, label="empty")
        taking.take(now=now)
        row = PortfolioSnapshot.objects.get(environment="simulated")
        assert (row.equity, row.exposure, row.unrealized_pnl, row.open_positions) == (0, 0, 0, 0)


class TestTwoSchedulers:
    def test_write_one_snapshot(self, market, now):
        half = timedelta(seconds=30)
        assert taking.take(now=now, at_most_every=half).positions == 1
        assert taking.take(now=now + timedelta(seconds=2), at_most_every=half) == taking.NOTHING
        assert taking.take(now=now + timedelta(seconds=59), at_most_every=half).positions == 1

    def test_write_the_same_moment_once(self, market, now):
        taking.take(now=now)
        assert taking.take(now=now) == taking.NOTHING
        assert PositionSnapshot.objects.count() == 1


class TestByHand:
    def test_one_position_gets_a_row(self, market, now):
        row = taking.take_position(Position.objects.get(), now=now)
        assert row.unrealized_pnl == 500
        assert PositionSnapshot.objects.get().quantity == D("0.5")

    def test_a_closed_position_gets_none(self, market, now):
        market.fill("sell", "0.5", "61000", now=now, wallet="perps")
        assert taking.take_position(Position.objects.get(), now=now) is None
