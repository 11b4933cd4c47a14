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


class TestThePage:
    def test_shows_a_new_alert_without_reloading(self, site, ada, market):
        page = site.sign_in("ada")
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector('[data-badge][data-state="live"]')
        assert "Nothing is wrong" in page.locator("[data-open-alerts]").inner_text()
        raised(market, 5)
        page.wait_for_selector(".alert >> text=DRIFT BTC-PERP main")

    @pytest.mark.parametrize("width", [360, 1280])
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_fits_its_window_in_both_themes(self, site, ada, market, width, theme):
        book(market)
        page = site.sign_in("ada")
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{site.url}/alerts/")
        page.wait_for_selector(".alert")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"alerts-{theme}-{width}.png", full_page=True)
            page.goto(f"{site.url}/alerts/{Alert.objects.filter(kind='drift').first().pk}/")
            page.screenshot(path=Path(PICTURES) / f"alert-{theme}-{width}.png", full_page=True)
