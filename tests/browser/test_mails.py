"""Mails as programs show them: HTML and text, on a desk and on a phone, in both themes.

MAIL_PICTURES=folder keeps the pictures that docs/e-mail.md shows.
"""

import os
import uuid
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal as D
from html import escape
from pathlib import Path

import pytest

from portfolio.models import AccountSnapshot, Mail, Restatement
from portfolio.notify import digest
from portfolio.snapshots import partitions
from positions.models import AccountHead
from reconciliation.models import Run
from tests.portfolio.market import BTC, Market
from tests.portfolio.notify.stage import Stage

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("MAIL_PICTURES", "")
NOW = datetime(2026, 1, 14, 13, 2, 5, tzinfo=UTC)
DRIFT = "DRIFT BTC-PERP main: book 0.50, venue 0.45"


@pytest.fixture
def stage(site, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PUBLIC_URL = "https://plumbline.example"
    settings.DEFAULT_FROM_EMAIL = "Plumbline <plumbline@desk.example>"
    market = Market(now=NOW - timedelta(days=9), environment="live")
    stage = Stage(NOW, market.account)
    stage.instrument = market.instruments[BTC]
    stage.person("anna", zone="Europe/Zurich", digest_at=time(7))
    return stage


def raised(stage):
    alert = stage.alert(
        title=DRIFT, severity="critical", instrument_id=stage.instrument, usd="2500",
        summary="Book says 0.50, the venue says 0.45; 2,500.00 USD are at stake.",
    )  # fmt: skip
    said = (NOW - timedelta(seconds=2)).isoformat()
    numbers = {"book": "0.50", "venue": "0.45", "as_of": said, "status": "DRIFT", "unit": "BTC"}
    stage.tell(alert, numbers=numbers)
    return alert


def recovered(stage):
    alert = raised(stage)
    stage.deliver()
    stage.later(minutes=4)
    stage.tell(alert, "acknowledged", who="user:bob")
    stage.later(minutes=8, seconds=11)
    alert.healed = "A later fill arrived (sell, trade): 0x51f0…: book and venue agree."
    alert.certificate = Run.objects.create(
        account=stage.account, started_at=stage.now, finished_at=stage.now, as_of=stage.now, complete=True
    )
    alert.save()
    stage.tell(alert, "cleared", text=alert.healed)


def storm(stage):
    batch = uuid.uuid4()
    for kind, title, severity, usd, summary in (
        ("component_down", "DOWN stream: last seen 42 s ago", "critical", None,
         "Stream: last seen 42 s ago. Start it: manage.py stream."),
        ("liquidation_near", "LIQUIDATION NEAR ETH-PERP main: 1.8 % left, at 2,712.55", "critical", "36926",
         "12.5 long, mark 2,762.30, liquidation at 2,712.55: 1.8 % away. 36,926.00 USD are at stake."),
        ("drift", DRIFT, "warning", "250", "Book says 0.50, the venue says 0.45; 250.00 USD are at stake."),
        ("quarantine", "QUARANTINE main: 2 entries not booked", "warning", None,
         "2 entries wait to be settled, the oldest since 14 Jan 12:58:11 UTC (conflict)."),
    ):  # fmt: skip
        alert = stage.alert(
            title, kind=kind, title=title, severity=severity, usd=usd, summary=summary,
            account=None if kind == "component_down" else stage.account,
        )  # fmt: skip
        stage.tell(alert, batch=batch, numbers={})


def daily(stage):
    start = datetime(2026, 1, 13, 23, tzinfo=UTC)
    partitions.ensure([partitions.month_of(start)])
    for at, equity, net in ((start, "104200", "1210"), (start + timedelta(days=1), "105611.5", "2441.18")):
        AccountSnapshot.objects.create(
            account=stage.account, at=at - timedelta(seconds=20), quality=0, open_positions=1,
            equity=D(equity), unrealized_pnl=D(0), realized_pnl=D(0), net_pnl=D(net), exposure=D(0),
        )  # fmt: skip
    AccountHead.objects.update_or_create(
        account=stage.account, defaults={"entry_count": 7006, "digest": bytes(range(32))}
    )
    for minute in range(0, 24 * 60 - 20, 3):
        at = start + timedelta(minutes=minute)
        Run.objects.create(account=stage.account, started_at=at, finished_at=at, as_of=at, complete=True)
    Restatement.objects.create(
        account=stage.account, day=start.date(), old=D("310.20"), new=D("297.75"),
        why="a funding payment came late", who="user:anna", at=start + timedelta(hours=9),
    )  # fmt: skip
    recovered(stage)
    stage.later(hours=2)
    stage.raised(subject="open", kind="feed_silent", title="FEED SILENT main: down since 14 Jan 15:14:16 UTC")
    stage.deliver()
    stage.now = datetime(2026, 1, 15, 6, tzinfo=UTC)
    digest.queue_due(now=stage.now)


@pytest.mark.parametrize("story", [raised, recovered, storm, daily])
class TestAMail:
    def test_reads_well_on_a_desk_and_on_a_phone(self, stage, page, story):
        story(stage)
        stage.deliver()
        mail = Mail.objects.order_by("-pk").first()
        for size, width in (("desktop", 720), ("phone", 360)):
            page.set_viewport_size({"width": width, "height": 800})
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.set_content(mail.html)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                self.keep(page, f"{story.__name__}-{size}-{theme}")
            page.emulate_media(color_scheme="light")
            page.set_content(f"<pre style='white-space: pre-wrap; margin: 16px'>{escape(mail.text)}</pre>")
            self.keep(page, f"{story.__name__}-{size}-text")

    def test_says_the_same_as_html_and_as_text(self, stage, page, story):
        story(stage)
        stage.deliver()
        mail = Mail.objects.order_by("-pk").first()
        page.set_content(mail.html)
        shown = " ".join(page.inner_text("body").replace("\xa0", " ").split())
        text = " ".join(mail.text.replace("\xa0", " ").split())
        missing = [word for word in shown.replace("·", " ").split() if word not in text and word.isalnum()]
        assert set(missing) <= {"Look", "at", "it"}, missing

    def keep(self, page, name):
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
