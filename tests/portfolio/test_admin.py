"""The admin shows the whole book and edits none of it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib import admin as django_admin

from positions import ingest
from positions.book import Cause, Entry, Kind, Side
from positions.models import Account, QuarantinedEntry
from positions.models import Entry as EntryRow
from reconciliation.models import Pause
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
PAGES = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for model in django_admin.site._registry
    if model._meta.app_label in ("positions", "reconciliation")
]
SET_BY_PEOPLE = ("/admin/reconciliation/policy/", "/admin/reconciliation/allocationtarget/")


@pytest.fixture
def book():
    market = Market(now=NOW)
    market.fill("buy", "0.5", "60000", now=NOW)
    bad = Entry(
        kind=Kind.FILL, cause=Cause.TRADE, venue_ref="odd", time=NOW, instrument="NOPE/USDC:USDC",
        side=Side.BUY, quantity=Decimal(1), price=Decimal(1), fee=Decimal(0), fee_currency="USDC",
    )  # fmt: skip
    ingest.record(account=market.account, entries=[bad], source="test", trace_id="t", now=NOW)
    return market


class TestEveryList:
    @pytest.mark.parametrize("page", PAGES)
    def test_opens(self, book, as_admin, page):
        assert as_admin.get(page).status_code == 200

    @pytest.mark.parametrize("page", [page for page in PAGES if page not in SET_BY_PEOPLE])
    def test_adds_nothing(self, book, as_admin, page):
        assert as_admin.get(f"{page}add/").status_code == 403

    @pytest.mark.parametrize("page", PAGES)
    def test_is_closed_to_traders(self, book, as_trader, page):
        assert as_trader.get(page).status_code == 302


class TestAnEntry:
    def test_is_shown_and_never_changed(self, book, as_admin):
        row = EntryRow.objects.get()
        page = f"/admin/positions/entry/{row.pk}/change/"
        assert as_admin.get(page).status_code == 200
        assert as_admin.post(page, {"venue_ref": "forged"}).status_code == 403
        assert as_admin.post(f"/admin/positions/entry/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert EntryRow.objects.get().venue_ref == row.venue_ref


class TestTheQuarantine:
    def test_shows_what_was_refused_with_its_payload(self, book, as_admin):
        row = QuarantinedEntry.objects.get()
        shown = as_admin.get(f"/admin/positions/quarantinedentry/{row.pk}/change/").content.decode()
        assert "NOPE/USDC:USDC" in shown
        assert json.loads(row.content)["venue_ref"] == "odd"

    def test_is_settled_by_somebody_who_looked(self, book, as_admin):
        row = QuarantinedEntry.objects.get()
        form = {"action": "settle", "_selected_action": [row.pk]}
        answer = as_admin.post("/admin/positions/quarantinedentry/", form, follow=True)
        assert "1 settled" in answer.content.decode()
        row.refresh_from_db()
        assert row.settlement == "ada: nothing to book"
        assert row.settled_at is not None

    def test_is_not_settled_by_one_who_may_only_look(self, book, client, viewer):
        viewer.is_staff = True
        viewer.save(update_fields=["is_staff"])
        client.force_login(viewer)
        row = QuarantinedEntry.objects.get()
        form = {"action": "settle", "_selected_action": [row.pk]}
        client.post("/admin/positions/quarantinedentry/", form)
        row.refresh_from_db()
        assert row.settled_at is None


class TestAnAccount:
    def test_is_paused_but_not_readdressed(self, book, as_admin):
        account = Account.objects.get(label="main")
        until = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
        form = {
            "label": "main", "enabled": "on", "paused_until_0": until.date().isoformat(),
            "paused_until_1": "12:00:00", "pause_reason": "venue maintenance", "address": "0xforged",
        }  # fmt: skip
        answer = as_admin.post(f"/admin/positions/account/{account.pk}/change/", form)
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        account.refresh_from_db()
        assert (account.paused_until, account.pause_reason) == (until, "venue maintenance")
        assert account.address == ""
        assert BTC in book.instruments
        [kept] = Pause.objects.all()
        assert (kept.account, kept.until, kept.reason, kept.who) == (
            account, until, "venue maintenance", "user:ada",
        )  # fmt: skip
