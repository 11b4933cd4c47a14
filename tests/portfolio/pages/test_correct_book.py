"""Correcting the book from a position's page: previewed, booked once, taken back; never by who may not."""

import re
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.utils import timezone

from positions.models import Entry, Position
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(db):
    """0.5 BTC long at 96,240, marked at 97,412.5."""
    now = timezone.now() - timedelta(minutes=1)
    market = Market(now=now)
    market.fill("buy", "0.5", "96240", now=now)
    market.mark(BTC, "97412.5", now=timezone.now())
    return Position.objects.get()


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.content.decode()))


def preview(browser, held, **asked):
    return browser.get(f"/positions/{held.pk}/correct/", asked)


def confirm(browser, held, page, *, reason="the venue never had it", **changed):
    sent = hidden(page) | {"reason": reason} | changed
    return browser.post(f"/positions/{held.pk}/correct/", sent, follow=True)


class TestAPreview:
    def test_shows_both_sides_at_the_mark_price_and_books_nothing(self, as_trader, held):
        text = preview(as_trader, held, change="reduce", quantity="0.2").content.decode()
        assert re.search(r"0\.50000 → <b>0\.30000</b>", text)
        assert re.search(r"0\.00 → <b>\+234\.50</b>", text)
        assert "at\n  97,412.5" in text
        assert Entry.objects.count() == 1

    def test_says_that_nothing_is_traded_and_which_drift_it_will_cause(self, as_trader, held):
        text = preview(as_trader, held, change="increase", quantity="0.1", price="95000").content.decode()
        assert "Nothing is traded" in text
        assert re.search(r"Hyperliquid will not have this change.*0\.10000 BTC", text, re.DOTALL)

    def test_to_close_needs_no_quantity(self, as_trader, held):
        text = preview(as_trader, held, change="close").content.decode()
        assert re.search(r"0\.50000 → <b>0\.00000</b>", text)

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"change": "reduce"}, "Say how much."),
            ({"change": "reduce", "quantity": "-1"}, "greater than or equal to"),
            ({"change": "reduce", "quantity": "NaN"}, "Enter a number."),
            ({"change": "reduce", "quantity": "1e9999"}, "no more than"),
            ({"change": "reduce", "quantity": "0." + "1" * 30}, "no more than 18 decimal places"),
            ({"change": "reduce", "quantity": "0.6"}, "has 0.5, not 0.6"),
            ({"change": "trade", "quantity": "1"}, "Select a valid choice"),
        ],
    )
    def test_of_what_cannot_be_says_why(self, as_trader, held, asked, said):
        answer = preview(as_trader, held, **asked)
        assert answer.status_code == 200
        assert said in answer.content.decode()
        assert "reference" not in hidden(answer)

    def test_without_a_fresh_mark_asks_for_the_price(self, as_trader, db):
        now = timezone.now()
        Market(now=now).fill("buy", "0.5", "96240", now=now)
        text = preview(as_trader, Position.objects.get(), change="reduce", quantity="0.1").content.decode()
        assert "say the price" in text


class TestAConfirmation:
    def test_books_what_was_shown_with_who_and_why(self, as_trader, held):
        page = preview(as_trader, held, change="reduce", quantity="0.2")
        text = confirm(as_trader, held, page).content.decode()
        held.refresh_from_db()
        assert (held.quantity, held.realized_pnl) == (D("0.3"), D("234.5"))
        assert "Booked by hand" in text
        event = held.events.order_by("-pk").first()
        assert (event.who, event.reason) == ("user:tom", "the venue never had it")

    def test_books_once_however_often_it_is_sent(self, as_trader, held):
        page = preview(as_trader, held, change="reduce", quantity="0.2")
        for _ in range(2):
            confirm(as_trader, held, page)
        held.refresh_from_db()
        assert (held.quantity, Entry.objects.count()) == (D("0.3"), 2)

    def test_of_a_position_that_changed_meanwhile_is_refused_and_shown_anew(self, as_trader, held):
        page = preview(as_trader, held, change="close")
        confirm(as_trader, held, preview(as_trader, held, change="reduce", quantity="0.2"))
        text = confirm(as_trader, held, page, quantity="0.5").content.decode()
        assert "the position changed since this preview" in text
        assert re.search(r"0\.30000 → <b>0\.00000</b>", text)
        held.refresh_from_db()
        assert held.quantity == D("0.3")

    def test_without_a_reason_is_refused(self, as_trader, held):
        page = preview(as_trader, held, change="reduce", quantity="0.2")
        assert "say why" in confirm(as_trader, held, page, reason="  ").content.decode()
        assert Entry.objects.count() == 1

    @pytest.mark.parametrize("forged", [{"reference": "x"}, {"version": "²"}, {"version": "9" * 5000}])
    def test_that_is_forged_is_refused(self, as_trader, held, forged):
        page = preview(as_trader, held, change="reduce", quantity="0.2")
        assert confirm(as_trader, held, page, **forged).status_code == 200
        assert Entry.objects.count() == 1


class TestTakingBack:
    @pytest.fixture
    def corrected(self, as_trader, held):
        confirm(as_trader, held, preview(as_trader, held, change="reduce", quantity="0.2"))
        return held

    def take_back(self, browser, held, **sent):
        made = Entry.objects.filter(cause="manual").last()
        sent = {"entry": made.pk if made else 0, "reason": "a slip"} | sent
        return browser.post(f"/positions/{held.pk}/take-back/", sent, follow=True)

    def test_makes_the_book_what_it_was(self, as_trader, corrected):
        assert "Take back…" in as_trader.get(f"/positions/{corrected.pk}/").content.decode()
        text = self.take_back(as_trader, corrected).content.decode()
        assert "Taken back" in text
        assert "Take back…" not in text
        corrected.refresh_from_db()
        assert (corrected.quantity, corrected.realized_pnl) == (D("0.5"), D(0))

    def test_of_a_close_opens_the_position_again(self, as_trader, held):
        confirm(as_trader, held, preview(as_trader, held, change="close"))
        held.refresh_from_db()
        assert held.status == "CLOSED"
        self.take_back(as_trader, held)
        held.refresh_from_db()
        assert (held.status, held.quantity) == ("OPEN", D("0.5"))

    def test_twice_changes_nothing(self, as_trader, corrected):
        for _ in range(2):
            self.take_back(as_trader, corrected)
        corrected.refresh_from_db()
        assert (corrected.quantity, Entry.objects.count()) == (D("0.5"), 3)

    def test_of_what_the_venue_reported_is_refused(self, as_trader, held):
        text = self.take_back(as_trader, held, entry=Entry.objects.get().pk).content.decode()
        assert "only what was booked by hand is taken back here" in text
        assert Entry.objects.count() == 1

    def test_without_a_reason_is_refused(self, as_trader, corrected):
        assert "Not taken back: say why." in self.take_back(as_trader, corrected, reason="").content.decode()


class TestWhoMayNot:
    def test_sees_no_button_and_is_refused(self, as_viewer, held):
        assert "Correct book" not in as_viewer.get(f"/positions/{held.pk}/").content.decode()
        assert preview(as_viewer, held, change="close").status_code == 403
        assert as_viewer.post(f"/positions/{held.pk}/take-back/").status_code == 403

    def test_finds_no_position_that_is_not_there(self, as_trader, db):
        assert as_trader.get("/positions/999/correct/").status_code == 404
