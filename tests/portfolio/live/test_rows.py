"""A position as the board's row."""

from datetime import timedelta

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portfolio.live import rows
from positions.models import Account, Environment
from positions.sync import feed_words, feeds
from positions.sync.feeds import Feed, State
from reconciliation.models import Verdict
from tests.portfolio.market import BTC, ETH, SPOT, Market


@pytest.fixture
def long(market, now):
    """0.5 BTC bought at 96,240, marked at 97,412.5."""
    market.fill("buy", "0.5", "96240", now=now)
    market.mark(BTC, "97412.5", now=now)
    market.state(BTC, now=now, leverage="5", liquidation_price="81904.2")
    return market


NBSP = "\N{NO-BREAK SPACE}"


def tell(account, state, at):
    """The account's watcher says how its feed stands, at a time."""
    feeds.keep(feeds=[Feed(account=account.pk, state=State(state), since=at, at=at)])


def only(now):
    [row] = rows.board(now=now)
    return row


class TestALong:
    def test_is_named_as_traders_do(self, long, now):
        row = only(now)
        assert (row["name"], row["kind"], row["side_label"], row["size_asset"]) == (
            "BTC-PERP",
            "USDC",
            "Long",
            "BTC",
        )
        assert (row["venue"], row["account"], row["environment"]) == ("Hyperliquid", "main", "simulated")

    def test_is_worth_what_the_mark_says(self, long, now):
        row = only(now)
        assert (row["quantity"], row["entry_price"], row["mark_price"]) == ("0.5", "96240", "97412.5")
        assert (row["notional"], row["unrealized_pnl"]) == ("48706.25", "586.25")
        assert row["unrealized_pnl_pct"].startswith("1.2183")

    def test_shows_what_was_paid(self, long, now):
        row = only(now)
        assert (row["realized_pnl"], row["fees"], row["fees_title"]) == ("0", "1.5", "1.5 USDC")

    def test_shows_the_venues_liquidation_price_and_the_distance_to_it(self, long, now):
        row = only(now)
        assert (row["leverage"], row["liquidation_price"], row["risk"]) == ("5", "81904.2", "safe")
        assert row["liquidation_distance_pct"].startswith("15.92")

    def test_shows_no_liquidation_while_the_venues_report_is_of_the_other_side(self, long, now):
        """Flipped a second ago: the venue's last report is of the short."""
        long.state(BTC, now=now + timedelta(seconds=1), quantity="-0.5", liquidation_price="200525.8")
        row = only(now)
        assert (row["liquidation_price"], row["liquidation_distance_pct"], row["leverage"]) == (
            None,
            None,
            None,
        )

    def test_is_in_danger_five_percent_away(self, long, now):
        long.state(BTC, now=now + timedelta(seconds=1), liquidation_price="93000")
        assert only(now)["risk"] == "danger"

    def test_leaves_as_json_without_loss(self, long, now):
        row = only(now)
        assert orjson.loads(orjson.dumps(row)) == row


class TestAShort:
    def test_is_negative_and_gains_when_the_price_falls(self, market, now):
        market.fill("sell", "38", "3412.6", now=now, instrument=ETH)
        market.mark(ETH, "3371.9", now=now)
        row = only(now)
        assert (row["side"], row["quantity"], row["unrealized_pnl"]) == ("short", "-38", "1546.6")
        assert row["notional"] == "128132.2"


class TestAPositionWithUnknowns:
    def test_without_a_mark_is_not_valued(self, market, now):
        market.fill("buy", "1", "100", now=now)
        row = only(now)
        for name in (
            "mark_price",
            "mark_at",
            "notional",
            "unrealized_pnl",
            "liquidation_price",
            "liquidation_distance_pct",
        ):
            assert row[name] is None, name
        assert row["risk"] == "unknown"

    def test_bought_at_an_unknown_price_has_no_entry_no_profit_and_no_fee(self, market, now):
        market.fill("buy", "1", None, now=now)
        market.mark(BTC, "97000", now=now)
        row = only(now)
        assert (row["entry_price"], row["unrealized_pnl"], row["fees"]) == (None, None, None)
        assert row["notional"] == "97000"
        assert row["fees_title"] == "1 unknown"


class TestACoin:
    def test_has_no_liquidation_price_and_the_mark_of_its_pair(self, market, now):
        market.mark(SPOT, "97410", now=now)
        market.fill("buy", "0.35", "88150", now=now, instrument=SPOT)
        row = only(now)
        assert (row["name"], row["kind"], row["risk"]) == ("BTC", "spot", "none")
        assert (row["mark_price"], row["quantity"]) == ("97410", "0.35")


class TestProof:
    @pytest.fixture
    def verdict(self, long, now):
        return Verdict.objects.create(
            account=long.account,
            instrument_id=long.instruments[BTC],
            leg="net",
            status="SYNCED",
            as_of=now,
            changed_at=now,
        )

    def test_is_not_there_before_the_first_comparison(self, long, now):
        assert (only(now)["proof"], only(now)["proof_label"]) == ("PENDING", "Not proven yet")

    def test_is_the_last_verdict(self, verdict, now):
        tell(verdict.account, "live", now)
        assert only(now)["proof_label"] == "Synced"

    def test_runs_out_after_three_intervals(self, verdict, now, settings):
        settings.RECONCILIATION_INTERVAL = 60
        assert only(now + timedelta(seconds=180))["proof"] == "SYNCED"
        assert only(now + timedelta(seconds=181))["proof"] == "PENDING"

    def test_is_of_now_while_the_feed_tells_what_happens(self, verdict, now):
        tell(verdict.account, "live", now)
        row = rows.painted(only(now), now=now)
        assert (row["feed"], row["proof_label"], row["proof_text"]) == ("live", "Synced", "Synced")
        assert not row["aged"]

    @pytest.mark.parametrize("state", ["backfilling", "stale", "down"])
    def test_is_shown_with_its_age_while_the_feed_does_not(self, verdict, now, state):
        tell(verdict.account, state, now + timedelta(seconds=40))
        later = now + timedelta(seconds=40)
        row = rows.painted(only(later), now=later)
        assert (row["proof"], row["feed"], row["aged"]) == ("SYNCED", state, True)
        assert row["proof_text"] == f"Synced 40{NBSP}s ago"
        assert row["proof_label"] == f"Synced at {now:%H:%M:%S} UTC"
        assert row["proof_at"] == now.isoformat()

    def test_is_aged_within_seconds_of_its_streams_last_word(self, verdict, now):
        """The process that watched has died: nobody says that the feed is down."""
        tell(verdict.account, "live", now)
        assert only(now + timedelta(seconds=5))["feed"] == "live"
        assert only(now + timedelta(seconds=6))["feed"] == "down"

    def test_is_of_now_where_the_account_is_polled_and_aged_once_that_fails(self, verdict, now):
        account = verdict.account.pk
        feeds.note_poll(account=account, read_at=now)
        assert only(now)["feed"] == "polled"
        feeds.note_poll(account=account, read_at=None)
        assert only(now)["feed"] == "down"
        feeds.note_poll(account=account, read_at=now)
        assert only(now)["feed"] == "polled"
        assert only(now + timedelta(seconds=31))["feed"] == "down"

    def test_of_an_account_without_venue_has_no_feed(self, long, now):
        assert feed_words.of({long.account.pk: True}, now=now) == {long.account.pk: "none"}

    def test_of_a_drift_does_not_run_out(self, verdict, now):
        Verdict.objects.update(status="DRIFT")
        assert only(now + timedelta(days=1))["proof"] == "DRIFT"


class TestTheBoard:
    def test_leaves_out_what_is_closed(self, long, now):
        long.fill("sell", "0.5", "97000", now=now + timedelta(seconds=1))
        assert rows.board(now=now) == []

    def test_is_read_in_as_few_queries_for_many_as_for_one(self, long, now):
        with CaptureQueriesContext(
            connection,
        ) as one:
            rows.board(now=now)
        long.fill("buy", "1", "3400", now=now, instrument=ETH)
        long.fill("buy", "1", "97000", now=now, instrument=SPOT)
        with CaptureQueriesContext(connection) as many:
            assert len(rows.board(now=now)) == 3
        assert len(many) <= len(one) + 1  # coins without a mark of their own cost one more

    def test_knows_the_environments_of_accounts_in_use(self, market, now):
        Market(now=now, label="real", environment=Environment.LIVE)
        Account.objects.create(label="old", venue="okx", environment="testnet", enabled=False, created_at=now)
        assert sorted(rows.environments()) == ["live", "simulated"]


class TestTheAgeOfAMark:
    def test_is_counted_from_its_time(self, long, now):
        fresh = rows.painted(only(now), now=now + timedelta(seconds=30))
        old = rows.painted(only(now), now=now + timedelta(seconds=31))
        assert (fresh["age"], fresh["stale"], old["stale"]) == (30, False, True)

    def test_beyond_belief_makes_it_unknown_since_its_time(self, long, now, settings):
        later = now + timedelta(seconds=settings.PRICE_STALENESS_THRESHOLD + 1)
        row = rows.painted(only(later), now=later)
        assert (row["mark_price"], row["unrealized_pnl"], row["liquidation_distance_pct"], row["risk"]) == (
            None, None, None, "unknown",
        )  # fmt: skip
        assert (row["mark_at"], row["stale"]) == (now.isoformat(), True)

    def test_is_unknown_and_stale_where_the_mark_is_unknown(self, market, now):
        market.fill("buy", "1", "100", now=now)
        row = rows.painted(only(now), now=now)
        assert (row["age"], row["stale"]) == (None, True)
