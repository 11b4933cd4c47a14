"""The board's order, groups and columns in a real browser: as the server has them, and live."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.test_board import wait_for, wait_until_live
from tests.browser.view_cases import ORDERS, ROWS, SEARCHES, SUMS
from tests.portfolio.market import BTC, ETH, Market

pytestmark = pytest.mark.browser

ARRANGED = """async ([rows, queries]) => {
  const { arrange, viewOf } = await import("/static/js/view.js");
  return queries.map((query) => arrange(rows, viewOf(query)).map((group) => group.rows.map((row) => row.id)));
}"""
ADDED_UP = """async (lists) => {
  const { sumsOf } = await import("/static/js/view.js");
  return lists.map(sumsOf);
}"""
MATCHED = """async ([texts, searches]) => {
  const { RowSearch } = await import("/static/js/search.js");
  return searches.map((words) => {
    const found = new Set();
    const search = new RowSearch((id, matches) => { if (matches) found.add(id); else found.delete(id); });
    search.search(words);
    for (const [id, text] of texts) search.put(id, text);
    return [...found].sort();
  });
}"""
ROUND_TRIP = """async (query) => {
  const { viewOf, queryOf } = await import("/static/js/view.js");
  return queryOf(viewOf(query));
}"""


class TestTheBrowsersHalf:
    @pytest.fixture
    def page(self, site, vera):
        return site.sign_in("vera")

    def test_orders_and_groups_alike(self, page):
        found = page.evaluate(ARRANGED, [ROWS, [query for query, _ in ORDERS]])
        wrong = [(case, got) for case, got in zip(ORDERS, found, strict=True) if case[1] != got]
        assert not wrong

    def test_adds_up_alike(self, page):
        rows = {row["id"]: row for row in ROWS}
        found = page.evaluate(ADDED_UP, [[rows[id] for id in ids] for ids, _ in SUMS])
        assert found == [sums for _, sums in SUMS]

    def test_matches_words_alike(self, page):
        from portfolio.pages.board_view import searched

        texts = [(row["id"], searched(row)) for row in ROWS]
        assert page.evaluate(MATCHED, [texts, [words for words, _ in SEARCHES]]) == [
            ids for _, ids in SEARCHES
        ]

    def test_writes_the_address_alike(self, page):
        query = "q=btc+-short&sort=-pct&group=venue&hide=fees%2Cage&rows=compact&environment=live"
        assert page.evaluate(ROUND_TRIP, query) == query


class TestTheBoard:
    @pytest.fixture
    def market(self, site):
        now = timezone.now()
        market = Market(now=now)
        market.mark(BTC, "97412.5", now=now)
        market.mark(ETH, "3500", now=now)
        market.fill("buy", "0.5", "96240", now=now)
        market.fill("sell", "2", "3600", now=now, instrument=ETH)
        return market

    @pytest.fixture
    def page(self, site, vera, market):
        page = site.sign_in("vera")
        wait_until_live(page)
        return page

    def names(self, page):
        return page.locator('[data-rows] tr.pos [data-f="name"]:visible').all_inner_texts()

    def test_is_ordered_by_a_heading_at_once_and_in_the_address(self, page):
        assert self.names(page) == ["BTC-PERP", "ETH-PERP"]
        page.locator("thead").get_by_role("link", name="Unrealized").click()  # 586.25 and 200
        page.wait_for_url(re.compile(r"\?sort=-unrealized$"))
        assert self.names(page) == ["BTC-PERP", "ETH-PERP"]
        page.locator("thead").get_by_role("link", name="Unrealized").click()
        page.wait_for_url(re.compile(r"\?sort=unrealized$"))
        assert self.names(page) == ["ETH-PERP", "BTC-PERP"]
        page.reload()
        assert self.names(page) == ["ETH-PERP", "BTC-PERP"]

    def test_is_grouped_with_subtotals_that_follow_the_prices(self, page, market):
        page.locator("[data-view-menu] summary").click()
        page.get_by_label("Asset").check()
        page.keyboard.press("Escape")
        sums = page.locator('tbody[data-group="BTC"] [data-g="unrealized"]')
        wait_for(sums, "+586.25")
        market.mark(BTC, "97412.6", now=timezone.now())
        wait_for(sums, "+586.30")
        page.get_by_label("Search the board").fill("eth")
        page.locator('tbody[data-group="BTC"]').wait_for(state="hidden")
        page.reload()
        assert self.names(page) == ["ETH-PERP"]

    def test_leaves_out_columns_and_tightens_rows(self, page):
        page.locator("[data-view-menu] summary").click()
        page.get_by_label("Entry", exact=True).uncheck()
        page.get_by_label("Compact").check()
        assert not page.locator("thead .c-entry").is_visible()
        assert page.locator("tr.pos").first.bounding_box()["height"] < 30
        assert "hide=entry&rows=compact" in page.url

    def test_says_which_columns_need_a_wider_window(self, page):
        page.set_viewport_size({"width": 1200, "height": 800})
        page.locator("[data-view-menu] summary").click()
        narrow = page.locator(".columns label[data-narrow]")
        assert "Realized" in narrow.all_inner_texts()
        assert narrow.first.get_attribute("title") == "Shown in a wider window"
        page.keyboard.press("Escape")
        page.set_viewport_size({"width": 1900, "height": 800})
        page.locator("[data-view-menu] summary").click()
        expect(narrow).to_have_count(0)

    def test_puts_what_needs_a_person_first(self, page, market):
        market.state(ETH, now=timezone.now(), leverage="5", liquidation_price="3550")
        market.fill("sell", "0.1", "3500", now=timezone.now(), instrument=ETH)
        page.wait_for_function(
            "() => document.querySelector('[data-rows] tr.pos [data-f=name]').textContent === 'ETH-PERP'",
            timeout=10_000,
        )
