"""How feeds stand, in a real browser: what changes appears without a reload."""

from datetime import timedelta

import pytest
from django.utils import timezone

from positions.sync import feeds
from positions.sync.feeds import Feed, State
from tests.browser.conftest import Site
from tests.browser.test_board import long, market, wait_until_live  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser


class TestAFeed:
    def test_that_changes_is_shown_at_once_with_its_progress_and_reason(self, site: Site, vera, long):  # noqa: F811
        now = timezone.now()
        said = {"account": long.account.pk, "since": now - timedelta(minutes=3), "last_event": now}
        feeds.tell(feed=Feed(state=State.LIVE, at=now, **said))
        page = site.sign_in("vera")
        page.goto(f"{site.url}/feeds/")
        row = page.locator(f'tr[data-account="{long.account.pk}"]')
        row.get_by_text("Live").wait_for()
        row.get_by_text("3 min").wait_for()
        wait_until_live(page)
        page.evaluate("window.stays = true")
        progress = {"feed": "fills", "booked": 500, "of": 9000}
        feeds.tell(
            feed=Feed(
                state=State.BACKFILLING, at=timezone.now(), reason="heard again", progress=progress, **said
            )
        )
        row.get_by_text("fills 500 of 9,000").wait_for()
        row.get_by_text("heard again").wait_for()
        assert page.evaluate("window.stays") is True
        assert site.complaints == []
