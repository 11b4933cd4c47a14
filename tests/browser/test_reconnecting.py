"""The page through faults: the web process restarted, the tab hidden, prices that stop while it is live."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from portfolio import pipeline
from tests.browser import server
from tests.browser.conftest import Site
from tests.browser.test_board import cell, long, market, wait_for, wait_until_live  # noqa: F401  (fixtures)
from tests.portfolio.market import BTC, ETH
from tests.positions.api.test_balances import opening

pytestmark = pytest.mark.browser
MS = 60_000

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  const state = () => (hidden ? "hidden" : "visible");
  Object.defineProperty(document, "visibilityState", { configurable: true, get: state });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
PAUSES = """async () => {
  const { pauseBefore } = await import("/static/js/live.js");
  const tries = [0, 1, 2, 3, 10, 1000];
  return [tries.map((n) => pauseBefore(n, () => 0)), tries.map((n) => pauseBefore(n, () => 1))];
}"""


OLDEST = """() => Number(document.querySelector('[data-t="oldest"]').textContent.match(/\\d+/)[0])"""


def silenced(page):
    """Return what stops all frames to the page from then on, while its socket stays open."""
    silent = []

    def relay(socket):
        behind = socket.connect_to_server()
        behind.on_message(lambda frame: None if silent else socket.send(frame))

    page.route_web_socket(lambda url: "/api/v1/positions/stream" in url, relay)
    return lambda: silent.append(True)


def relayed(page):
    """Sockets of a page as they open, to be cut by the test."""
    sockets = []

    def relay(socket):
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket(lambda url: "/api/v1/positions/stream" in url, relay)
    return sockets


class TestAWebProcessThatRestarts:
    def test_leaves_a_page_that_comes_back_and_catches_up_without_a_reload(
        self,
        site: Site,
        vera,
        long,  # noqa: F811
        tmp_path,
    ):
        port = server.free_port()
        own = {
            "database": server.database_url(connection.settings_dict),
            "redis": settings.REDIS_URL,
            "log": tmp_path / "web.log",
            "port": port,
        }
        page = site.page()
        with server.running(**own) as url:
            there = Site(url, site.context)
            page = there.sign_in("vera")
            wait_until_live(page)
            page.evaluate("window.neverReloaded = true")
        page.locator('[data-badge]:not([data-state="live"])').wait_for(timeout=MS)
        assert page.title().startswith("Offline")
        long.fill("buy", "0.25", "97000", now=timezone.now())
        long.fill("sell", "38", "3412.6", now=timezone.now(), instrument=ETH)
        with server.running(**own):
            page.locator('[data-badge][data-state="live"]').wait_for(timeout=MS)
            page.get_by_text("ETH-PERP").first.wait_for(timeout=MS)
            page.locator("[data-rows]").get_by_text("0.75000").wait_for(timeout=MS)
            assert page.locator("[data-rows] tr").count() == 2
            assert page.evaluate("window.neverReloaded")
            assert not page.title().startswith("Offline")


class TestAConnectionThatIsCut:
    def test_is_taken_up_where_it_was_left(self, site: Site, vera, long):  # noqa: F811
        site.sign_in("vera").close()
        page = site.page()
        sockets = relayed(page)
        page.goto("/")
        wait_until_live(page)
        long.mark(BTC, "97500", now=timezone.now())
        wait_for(cell(page, "mark_price"), "97,500.0")
        sockets[-1].close(code=1012)
        long.fill("buy", "0.5", "97000", now=timezone.now())
        page.wait_for_function(
            "() => document.querySelector('[data-rows] [data-f=quantity]').textContent === '1.00000'",
            timeout=MS,
        )
        assert "resume=" not in sockets[0].url
        assert "&resume=" in sockets[-1].url
        assert site.complaints == []

    def test_is_tried_again_after_pauses_that_grow_and_differ(self, site: Site, vera):
        shortest, longest = site.sign_in("vera").evaluate(PAUSES)
        assert shortest == [250, 500, 1000, 2000, 7500, 7500]
        assert longest == [750, 1500, 3000, 6000, 22500, 22500]


class TestATabThatNobodyLooksAt:
    def test_waits_until_somebody_does_then_catches_up_at_once(self, site: Site, vera, long):  # noqa: F811
        site.sign_in("vera").close()
        page = site.page()
        sockets = relayed(page)
        page.goto("/")
        wait_until_live(page)
        page.evaluate(HIDE, True)
        sockets[-1].close(code=1012)
        page.wait_for_timeout(3000)  # by now a tab in sight has come back: it tries after 0.25 to 0.75 s
        assert len(sockets) == 1
        long.fill("buy", "0.5", "97000", now=timezone.now())
        page.evaluate(HIDE, False)
        page.locator("[data-rows]").get_by_text("1.00000").wait_for(timeout=MS)
        wait_until_live(page)
        assert len(sockets) == 2

    def test_goes_on_while_its_connection_lives(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        wait_until_live(page)
        page.evaluate(HIDE, True)
        long.mark(BTC, "95000", now=timezone.now())
        page.locator("[data-rows] .c-mark [data-f=mark_price]").get_by_text("95,000.0").wait_for(timeout=MS)


class TestTheStrip:
    def test_has_equity_and_feeds_and_the_age_of_the_oldest_price(self, site: Site, vera, market):  # noqa: F811
        now = timezone.now()
        opening(market, "10000", "USDC", now=now - timedelta(hours=1))
        market.fill("buy", "0.5", "96240", now=now)
        market.mark(BTC, "97412.5", now=now)
        pipeline.refresh(timezone.now())
        page = site.sign_in("vera")
        wait_until_live(page)
        assert page.locator('[data-t="equity"]').inner_text() == "10,585"  # 10,000 − 1.50 + 586.25
        assert page.locator('[data-t="feeds"]').inner_text() == "1 down"
        assert page.locator('[data-stat="feeds"]').get_attribute("data-level") == "watch"
        assert page.locator('[data-t="oldest"]').inner_text().startswith("oldest price ")

    def test_says_stale_over_a_connection_that_lives(self, site: Site, vera, market):  # noqa: F811
        now = timezone.now()
        market.fill("buy", "0.5", "96240", now=now)
        market.mark(BTC, "97412.5", now=now - timedelta(seconds=40))
        page = site.sign_in("vera")
        wait_until_live(page)
        page.locator("[data-totals][data-stale]").wait_for(timeout=MS)
        assert page.locator('[data-t="oldest"]').inner_text().startswith("prices stale: oldest 4")
        color = "(name) => getComputedStyle(document.querySelector(name)).color"
        assert page.evaluate(color, '[data-t="unrealized"]') == page.evaluate(color, ".stat .k")
        assert page.locator("[data-badge]").inner_text() == "Live"
        assert page.locator("[data-clock]").inner_text().startswith("prices 4")
        market.mark(BTC, "97413", now=timezone.now())
        page.locator("[data-totals]:not([data-stale])").wait_for(timeout=MS)

    def test_ages_its_oldest_price_while_no_frame_comes(self, site: Site, vera, market):  # noqa: F811
        now = timezone.now()
        market.fill("buy", "0.5", "96240", now=now)
        market.mark(BTC, "97412.5", now=now)
        site.sign_in("vera").close()
        page = site.page()
        silence = silenced(page)
        page.goto("/")
        wait_until_live(page)
        silence()
        shown = int(page.evaluate(OLDEST))
        page.wait_for_function(f"(seconds) => ({OLDEST})() >= seconds", arg=shown + 3, timeout=MS)


class TestTheApisPage:
    def test_lists_operations_by_group_and_complains_of_nothing(self, site: Site, vera):
        page = site.sign_in("vera")
        page.goto("/api/docs")
        page.locator(".opblock").first.wait_for(timeout=MS)
        page.get_by_text("Who is near liquidation").wait_for(timeout=MS)
        page.get_by_role("link", name="← Board").wait_for(timeout=MS)
        assert [one for one in site.complaints if "Content Security" in one or "exception" in one] == []


class TestEntriesOnAPhone:
    def test_are_cards_that_fit(self, site: Site, vera, long):  # noqa: F811
        page = site.sign_in("vera")
        page.set_viewport_size({"width": 390, "height": 844})
        for path in ("/entries/", "/positions/closed/"):
            page.goto(path)
            region = page.locator(".scroll").first
            if region.count():
                assert region.evaluate("(e) => e.scrollWidth <= e.clientWidth"), path
        page.goto("/entries/")
        assert "BTC-PERP" in page.locator(".entries tbody tr").first.inner_text()
