"""The board in a real browser on the real web process: what is booked appears, changes and leaves."""

import json
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from portfolio.live import rows
from tests.browser.conftest import Site
from tests.portfolio.market import BTC, ETH, SPOT, Market

pytestmark = pytest.mark.browser

NBSP = "\N{NO-BREAK SPACE}"
APPLY = """async ([row, blankFirst]) => {
  const { fillRow } = await import("/static/js/patch.js");
  const tr = blankFirst
    ? document.querySelector("[data-row-template]").content.querySelector("tr").cloneNode(true)
    : document.querySelector(`tr[data-id="${row.id}"]`);
  fillRow(tr, row, { tint: false });
  tr.querySelector('[data-f="age"]').textContent = "";
  tr.removeAttribute("data-stale");
  return tr.outerHTML.replace(/\\s+/g, " ");
}"""
# On a crowded machine a handshake may time out (1006): then once more. A message must never come.
STRANGER = """async () => {
  const codes = [];
  let messages = 0;
  for (let tries = 0; tries < 3 && codes.at(-1) !== 4401; tries += 1) {
    codes.push(await new Promise((done) => {
      const socket = new WebSocket(location.origin.replace("http", "ws") + "/api/v1/positions/stream");
      socket.onmessage = () => { messages += 1; };
      socket.onclose = (event) => done(event.code);
    }));
  }
  return [codes, messages];
}"""
PAINTED = """(id) => {
  const tr = document.querySelector(`tr[data-id="${id}"]`).cloneNode(true);
  tr.querySelector('[data-f="age"]').textContent = "";
  tr.removeAttribute("data-stale");
  return tr.outerHTML.replace(/\\s+/g, " ");
}"""


@pytest.fixture
def market(site) -> Market:
    return Market(now=timezone.now())


@pytest.fixture
def long(market) -> Market:
    """0.5 BTC bought at 96,240.0, marked at 97,412.5: 586.25 up."""
    now = timezone.now()
    market.mark(BTC, "97412.5", now=now)
    market.state(BTC, now=now, leverage="5", liquidation_price="81904.2")
    market.fill("buy", "0.5", "96240", now=now)
    return market


def cell(page, name, *, row=0):
    return page.locator("[data-rows] tr").nth(row).locator(f'[data-f="{name}"]').last


def wait_for(locator, text):
    """Wait for a text by the locator, not by an element: a page may draw its rows anew meanwhile."""
    expect(locator).to_have_text(text, timeout=10_000)


def wait_until_live(page):
    page.locator('[data-badge][data-state="live"]').wait_for(timeout=10_000)


class TestTheFirstPaint:
    def test_shows_the_book_without_any_script(self, site: Site, vera, long, browser):
        page = site.sign_in("vera")
        state = site.context.storage_state()
        with browser.new_context(base_url=site.url, java_script_enabled=False, storage_state=state) as plain:
            page = plain.new_page()
            page.goto("/")
            shown = {
                name: cell(page, name).inner_text()
                for name in (
                    "name",
                    "quantity",
                    "entry_price",
                    "mark_price",
                    "notional",
                    "unrealized_pnl",
                    "unrealized_pnl_pct",
                )
            }
        assert shown == {
            "name": "BTC-PERP",
            "quantity": "0.50000",
            "entry_price": "96,240.0",
            "mark_price": "97,412.5",
            "notional": "48,706",
            "unrealized_pnl": "+586.25",
            "unrealized_pnl_pct": f"+1.22{NBSP}%",
        }

    def test_is_written_alike_by_the_server_and_by_the_browser(self, site: Site, vera, long):
        now = timezone.now()
        long.fill("sell", "38", "3412.6", now=now, instrument=ETH)
        long.mark(ETH, "3371.9", now=now)
        long.state(ETH, now=now, leverage="10", liquidation_price="3640.1")
        long.mark(SPOT, "97410", now=now)
        long.fill("buy", "0.35", None, now=now, instrument=SPOT)
        page = site.sign_in("vera")
        page.route("**/js/board.js", lambda route: route.abort())  # nothing but the server's own hand
        page.reload()
        found = rows.board(now=now)
        assert len(found) == 3
        for row in found:
            painted = page.evaluate(PAINTED, row["id"])
            assert page.evaluate(APPLY, [row, True]) == painted, row["name"]
            assert page.evaluate(APPLY, [row, False]) == painted, row["name"]


class TestTheBoardWhileLive:
    def test_a_fill_changes_size_and_profit_without_a_reload(self, site: Site, vera, long):
        page = site.sign_in("vera")
        wait_until_live(page)
        page.evaluate("window.neverReloaded = true")
        assert cell(page, "quantity").inner_text() == "0.50000"
        started = time.monotonic()
        long.fill("buy", "0.25", "97000", now=timezone.now())
        wait_for(cell(page, "quantity"), "0.75000")
        took = time.monotonic() - started
        wait_for(cell(page, "unrealized_pnl"), "+689.38")  # 586.25 + 0.25 × 412.50, half to even
        wait_for(page.locator('[data-t="unrealized"]'), "+689.38")
        assert page.evaluate("window.neverReloaded")
        assert took < 3
        assert page.title().startswith("+689.38 · Board")
        assert site.complaints == []

    def test_a_new_mark_moves_mark_and_profit(self, site: Site, vera, long):
        page = site.sign_in("vera")
        wait_until_live(page)
        long.mark(BTC, "95000", now=timezone.now())
        wait_for(cell(page, "unrealized_pnl"), "−620.00")
        assert cell(page, "mark_price").inner_text() == "95,000.0"
        assert cell(page, "unrealized_pnl").get_attribute("data-sign") == "loss"

    def test_a_first_position_replaces_the_empty_page(self, site: Site, vera, market):
        page = site.sign_in("vera")
        wait_until_live(page)
        assert page.get_by_role("heading", name="No open positions").is_visible()
        market.fill("sell", "2", "60000", now=timezone.now())
        wait_for(cell(page, "side_label"), "Short")
        expect(page.get_by_role("heading", name="No open positions")).to_be_hidden()
        assert cell(page, "quantity").inner_text() == "−2.00000"

    def test_a_closed_position_leaves(self, site: Site, vera, long):
        page = site.sign_in("vera")
        wait_until_live(page)
        long.fill("sell", "0.5", "97000", now=timezone.now())
        page.get_by_role("heading", name="No open positions").wait_for(timeout=10_000)
        assert page.locator("[data-rows] tr").count() == 0
        wait_for(page.locator('[data-t="unrealized"]'), "0.00")

    def test_a_changed_cell_is_tinted_and_only_that(self, site: Site, vera, long):
        page = site.sign_in("vera")
        wait_until_live(page)
        page.evaluate(
            "() => { window.tinted = new Set(); const animate = Element.prototype.animate;"
            " Element.prototype.animate = function (...args) {"
            " window.tinted.add(this.className); return animate.apply(this, args); }; }"
        )
        long.mark(BTC, "97500", now=timezone.now())
        wait_for(cell(page, "mark_price"), "97,500.0")
        tinted = set(page.evaluate("[...window.tinted]"))
        assert "c-mark num" in tinted
        assert "c-entry num" not in tinted

    def test_reduced_motion_tints_nothing(self, site: Site, vera, long):
        page = site.sign_in("vera")
        page.emulate_media(reduced_motion="reduce")
        page.evaluate("() => { window.tints = 0; Element.prototype.animate = () => { window.tints += 1; }; }")
        wait_until_live(page)
        long.mark(BTC, "97500", now=timezone.now())
        wait_for(cell(page, "mark_price"), "97,500.0")
        assert page.evaluate("window.tints") == 0


class TestAnUnknownFigure:
    def test_is_shown_as_a_dash_and_never_as_zero(self, site: Site, vera, market):
        market.fill("buy", "1", None, now=timezone.now())
        page = site.sign_in("vera")
        wait_until_live(page)
        for name in (
            "entry_price",
            "mark_price",
            "notional",
            "unrealized_pnl",
            "unrealized_pnl_pct",
            "fees",
            "liquidation_price",
            "liquidation_distance_pct",
        ):
            assert cell(page, name).inner_text() == "—", name
        assert page.locator('[data-t="unrealized"]').inner_text() == "—"
        assert "1 unknown" in page.locator('[data-t="unrealized_note"]').inner_text()


class TestTheAgeOfAMark:
    def test_ticks_and_turns_the_row_grey(self, site: Site, vera, market):
        now = timezone.now()
        market.fill("buy", "1", "96240", now=now)
        market.mark(BTC, "97000", now=now - timedelta(seconds=20))
        page = site.sign_in("vera")
        wait_until_live(page)
        shown = cell(page, "age").inner_text()
        assert 20 <= int(shown.removesuffix(f"{NBSP}s")) < 60, shown
        page.locator("tr[data-stale]").wait_for(timeout=60_000)
        grey = page.evaluate("getComputedStyle(document.querySelector('[data-f=unrealized_pnl]')).color")
        muted = page.evaluate("getComputedStyle(document.querySelector('.stat .k')).color")
        assert grey == muted


class TestTheConnection:
    def test_that_is_silent_for_five_seconds_greys_the_board(self, site: Site, vera, long):
        page = site.page()
        held = []

        def relay(socket):
            upstream = socket.connect_to_server()
            upstream.on_message(lambda text: None if held else socket.send(text))

        page.route_web_socket(lambda url: "/api/v1/positions/stream" in url, relay)
        site.sign_in("vera").close()
        page.goto("/")
        wait_until_live(page)
        held.append(True)
        badge = page.locator("[data-badge]")
        page.locator('[data-badge][data-state="silent"]').wait_for(timeout=9_000)
        assert badge.inner_text().startswith("No heartbeat for ")
        assert "offline" in page.locator("body").get_attribute("class")
        assert page.get_by_role("alert").inner_text().startswith("The server is silent")
        held.clear()
        wait_until_live(page)
        assert "offline" not in page.locator("body").get_attribute("class")

    def test_that_is_lost_comes_back_by_itself_with_what_was_missed(self, site: Site, vera, long):
        page = site.page()
        sockets = []

        def relay(socket):
            socket.connect_to_server()
            sockets.append(socket)

        page.route_web_socket(lambda url: "/api/v1/positions/stream" in url, relay)
        site.sign_in("vera").close()
        page.goto("/")
        wait_until_live(page)
        sockets[-1].close(code=1012)
        long.fill("buy", "0.5", "97000", now=timezone.now())
        wait_for(cell(page, "quantity"), "1.00000")
        assert len(sockets) >= 2

    def test_is_refused_to_a_stranger(self, site: Site):
        page = site.page()
        page.goto("/login/")
        codes, messages = page.evaluate(STRANGER)
        assert messages == 0
        assert codes[-1] == 4401, codes


class TestTheSearch:
    def test_narrows_the_rows_and_a_key_jumps_to_it(self, site: Site, vera, long):
        long.fill("sell", "38", "3412.6", now=timezone.now(), instrument=ETH)
        page = site.sign_in("vera")
        wait_until_live(page)
        page.keyboard.press("/")
        page.keyboard.type("eth short")
        visible = page.locator("[data-rows] tr:visible")
        assert visible.count() == 1
        assert "ETH-PERP" in visible.inner_text()
        assert page.locator("[data-count]").inner_text() == "1 of 2"
        page.keyboard.type(" nowhere")
        assert page.get_by_text("No open position matches the search.").is_visible()
        page.keyboard.press("Escape")
        assert visible.count() == 2


class TestRowsUnderThePointer:
    def test_do_not_jump_until_it_leaves(self, site: Site, vera, market):
        market.fill("sell", "38", "3412.6", now=timezone.now(), instrument=ETH)
        page = site.sign_in("vera")
        wait_until_live(page)
        names = "[...document.querySelectorAll('[data-rows] [data-f=name]')].map((e) => e.textContent)"
        cell(page, "entry_price").hover()
        market.fill("buy", "1", "97000", now=timezone.now())
        page.wait_for_function(f"() => {names}.length === 2")
        page.wait_for_timeout(200)
        assert page.evaluate(names) == ["ETH-PERP", "BTC-PERP"]
        page.mouse.move(5, 5)
        page.wait_for_function(f"() => {names}[0] === 'BTC-PERP'")


class TestOnAPhone:
    @pytest.mark.parametrize("path", ["/", "/portfolio/", "/positions/closed/", "/entries/", "/password/"])
    def test_nothing_scrolls_sideways(self, site: Site, vera, long, path):
        page = site.sign_in("vera")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def test_the_longest_figures_neither_overlap_nor_spill(self, site: Site, vera, market):
        now = timezone.now()
        market.fill("sell", "180000.12345", "97000", now=now)
        market.mark(BTC, "97685.9", now=now)
        market.state(BTC, now=now, leverage="40", liquidation_price="101234.5")
        page = site.sign_in("vera")
        page.set_viewport_size({"width": 390, "height": 844})
        assert cell(page, "unrealized_pnl").inner_text() == "−123,462,084.67"
        cells = page.locator("[data-rows] tr > *:visible")
        boxes = [cells.nth(i).bounding_box() for i in range(cells.count())]
        for i, one in enumerate(boxes):
            assert one["x"] >= 0
            assert one["x"] + one["width"] <= 390
            for other in boxes[i + 1 :]:
                apart = (
                    one["x"] + one["width"] <= other["x"] + 1
                    or other["x"] + other["width"] <= one["x"] + 1
                    or one["y"] + one["height"] <= other["y"] + 1
                    or other["y"] + other["height"] <= one["y"] + 1
                )
                assert apart, (one, other)

    def test_rows_become_cards_with_what_matters(self, site: Site, vera, long):
        page = site.sign_in("vera")
        page.set_viewport_size({"width": 390, "height": 844})
        assert cell(page, "unrealized_pnl").is_visible()
        assert cell(page, "quantity").is_visible()
        assert cell(page, "liquidation_price").is_visible()
        assert cell(page, "proof_label").is_visible()
        assert not cell(page, "funding").is_visible()


class TestAPositionsPage:
    def test_stays_live_and_warns_when_its_lists_are_old(self, site: Site, vera, long):
        page = site.sign_in("vera")
        cell(page, "name").click()
        page.get_by_role("link", name="Everything about this position").click()
        page.wait_for_url("**/positions/*/")
        wait_until_live(page)
        facts = page.locator("dl[data-version]")
        assert facts.locator('[data-f="unrealized_pnl"]').inner_text() == "+586.25"
        assert not page.locator("[data-newer]").is_visible()
        long.mark(BTC, "98000", now=timezone.now())
        wait_for(facts.locator('[data-f="unrealized_pnl"]'), "+880.00")
        wait_for(page.locator('[data-f="total_pnl"]'), "+878.50")
        assert not page.locator("[data-newer]").is_visible()
        long.fill("buy", "0.5", "98000", now=timezone.now())
        wait_for(facts.locator('[data-f="quantity"]'), "1.00000")
        assert page.locator("[data-newer]").is_visible()
        page.get_by_role("link", name="Reload").click()
        page.get_by_text("Increased by 0.50000 to 1.00000 BTC").wait_for()
        assert site.complaints == []

    def test_warns_when_the_position_has_closed(self, site: Site, vera, long):
        page = site.sign_in("vera")
        cell(page, "name").click()
        page.get_by_role("link", name="Everything about this position").click()
        wait_until_live(page)
        long.fill("sell", "0.5", "97000", now=timezone.now())
        page.locator("[data-newer]").wait_for(timeout=10_000)
        page.get_by_role("link", name="Reload").click()
        page.get_by_text("Closed, realized +380.00").wait_for()


class TestEveryPage:
    def test_is_quiet_under_the_strict_policy(self, site: Site, ada, long):
        page = site.sign_in("ada")
        position = rows.board(now=timezone.now())[0]["id"]
        paths = [
            "/", "/portfolio/", "/reconciliation/", "/alerts/", "/positions/closed/", "/entries/",
            "/password/", f"/positions/{position}/", f"/accounts/{long.account.pk}/",
        ]  # fmt: skip
        for path in paths:
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
            page.wait_for_load_state("networkidle") if path == "/password/" else wait_until_live(page)
        assert json.dumps(site.complaints) == "[]"
