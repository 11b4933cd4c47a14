import pytest
from django.utils import timezone

from positions import tasks
from positions.models import Account
from positions.sync import feed_words, feeds
from positions.sync.feeds import Feed, State
from positions.venues.base import Transient

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch):
    """The accounts that a round asked for."""
    found = []
    monkeypatch.setattr(
        tasks.poll_account_fills, "apply_async", lambda arguments, expires: found.append(arguments[0])
    )
    return found


@pytest.fixture
def accounts():
    made = [
        Account.objects.create(
            label=label, venue="hyperliquid", address="0x" + "1" * 40, created_at=timezone.now()
        )
        for label in ("watched", "not watched")
    ]
    return [account.pk for account in made]


class TestTheBeat:
    def test_leaves_accounts_to_the_stream_that_watches_them(self, asked, accounts):
        now = timezone.now()
        feeds.keep(feeds=[Feed(account=accounts[0], state=State.LIVE, since=now, at=now)])
        tasks.poll_fills()
        assert asked == [accounts[1]]

    def test_asks_for_all_where_no_stream_runs(self, asked, accounts):
        tasks.poll_fills()
        assert asked == accounts

    def test_does_not_spend_the_venues_budget_on_asking_again_at_once(self, asked, accounts, redis_server):
        tasks.poll_fills()
        tasks.poll_fills()
        assert asked == accounts
        # Two wallets, a list of weight 20 each, 30 a minute for all fills.
        assert 75_000 < redis_server.pttl(f"plumbline:polled:fills:{accounts[0]}") <= 80_000

    def test_asks_a_simulated_venue_as_often_as_it_likes(self, asked, accounts):
        Account.objects.update(environment="simulated", base_url="http://127.0.0.1:1")
        tasks.poll_fills()
        tasks.poll_fills()
        assert asked == accounts * 2

    def test_asks_for_prices_once_for_all_accounts_of_a_world(self, accounts, monkeypatch):
        asked = []
        monkeypatch.setattr(
            tasks.refresh_account_marks, "apply_async", lambda arguments, expires: asked.append(arguments[0])
        )
        tasks.refresh_marks()
        assert len(asked) == 1
        assert asked[0] in accounts


class TestAPoll:
    def test_that_fails_makes_the_accounts_feed_down_until_one_succeeds(self, accounts, monkeypatch):
        now = timezone.now()

        def refused(account, methods):
            raise Transient("429")

        monkeypatch.setattr(tasks, "_facts", lambda account, methods: None)
        monkeypatch.setattr(tasks, "_read_again", lambda account: None)
        tasks.poll_account_fills(accounts[0])
        assert feed_words.of({accounts[0]: False}, now=now) == {accounts[0]: "polled"}
        monkeypatch.setattr(tasks, "_facts", refused)
        tasks.poll_account_fills(accounts[0])
        assert feed_words.of({accounts[0]: False}, now=now) == {accounts[0]: "down"}
