"""The side panel, the keys and the palette in a real browser."""

import re

import pytest
from django.utils import timezone

from tests.browser.test_board import wait_for, wait_until_live
from tests.portfolio.market import BTC, ETH, Market

pytestmark = pytest.mark.browser


@pytest.fixture
def market(site):
    now = timezone.now()
    market = Market(now=now)
    market.mark(BTC, "97412.5", now=now)
    market.mark(ETH, "3500", now=now)
    market.fill("buy", "0.5", "96240", now=now)
    market.fill("sell", "2", "3600", now=now, instrument=ETH)
    return market


@pytest.fixture
def page(site, vera, market):
    page = site.sign_in("vera")
    wait_until_live(page)
    return page


def panel(page):
    return page.locator("[data-panel]")


class TestTheSidePanel:
    def test_shows_a_position_beside_the_live_board(self, page, market):
        page.get_by_role("link", name="BTC-PERP").click()
        panel(page).get_by_role("heading", name="BTC-PERP").wait_for()
        assert page.locator("tr.pos").first.is_visible()
        assert page.url.endswith("/")
        market.mark(BTC, "97412.6", now=timezone.now())
        wait_for(panel(page).locator('[data-f="unrealized_pnl"]').first, "+586.30")

    def test_is_read_again_when_the_position_changes(self, page, market):
        page.get_by_role("link", name="BTC-PERP").click()
        panel(page).get_by_text("1 of 1").wait_for()
        market.fill("buy", "0.25", "97000", now=timezone.now())
        panel(page).get_by_text("2 of 2").wait_for(timeout=10_000)

    def test_closes_by_escape_and_gives_the_focus_back(self, page):
        page.get_by_role("link", name="BTC-PERP").click()
        panel(page).get_by_role("heading", name="BTC-PERP").wait_for()
        page.wait_for_function("() => document.activeElement.matches('[data-panel]')")
        page.keyboard.press("Escape")
        panel(page).wait_for(state="hidden")
        assert page.evaluate("document.activeElement.textContent.trim()") == "BTC-PERP"


class TestTheKeyboard:
    def test_walks_the_rows_opens_one_and_goes_elsewhere(self, page):
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.textContent.trim()") == "ETH-PERP"
        page.keyboard.press("Enter")
        panel(page).get_by_role("heading", name="ETH-PERP").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.textContent.trim()") == "BTC-PERP"
        page.keyboard.press("g")
        page.keyboard.press("e")
        page.wait_for_url(re.compile("/entries/$"))

    def test_lists_its_keys(self, page):
        page.keyboard.press("?")
        assert page.get_by_role("dialog", name="Keys").is_visible()
        page.keyboard.press("Escape")
        assert not page.get_by_role("dialog", name="Keys").is_visible()

    def test_is_left_alone_while_somebody_types(self, page):
        page.keyboard.press("/")
        page.keyboard.type("gj?")
        assert page.get_by_label("Search the board").input_value() == "gj?"


class TestThePalette:
    def test_leads_to_a_position_a_page_or_an_account(self, page):
        for words, address in (
            ("eth", r"/positions/\d+/$"),
            ("cases", "/reconciliation/cases/$"),
            ("hyperliquid account", r"/accounts/\d+/$"),
        ):
            page.goto("/")
            wait_until_live(page)
            page.keyboard.press("Control+k")
            page.get_by_label("Go to", exact=True).last.fill(words)
            page.keyboard.press("Enter")
            page.wait_for_url(re.compile(address))

    def test_says_when_nothing_is_called_so(self, page):
        page.keyboard.press("Control+k")
        page.keyboard.type("nonesuch")
        assert page.get_by_text("Nothing is called so.").is_visible()
