"""The chart of a position in a real browser: drawn from a venue's candles, or saying why it cannot be."""

import pytest
from django.utils import timezone

from positions.models import Position
from tests.browser.conftest import Site
from tests.browser.test_board import long, market, wait_until_live  # noqa: F401  (fixtures)
from tests.portfolio.market import BTC
from tests.reconciliation.stage import staged

pytestmark = pytest.mark.browser
BARS = """[...document.querySelectorAll('[data-waterfall] rect')].map((bar) => [
  Number(bar.getAttribute('x')), Number(bar.getAttribute('width')), bar.getAttribute('class'),
])"""


@pytest.fixture
def held(site: Site):
    """3 ETH long on a simulated venue, which the web process reaches too."""
    with staged() as stage:
        account = stage.account()
        stage.reconcile(account, trigger="start")
        stage.trade("ETH", "buy", 3)
        stage.wait(1)
        stage.reconcile(account)
        yield Position.objects.get(account=account, instrument__venue_symbol="ETH")


class TestTheWaterfall:
    def test_is_drawn_alike_by_the_browser_and_by_the_server(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        page.goto(f"/positions/{long.account.positions.get().pk}/")
        wait_until_live(page)
        before = page.evaluate(BARS)
        long.mark(BTC, "96000", now=timezone.now())
        page.wait_for_function(f"(before) => JSON.stringify({BARS}) !== JSON.stringify(before)", arg=before)
        moved = page.evaluate(BARS)
        page.reload()
        assert page.evaluate(BARS) == moved
        assert [kind for *_, kind in moved] == ["", "loss", "", "loss", "loss"]


class TestTheChart:
    def test_draws_candles_with_what_the_pointer_is_at(self, site: Site, vera, held):
        page = site.sign_in("vera")
        page.goto(f"/positions/{held.pk}/")
        wait_until_live(page)
        page.locator("[data-chart][data-drawn]").wait_for(timeout=10_000)
        assert page.locator("[data-chart] canvas").count() > 0
        assert "Close 3," in page.locator("[data-legend]").inner_text()
        assert page.locator("[data-chart-note]").inner_text() == ""
        assert site.complaints == []

    def test_that_has_no_prices_says_why_and_shows_no_empty_chart(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        page.goto(f"/positions/{long.account.positions.get().pk}/")
        page.locator("[data-chart-note]").get_by_text("The venue gave no prices").wait_for(timeout=10_000)
        assert not page.locator("[data-chart]").is_visible()
        assert site.complaints == []
