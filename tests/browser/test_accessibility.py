"""Every page as axe-core judges it (WCAG 2.2 A and AA), in both themes, on a desktop and on a phone."""

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from portfolio import pipeline
from portfolio.models import Alert
from portfolio.snapshots import taking
from reconciliation.models import Case, Run, Verdict
from tests.browser.conftest import Site
from tests.portfolio.market import BTC, ETH, Market

pytestmark = pytest.mark.browser
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
STATES = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
SIZES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture
def desk(site: Site):
    """A desk with a long near its liquidation, a short, a closed position, a case, a run and an alert."""
    now = timezone.now()
    market = Market(now=now - timedelta(hours=3))
    market.fill("buy", "1", "60000", now=now - timedelta(hours=2))
    market.fill("sell", "1", "61000", now=now - timedelta(hours=1))
    market.fill("buy", "0.5", "96240", now=now - timedelta(minutes=30))
    market.fill("sell", "2", "3600", now=now - timedelta(minutes=20), instrument=ETH)
    for symbol, price in ((BTC, "97412.5"), (ETH, "3500")):
        market.mark(symbol, price, now=now)
    market.state(BTC, now=now, leverage="20", liquidation_price="95000")
    run = Run.objects.create(
        account=market.account, started_at=now, finished_at=now, as_of=now, complete=True
    )
    where = {"account": market.account, "instrument_id": market.instruments[BTC], "leg": "net"}
    differences = [{"kind": "quantity", "book": "0.5", "venue": "0.45", "drift": True}]
    Verdict.objects.create(**where, status="DRIFT", as_of=now, suspected=differences, run=run, changed_at=now)
    Case.objects.create(
        **where, family="size", run=run, differences=differences, opened_at=now, changed_at=now,
        diagnosis=[{"cause": "unknown", "score": "1", "text": "Nothing explains it.", "evidence": []}],
    )  # fmt: skip
    taking.take(now=now - timedelta(minutes=2))
    taking.take(now=now)
    pipeline.refresh(now)
    return market


def pages(market):
    position = market.account.positions.filter(closed_at__isnull=True).order_by("pk")[0].pk
    paths = [
        "/", "/portfolio/", "/alerts/", "/alerts/subscriptions/", "/alerts/mails/", "/positions/closed/",
        "/entries/", "/feeds/", "/start/", "/accounts/connect/", "/accounts/connect/?venue=hyperliquid",
        f"/positions/{position}/", f"/positions/{position}/correct/?change=reduce&quantity=0.1&price=97000",
        f"/accounts/{market.account.pk}/", "/reconciliation/", "/reconciliation/cases/",
        f"/reconciliation/cases/{Case.objects.get().pk}/", "/reconciliation/runs/",
        f"/reconciliation/runs/{Run.objects.get().pk}/", "/reconciliation/allocation/",
        "/reconciliation/statistics/", "/password/", "/sessions/", "/nothing/here/",
    ]  # fmt: skip
    return paths + [f"/alerts/{alert.pk}/" for alert in Alert.objects.order_by("pk")[:1]]


def problems(page):
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else node['html'][:120]}"
        for one in found
        for node in one["nodes"]
    ]


class TestEveryPage:
    @pytest.mark.parametrize(("size", "theme"), STATES)
    def test_breaks_no_rule_that_a_machine_can_judge(self, site: Site, ada, desk, size, theme):
        page = site.sign_in("ada")
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size(SIZES[size])
        found = {}
        for path in pages(desk):
            page.goto(path)
            page.wait_for_load_state("load")
            if bad := problems(page):
                found[path] = bad
        assert found == {}

    def test_of_a_board_with_everything_open_breaks_none(self, site: Site, ada, desk):
        page = site.sign_in("ada")
        page.emulate_media(reduced_motion="reduce")
        page.locator("[data-view-menu] summary").click()
        assert problems(page) == []
        page.keyboard.press("Escape")
        page.locator("tr.pos [data-link]").first.click()
        page.locator("[data-panel-content]").wait_for()
        assert problems(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.locator("[data-palette-list] li").first.wait_for()
        assert problems(page) == []


class TestSigningIn:
    def test_breaks_no_rule_either(self, site: Site):
        page = site.page()
        page.goto("/login/")
        assert problems(page) == []
