import pytest
from django.utils import timezone

from positions import feeds, tasks
from positions.feeds import Feed, State
from positions.models import Account

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
