"""Reconciliation in a real browser on the simulated venue: sync now, then a case from finding to its end."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connections as database
from django.utils import timezone
from playwright.sync_api import expect

from core.security.scopes import Role
from reconciliation import tasks
from reconciliation.models import Case, Run
from reconciliation.runs import pauses, runs
from tests.browser.conftest import person
from tests.reconciliation.stage import staged

pytestmark = pytest.mark.browser
PATIENCE = 60  # seconds for a condition, on a machine that is busy with other things


@pytest.fixture
def stage(site):
    """A venue with 3 ETH long, proven; then a fill that it does not tell of. Time is everybody's own."""
    with staged() as found:
        account = found.account()
        found.trade("ETH", "buy", 3)
        reconcile(account, "start")
        found.do("withhold", what="fill", count=1)
        found.trade("ETH", "buy", 1)
        yield found


def reconcile(account, trigger):
    return runs.reconcile(account=account, now=timezone.now(), trace_id="test", trigger=trigger)


def until_there_is_a_case(account):
    """Reconcile again and again: a difference is a case once the grace after the fill is over."""
    deadline = time.monotonic() + PATIENCE
    while not Case.objects.exists():
        assert time.monotonic() < deadline, list(Run.objects.values_list("legs", "problem"))
        reconcile(account, "demand")


@pytest.fixture(autouse=True)
def _patient():
    """Conditions are waited for as long as a crowded machine needs."""
    expect.set_options(timeout=PATIENCE * 1000)
    yield
    expect.set_options(timeout=5_000)


@contextmanager
def worker():
    """Carries out the runs that pages begin, as a Celery worker would."""
    over = threading.Event()
    broken = []

    def work():
        try:
            while not over.wait(0.1):
                for pk in Run.objects.filter(finished_at=None, step="waiting").values_list("pk", flat=True):
                    tasks.carry_out_run(pk)
        except Exception as error:  # noqa: BLE001 - told below, in the test's own thread
            broken.append(error)
        finally:
            database.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)
    assert not thread.is_alive(), "the worker does not end"
    assert broken == []


@pytest.fixture
def tom(site):
    """A trader."""
    return person("tom", Role.TRADER)


class TestAnOperator:
    def test_syncs_now_and_resolves_the_case_that_it_opens(self, site, stage, tom):
        page = site.sign_in("tom")
        page.goto(f"{site.url}/reconciliation/")
        expect(page.locator("tr[data-account] .chip")).to_contain_text("Synced")  # "… at": no feed runs here
        with worker():
            page.get_by_role("button", name="Sync now").click()
            # Live progress: the step of the run, as it goes.
            page.locator("[data-step][data-live]").first.wait_for(timeout=PATIENCE * 1000)
            result = page.locator("[data-sync-result]")
            expect(result).to_contain_text("differ")
        expect(page.locator("tr[data-account] .chip")).to_have_text("Drift")
        expect(page.get_by_role("button", name="Sync now")).to_be_enabled()

        case = Case.objects.get(family="size")
        page.locator(f'a[href="/reconciliation/cases/{case.pk}/"]').click()
        expect(page.locator("h1")).to_have_text("ETH-PERP")
        expect(page.locator(".case-main .cmp dd").nth(0)).to_contain_text("3")
        expect(page.locator(".case-main .cmp dd").nth(1)).to_contain_text("4")
        assert page.locator(".causes > li").count() >= 1

        page.get_by_placeholder("Comment").fill("asked the venue")
        page.get_by_role("button", name="Comment").click()
        expect(page.locator(".timeline")).to_contain_text("asked the venue")

        page.get_by_role("link", name="Adopt the venue's 4 ETH").click()
        expect(page.get_by_label("Preview")).to_contain_text("3 → 4")
        assert not case.corrections.exists()
        page.get_by_label("Why").fill("seen at the venue")
        page.get_by_role("button", name="Book it and read the venue again").click()
        outcome = page.get_by_role("status").filter(has_text="book and venue agree")
        expect(outcome).to_be_visible(timeout=PATIENCE * 1000)
        expect(page.locator(".page-head .chip")).to_have_text("Resolved")
        case.refresh_from_db()
        assert case.state == "resolved"
        assert case.corrections.get().outcome == "agrees"
        assert site.complaints == []

    def test_sees_that_a_venue_which_does_not_answer_is_no_drift(self, site, stage, tom):
        stage.fail("status", status=500)
        page = site.sign_in("tom")
        page.goto(f"{site.url}/reconciliation/")
        with worker():
            page.get_by_role("button", name="Sync now").click()
            expect(page.locator("[data-sync-result]")).to_contain_text(
                "could not be read", timeout=2 * PATIENCE * 1000
            )
        assert page.locator("tr[data-account] .chip").first.inner_text().startswith("Synced")
        assert not Case.objects.exists()


class TestAViewer:
    def test_looks_at_cases_and_is_offered_nothing_to_do(self, site, stage, vera):
        until_there_is_a_case(Run.objects.latest("pk").account)
        page = site.sign_in("vera")
        page.goto(f"{site.url}/reconciliation/")
        assert page.get_by_role("button", name="Sync").count() == 0
        page.locator(".cases a").first.click()
        expect(page.get_by_text("Your role may look, not act")).to_be_visible()
        assert page.locator("main form").count() == 0


class TestOnAPhone:
    PAGES = ("", "cases/?state=all", "runs/", "allocation/", "statistics/")

    def test_no_page_or_table_scrolls_sideways(self, site, stage, tom):
        account = Run.objects.latest("pk").account
        until_there_is_a_case(account)
        hours = timedelta(hours=2)
        now = timezone.now()
        pauses.pause(account=account, until=now + hours, reason="upgrade", who="user:ada", now=now)
        page = site.sign_in("tom")
        page.set_viewport_size({"width": 390, "height": 844})
        details = (f"cases/{Case.objects.latest('pk').pk}/", f"runs/{Run.objects.latest('pk').pk}/")
        for name in (*self.PAGES, *details):
            page.goto(f"{site.url}/reconciliation/{name}")
            wide = page.evaluate(
                "[document.documentElement, ...document.querySelectorAll('.scroll')]"
                ".filter((one) => one.scrollWidth > one.clientWidth + 1)"
                ".map((one) => `${one.ariaLabel}: ${one.scrollWidth} of ${one.clientWidth}`)"
            )
            assert wide == [], name
        assert site.complaints == []
