"""Reconciliation in the admin: evidence is looked at, policies and targets are set, cases are taken."""

from decimal import Decimal as D

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from core.security.scopes import Role
from positions.models import Account
from reconciliation.models import AllocationTarget, Case, Correction, DifferenceRow, Policy, Run, Verdict
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db
ADMIN = "/admin/reconciliation/"
EVIDENCE = [Run, Verdict, DifferenceRow, Case, Correction]


@pytest.fixture
def market(db):
    return Market(now=timezone.now())


@pytest.fixture
def case(market):
    now = timezone.now()
    run = Run.objects.create(account=market.account, started_at=now, finished_at=now, as_of=now)
    leg = {"account": market.account, "instrument_id": market.instruments[BTC], "leg": "net"}
    found = Case.objects.create(
        **leg, family="size", run=run, opened_at=now, changed_at=now,
        diagnosis=[{"cause": "fill_missed", "score": "0.9", "text": "x", "evidence": []}],
    )  # fmt: skip
    Verdict.objects.create(**leg, status="DRIFT", changed_at=now)
    DifferenceRow.objects.create(
        **leg, family="size", kind="quantity", amount=D(1), first_run=run, last_run=run, first_as_of=now,
        first_at=now,
    )  # fmt: skip
    Correction.objects.create(case=found, action="keep_book", who="user:ada", reason="x", applied_at=now)
    return found


@pytest.fixture
def as_staff_trader(db):
    """A trader who may enter the admin, and has no permissions of her own there."""
    user = User.objects.create_user("tess", password="x", is_staff=True)
    user.groups.add(Group.objects.get_or_create(name=Role.TRADER.value)[0])
    browser = Client()
    browser.force_login(user)
    return browser


class TestEvidence:
    @pytest.mark.parametrize("model", EVIDENCE)
    def test_is_listed_and_shown_and_never_edited(self, as_admin, case, model):
        name = model._meta.model_name
        row = model.objects.get()
        assert as_admin.get(f"{ADMIN}{name}/").status_code == 200
        assert as_admin.get(f"{ADMIN}{name}/{row.pk}/change/").status_code == 200
        assert as_admin.post(f"{ADMIN}{name}/{row.pk}/change/", {}).status_code == 403
        assert as_admin.post(f"{ADMIN}{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert as_admin.get(f"{ADMIN}{name}/add/").status_code == 403


class TestCases:
    def act(self, browser, case, action):
        body = {"action": action, "_selected_action": [case.pk]}
        return browser.post(f"{ADMIN}case/", body, follow=True)

    def test_are_acknowledged_and_taken(self, as_staff_trader, case):
        self.act(as_staff_trader, case, "acknowledge")
        self.act(as_staff_trader, case, "take")
        case.refresh_from_db()
        assert (case.state, case.assignee) == ("acknowledged", "tess")
        assert [one.who for one in case.events.all()] == ["user:tess", "user:tess"]

    def test_stay_as_they_are_for_a_viewer(self, case):
        user = User.objects.create_user("vic", password="x", is_staff=True)
        user.groups.add(Group.objects.get_or_create(name=Role.VIEWER.value)[0])
        browser = Client()
        browser.force_login(user)
        assert "needs the trader or the admin role" in self.act(browser, case, "acknowledge").content.decode()
        case.refresh_from_db()
        assert case.state == "open"


class TestAPolicy:
    BODY = {"account": "", "family": "size", "mode": "adjust", "materiality_usd": "25"}

    def test_is_set_and_setting_it_again_ends_its_halt(self, as_admin, market):
        assert as_admin.post(f"{ADMIN}policy/add/", self.BODY).status_code == 302
        row = Policy.objects.get()
        assert (row.mode, row.materiality_usd) == ("adjust", 25)
        Policy.objects.update(halted_at=timezone.now())
        body = {"mode": "adopt", "materiality_usd": ""}
        assert as_admin.post(f"{ADMIN}policy/{row.pk}/change/", body).status_code == 302
        row.refresh_from_db()
        assert (row.mode, row.materiality_usd, row.halted_at) == ("adopt", None, None)
        assert Policy.objects.count() == 1

    @pytest.mark.parametrize("wrong", [{"materiality_usd": "-1"}, {"mode": "hope"}, {"family": "luck"}])
    def test_that_cannot_be_meant_is_refused(self, as_admin, market, wrong):
        assert as_admin.post(f"{ADMIN}policy/add/", self.BODY | wrong).status_code == 200
        assert not Policy.objects.exists()

    def test_is_seen_but_not_set_by_a_trader(self, as_staff_trader, market):
        assert as_staff_trader.get(f"{ADMIN}policy/").status_code == 200
        assert as_staff_trader.post(f"{ADMIN}policy/add/", self.BODY).status_code == 403
        assert not Policy.objects.exists()


class TestAnAllocationTarget:
    def body(self, **fields):
        return {
            "environment": "simulated", "venue": "hyperliquid", "account": "", "share": "0.8",
            "tolerance": "0.05", **fields,
        }  # fmt: skip

    def test_is_set_changed_and_dropped(self, as_admin, market):
        assert as_admin.post(f"{ADMIN}allocationtarget/add/", self.body()).status_code == 302
        row = AllocationTarget.objects.get()
        assert (row.share, row.changed_by) == (D("0.8"), "user:ada")
        body = {"share": "0.6", "tolerance": "0.1"}
        assert as_admin.post(f"{ADMIN}allocationtarget/{row.pk}/change/", body).status_code == 302
        row.refresh_from_db()
        assert (row.share, row.tolerance, row.venue) == (D("0.6"), D("0.1"), "hyperliquid")
        as_admin.post(f"{ADMIN}allocationtarget/{row.pk}/delete/", {"post": "yes"})
        assert not AllocationTarget.objects.exists()

    def test_beyond_everything_or_of_nothing_is_refused(self, as_admin, market):
        as_admin.post(f"{ADMIN}allocationtarget/add/", self.body())
        for wrong in (
            self.body(venue="coinbase", share="0.3"), self.body(venue=""), self.body(share="1.5"),
            self.body(environment="live", venue="", account=Account.objects.get().pk),
        ):  # fmt: skip
            assert as_admin.post(f"{ADMIN}allocationtarget/add/", wrong).status_code == 200, wrong
        assert AllocationTarget.objects.count() == 1
