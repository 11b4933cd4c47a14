"""The demo's fault panel: what it causes at a simulated venue, and that it exists nowhere else."""

from decimal import Decimal as D

import pytest

from positions import observe
from positions.models import Position
from tests.reconciliation.stage import cases, leg, staged

pytestmark = pytest.mark.django_db
PAGE = "/demo/faults/"


@pytest.fixture
def stage(db, settings):
    settings.SIM_CONTROL_TOKEN = "token"
    with staged() as found:
        yield found


@pytest.fixture
def held(stage):
    """An account with 3 ETH long, proven and priced."""
    account = stage.account()
    stage.reconcile(account, trigger="start")
    stage.trade("ETH", "buy", 3)
    stage.minutes(account)
    position = Position.objects.get(account=account, instrument__venue_symbol="ETH")
    assert position.quantity == 3
    return account


def cause(browser, account, fault):
    return browser.post(PAGE, {"account": account.pk, "fault": fault}, follow=True).content.decode()


class TestThePanel:
    def test_lists_what_can_go_wrong_and_what_to_expect(self, as_admin, held):
        text = as_admin.get(PAGE).content.decode()
        assert all(words in text for words in ("Cut the feed", "Hide a fill", "Crash a price", "Lie about"))

    def test_hides_a_fill_that_the_product_then_finds(self, as_admin, stage, held):
        assert "Hide a fill, main: done" in cause(as_admin, held, "hide")
        assert stage.truth()["ETH"] == D("3.3")
        stage.minutes(held, 2)
        assert leg(held).status in ("DRIFT", "FAILED")
        assert len(cases(held)) >= 1

    def test_lies_about_a_balance_that_the_product_then_finds(self, as_admin, stage, held):
        assert "Lie about a balance, main: done" in cause(as_admin, held, "lie")
        stage.minutes(held, 2)
        assert [case.asset for case in cases(held)] == ["USDC"]

    def test_moves_the_price_against_the_largest_position(self, as_admin, stage, held):
        before = stage.simulation.exchange.markets["ETH"].mark
        instrument = Position.objects.get(account=held, closed_at__isnull=True).instrument_id
        mark = observe.MarkPrice(instrument=instrument, price=before, source="mark", at=stage.now())
        observe.marks(prices=[mark], now=stage.now())
        assert "Crash a price, main: done" in cause(as_admin, held, "crash")
        stage.wait(1)
        assert stage.simulation.exchange.markets["ETH"].mark < before * D("0.95")

    def test_cuts_the_feed_and_lets_all_be_well_again(self, as_admin, stage, held):
        cause(as_admin, held, "cut")
        assert stage.venue.faults.listed()
        assert "is over" in cause(as_admin, held, "end")
        assert not stage.venue.faults.listed()


class TestWhatCannotBe:
    def test_is_said(self, as_admin, stage):
        account = stage.account()
        assert "holds no perpetual now" in cause(as_admin, account, "hide")
        assert "there is no such fault" in cause(as_admin, account, "x")
        assert "choose an account" in as_admin.post(PAGE, {"fault": "cut"}, follow=True).content.decode()

    def test_of_a_simulator_that_is_gone_is_said(self, as_admin, stage):
        account = stage.account()
        type(account).objects.filter(pk=account.pk).update(base_url="http://127.0.0.1:1")
        assert "does not answer" in cause(as_admin, account, "cut")


class TestElsewhere:
    def test_there_is_no_panel(self, as_admin, settings):
        settings.SIM_CONTROL_TOKEN = ""
        assert as_admin.get(PAGE).status_code == 404
        assert "Make something go wrong" not in as_admin.get("/").content.decode()

    def test_it_is_for_admins_only(self, as_trader, stage):
        assert as_trader.get(PAGE).status_code == 403
