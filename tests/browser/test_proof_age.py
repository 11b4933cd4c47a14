"""A proof of before its account's feed stopped, in a real browser: grey, with an age that goes on."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from positions.sync import feeds
from positions.sync.feeds import Feed, State
from reconciliation.models import Verdict
from tests.browser.conftest import Site
from tests.browser.test_board import NBSP, cell, long, market, wait_until_live  # noqa: F401  (fixtures)
from tests.portfolio.market import BTC

pytestmark = pytest.mark.browser


@pytest.fixture
def proven(long):  # noqa: F811
    """The leg agreed with its venue 38 s ago, and the feed is live."""
    as_of = timezone.now() - timedelta(seconds=38)
    Verdict.objects.create(
        account=long.account, instrument_id=long.instruments[BTC], leg="net", status="SYNCED", as_of=as_of,
        changed_at=as_of,
    )  # fmt: skip
    tell(long, State.LIVE)
    return long


def tell(market, state):  # noqa: F811
    """Publish the account's feed, believed for a minute: nobody repeats it here."""
    now = timezone.now()
    feeds.tell(feed=Feed(account=market.account.pk, state=state, since=now, at=now + timedelta(minutes=1)))


class TestAProof:
    def test_turns_grey_with_an_age_that_goes_on_and_comes_back(self, site: Site, vera, proven):
        page = site.sign_in("vera")
        wait_until_live(page)
        chip, row = cell(page, "proof_label"), page.locator("[data-rows] tr").first
        assert chip.inner_text() == "Synced"
        page.locator('[data-t="proof"]').get_by_text("1 synced", exact=True).wait_for()
        tell(proven, State.STALE)
        page.locator("tr[data-aged]").wait_for(timeout=10_000)
        first = chip.inner_text()
        assert first.startswith("Synced ")
        assert first.endswith(f"{NBSP}s ago")
        assert chip.get_attribute("title").startswith("Synced at ")
        assert row.get_attribute("data-proof") == "SYNCED"
        expect(chip).not_to_have_text(first, timeout=5_000)
        page.locator('[data-t="proof"]').get_by_text("1 synced earlier").wait_for()
        tell(proven, State.LIVE)
        page.locator("tr:not([data-aged]) .chip").get_by_text("Synced", exact=True).wait_for(timeout=10_000)
        assert chip.get_attribute("title") is None
        assert site.complaints == []

    def test_is_painted_with_its_age_before_any_script(self, site: Site, vera, proven, browser):
        site.sign_in("vera")
        tell(proven, State.DOWN)
        state = site.context.storage_state()
        with browser.new_context(base_url=site.url, java_script_enabled=False, storage_state=state) as plain:
            page = plain.new_page()
            for path in ("/", f"/positions/{proven.account.positions.get().pk}/"):
                page.goto(path)
                shown = page.locator('[data-f="proof_label"]').first
                assert shown.inner_text().startswith("Synced "), path
                assert shown.inner_text().endswith(f"{NBSP}s ago"), path

    def test_says_its_age_on_the_positions_page_too(self, site: Site, vera, proven):
        page = site.sign_in("vera")
        page.goto(f"/positions/{proven.account.positions.get().pk}/")
        wait_until_live(page)
        assert page.locator('.page-head [data-f="proof_label"]').inner_text() == "Synced"
        tell(proven, State.DOWN)
        page.locator(".page-head [data-aged] .chip").wait_for(timeout=10_000)
        assert page.locator('.page-head [data-f="proof_label"]').inner_text().endswith(f"{NBSP}s ago")
