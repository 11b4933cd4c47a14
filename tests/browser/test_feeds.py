"""The table of feeds in a real browser: changes appear without a reload, and only they are sent."""

from datetime import timedelta

import pytest
from django.utils import timezone

from positions.sync import feeds
from positions.sync.feeds import Feed, State
from tests.browser.conftest import Site
from tests.browser.test_board import long, market, wait_until_live  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser


class TestAFeed:
    def tell(self, account, since, state, **more):
        """Publish the account's feed as its watcher would, as of now: what is older is not believed."""
        times = {"since": since, "last_event": since, "at": timezone.now()}
        feeds.tell(feed=Feed(account=account.pk, state=state, **times, **more))

    def test_that_changes_is_shown_at_once_with_its_progress_and_reason(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        since = timezone.now() - timedelta(minutes=3, seconds=10)
        self.tell(long.account, since, State.LIVE)
        page.goto(f"{site.url}/feeds/")
        row = page.locator(f'tr[data-account="{long.account.pk}"]')
        row.get_by_text("Live").wait_for()
        row.get_by_text("3 min").first.wait_for()
        wait_until_live(page)
        page.evaluate("window.stays = true")
        progress = {"feed": "fills", "booked": 500, "of": 9000}
        self.tell(long.account, since, State.BACKFILLING, reason="heard again", progress=progress)
        row.get_by_text("fills 500 of 9,000").wait_for()
        row.get_by_text("heard again").wait_for()
        assert page.evaluate("window.stays") is True
        assert site.complaints == []

    def test_that_does_not_change_is_not_sent_again(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        page.goto(f"{site.url}/feeds/")
        wait_until_live(page)
        for _ in range(2):
            with page.expect_response(lambda answer: "/feeds/table/" in answer.url and answer.status == 304):
                page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
