"""The portfolio's page in a real browser: its chart is drawn, its range is in the address."""

from datetime import timedelta

import pytest
from django.utils import timezone

from portfolio.snapshots import taking
from tests.browser.conftest import Site
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.browser


@pytest.fixture
def history(site: Site):
    now = timezone.now()
    market = Market(now=now - timedelta(hours=1))
    market.fill("buy", "0.5", "60000", now=now - timedelta(minutes=31))
    for minute in (*range(30, 20, -1), *range(15, 0, -1)):
        at = now - timedelta(minutes=minute)
        market.mark(BTC, str(61000 + 7 * minute), now=at)
        taking.take(now=at)
    return market


class TestThePage:
    def test_draws_equity_and_keeps_the_range_in_the_address(self, site: Site, vera, history):
        page = site.sign_in("vera")
        page.goto(f"{site.url}/portfolio/?range=1h")
        page.locator("[data-drawn] canvas").first.wait_for()
        assert "Equity" in page.locator("[data-legend]").inner_text()
        page.get_by_role("link", name="24h").click()
        page.wait_for_url("**range=24h**")
        page.locator("[data-drawn] canvas").first.wait_for()
        page.locator('[data-set-theme="dark"]').evaluate("button => button.click()")
        page.get_by_text("Without snapshots:").wait_for()
        assert site.complaints == []

    def test_sends_a_file_from_the_real_server(self, site: Site, vera, history):
        page = site.sign_in("vera")
        page.goto(f"{site.url}/portfolio/?range=1h")
        with page.expect_download() as download:
            page.get_by_role("link", name="Minutes as CSV").click()
        lines = download.value.path().read_text().splitlines()
        assert lines[0].startswith("environment,at,quality")
        assert len(lines) == 26

    def test_is_tables_without_scripts(self, web_url, browser, site: Site, vera, history):
        cookies = site.sign_in("vera").context.cookies()
        with browser.new_context(java_script_enabled=False) as context:
            context.add_cookies(cookies)
            page = context.new_page()
            page.goto(f"{site.url}/portfolio/?range=1h")
            assert page.get_by_role("region", name="Equity over time").locator("tbody tr").count() > 10
            assert not page.locator("[data-chart]").is_visible()

    def test_fits_a_phone(self, site: Site, vera, history):
        page = site.sign_in("vera")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(f"{site.url}/portfolio/?range=1h&by=day")
        page.locator("[data-drawn] canvas").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
