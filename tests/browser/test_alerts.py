"""The page of alerts and the banner, in a real browser."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from portfolio.alerts import publishing, store
from portfolio.models import Alert
from reconciliation.models import Run
from tests.portfolio.market import Market

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("ALERT_PICTURES", "")


def raised(market, number, *, severity="critical", minutes=3, **fields):
    now = timezone.now()
    row = Alert.objects.create(
        **{
            "kind": "drift", "subject": f"account:{market.account.pk}/x{number}", "account": market.account,
            "severity": severity, "title": f"DRIFT BTC-PERP main: book 0.50, venue 0.{40 + number}",
            "summary": f"Book says 0.50, the venue says 0.{40 + number}; 3,000.00 USD are at stake.",
            "usd": 3000, "raised_at": now - timedelta(minutes=minutes), "judged_at": now,
            "told_at": now - timedelta(minutes=minutes), "told_severity": severity,
        } | fields
    )  # fmt: skip
    publishing.publish([row], now=now)
    return row


@pytest.fixture
def market(site):
    return Market(now=timezone.now())


def book(market):
    """Some of everything that the page shows."""
    now = timezone.now()
    run = Run.objects.create(
        account=market.account, started_at=now, finished_at=now, as_of=now, complete=True
    )
    cause = raised(
        market, 1, kind="component_down", account=None, subject="part:worker",
        title="DOWN worker: last seen 2 min ago: start it celery --app config worker",
        summary="last seen 2 min ago: start it (celery --app config worker)", usd=None,
    )  # fmt: skip
    raised(market, 2, escalation=1)
    raised(
        market, 3, severity="warning", kind="feed_silent", subject=f"account:{market.account.pk}", usd=None,
        title="FEED SILENT main: down since 1 Dec 14:02:00 UTC", inhibited_by=cause, told_at=None,
        summary="Nothing has come from the venue for 3 min. 4 positions are open there.",
    )  # fmt: skip
    raised(
        market, 4, severity="info", kind="liquidation_near", subject="position:1",
        title="LIQUIDATION NEAR ETH-PERP main with a label of thirty characters: 8.2 % left, at 2,712.55",
        summary="12.5 long, mark 2,954.10, liquidation at 2,712.55: 8.2 % away. 36,926.25 USD are at stake.",
    )  # fmt: skip
    raised(market, 5, severity="warning", unjudged_since=now - timedelta(minutes=1))
    seen = raised(market, 6, severity="warning")
    store.acknowledge(alert=seen.pk, who="user:anna", now=now)
    store.mute(
        kind="quarantine", reason="import under way", until=now + timedelta(hours=3), who="user:anna", now=now
    )
    for number in (7, 8):
        raised(
            market, number, state="cleared", cleared_at=now - timedelta(minutes=1), certificate=run,
            healed="A later fill arrived (sell, trade): fill-2. Book and venue agree as of 14:03:00 UTC.",
        )  # fmt: skip


class TestTheBanner:
    def test_follows_the_stream_on_any_page(self, site, ada, market):
        page = site.sign_in("ada")
        page.goto(f"{site.url}/portfolio/")
        page.wait_for_selector('[data-badge][data-state="live"]')
        alarm = page.locator("[data-alarm]")
        assert alarm.is_hidden()
        row = raised(market, 5)
        page.wait_for_function("() => !document.querySelector('[data-alarm]').hidden")
        assert "DRIFT BTC-PERP main" in alarm.inner_text()
        store.acknowledge(alert=row.pk, who="user:anna", now=timezone.now())
        row.refresh_from_db()
        publishing.publish([row], now=timezone.now())
        page.wait_for_function("() => document.querySelector('[data-alarm]').hidden")

    def test_leaves_out_what_another_alert_explains(self, site, ada, market):
        page = site.sign_in("ada")
        page.wait_for_selector('[data-badge][data-state="live"]')
        cause = raised(market, 1, title="DOWN beat", kind="component_down", account=None, subject="part:beat")
        raised(
            market, 2, title="DOWN worker", kind="component_down", account=None, subject="part:worker",
            inhibited_by=cause,
        )  # fmt: skip
        raised(market, 3, severity="warning", title="the last frame")
        page.wait_for_function("() => !document.querySelector('[data-alarm]').hidden")
        assert "DOWN beat" in page.locator("[data-alarm]").inner_text()
        page.reload()
        assert "DOWN beat" in page.locator("[data-alarm]").inner_text()


# What a browser was asked to show and to play: its own notifications are the desktop's, which no test sees.
HEARD = """
globalThis.shown = []; globalThis.played = 0; globalThis.asked = 0;
const Real = globalThis.Notification;
globalThis.Notification = class extends EventTarget {
  static get permission() { return Real.permission; }
  static requestPermission() { asked += 1; return Real.requestPermission(); }
  constructor(title, options) { super(); shown.push({ title, ...options }); }
};
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) { played += 1; return start.apply(this, when); };
"""


class TestANotification:
    @pytest.fixture
    def page(self, site, ada):
        site.context.grant_permissions(["notifications"])
        site.context.add_init_script(HEARD)
        return self.live(site.sign_in("ada"), site)

    def live(self, page, site):
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector('[data-badge][data-state="live"]')
        return page

    def titles(self, *pages):
        return [one["title"][-4:] for page in pages for one in page.evaluate("shown")]

    def test_is_asked_for_by_a_click_and_remembered(self, site, page, market):
        button = page.get_by_role("button", name="Notify me in this browser")
        assert page.evaluate("asked") == 0
        assert button.get_attribute("aria-pressed") == "false"
        raised(market, 1, minutes=0)
        page.wait_for_selector(".alert >> text=venue 0.41")
        assert page.evaluate("shown") == []
        button.click()
        page.wait_for_selector('[data-notify][aria-pressed="true"]')
        row = raised(market, 2, minutes=0)
        page.wait_for_function("() => shown.length")
        [told] = page.evaluate("shown")
        assert told["title"] == "DRIFT BTC-PERP main: book 0.50, venue 0.42"
        assert told["body"] == row.summary
        assert (told["tag"], told["requireInteraction"]) == (f"plumbline-alert-{row.pk}", True)
        assert [one for one in site.complaints if "Content Security" in one or "exception" in one] == []

    def test_comes_on_one_page_of_several_and_not_again_on_the_next(self, site, page, market):
        page.get_by_role("button", name="Notify me in this browser").click()
        page.wait_for_selector('[data-notify][aria-pressed="true"]')
        other = self.live(site.page(), site)
        raised(market, 21, minutes=0)
        for one in (page, other):
            one.wait_for_selector(".alert >> text=venue 0.61")
        assert self.titles(page, other).count("0.61") == 1
        self.live(other, site)
        assert other.evaluate("asked") == 0
        raised(market, 22, minutes=0)
        for one in (page, other):
            one.wait_for_selector(".alert >> text=venue 0.62")
        assert self.titles(page, other).count("0.62") == 1
        assert "0.61" not in self.titles(other)

    def test_comes_once_and_again_when_it_is_over(self, page, market):
        page.get_by_role("button", name="Notify me in this browser").click()
        page.wait_for_selector('[data-notify][aria-pressed="true"]')
        row = raised(market, 1, minutes=0)
        publishing.publish([row], now=timezone.now() + timedelta(seconds=10))
        page.wait_for_function("() => shown.length")
        row.state, row.cleared_at, row.healed = "cleared", timezone.now(), "A later fill arrived."
        row.save()
        publishing.publish([row], now=timezone.now())
        page.wait_for_function("() => shown.length > 1")
        assert [one["title"][:10] for one in page.evaluate("shown")] == ["DRIFT BTC-", "Over: DRIF"]
        assert page.evaluate("shown[1].body") == "A later fill arrived."

    def test_is_not_made_of_what_is_old_or_was_not_told_to_people(self, page, market):
        page.get_by_role("button", name="Notify me in this browser").click()
        page.wait_for_selector('[data-notify][aria-pressed="true"]')
        raised(market, 1, minutes=5)
        raised(market, 2, minutes=0, told_at=None)
        raised(market, 3, minutes=0, severity="info")
        raised(market, 4, minutes=0)
        page.wait_for_function("() => shown.length")
        assert [one["title"][-4:] for one in page.evaluate("shown")] == ["0.44"]

    def test_that_the_browser_refuses_is_said_and_not_remembered(self, site, ada):
        site.context.clear_permissions()
        page = self.live(site.sign_in("ada"), site)
        page.evaluate("Notification.requestPermission = async () => 'denied'")
        page.get_by_role("button", name="Notify me in this browser").click()
        page.wait_for_selector("[data-refused]:visible")
        assert page.locator("[data-notify]").get_attribute("aria-pressed") == "false"
        assert page.evaluate("localStorage.getItem('plumbline:notify')") == "off"


class TestTheSound:
    def test_is_played_when_it_is_turned_on_and_for_what_is_critical(self, site, ada, market):
        site.context.add_init_script(HEARD)
        page = site.sign_in("ada")
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector('[data-badge][data-state="live"]')
        page.get_by_role("button", name="Sound").click()
        assert page.evaluate("played") == 2
        page.reload()
        page.wait_for_selector('[data-badge][data-state="live"]')
        assert page.locator("[data-sound]").get_attribute("aria-pressed") == "true"
        page.keyboard.press("Shift")  # browsers play nothing before somebody did something
        raised(market, 1, minutes=0, severity="warning")
        raised(market, 2, minutes=0)
        page.wait_for_function("() => played")
        assert page.evaluate("played") == 2
        page.get_by_role("button", name="Sound").click()
        raised(market, 3, minutes=0)
        page.wait_for_selector(".alert >> text=venue 0.43")
        assert page.evaluate("played") == 2


class TestThePage:
    def test_shows_a_new_alert_without_reloading(self, site, ada, market):
        page = site.sign_in("ada")
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector('[data-badge][data-state="live"]')
        assert "Nothing is wrong" in page.locator("[data-open-alerts]").inner_text()
        raised(market, 5)
        page.wait_for_selector(".alert >> text=DRIFT BTC-PERP main")

    @pytest.mark.parametrize("width", [360, 390, 1440])
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_fits_its_window_in_both_themes(self, site, ada, market, width, theme):
        book(market)
        page = site.sign_in("ada")
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector(".alert")
        page.wait_for_selector('[data-badge][data-state="live"]')
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"alerts-{theme}-{width}.png", full_page=True)
            page.goto(f"{site.url}/alerts/{Alert.objects.filter(kind='drift').first().pk}/")
            page.screenshot(path=Path(PICTURES) / f"alert-{theme}-{width}.png", full_page=True)
