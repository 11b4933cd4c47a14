"""Connecting an account by the page: tested at a simulated venue, saved only then, no key ever shown."""

import re

import pytest
from django.core import signing
from django.utils import timezone

from core.signin.login import CONFIRMED_AT
from portfolio.pages import connect
from positions.models import Account
from positions.sync import connections, trials
from positions.venues.checkup import Check, Outcome
from tests.reconciliation.stage import OTHER, staged

pytestmark = pytest.mark.django_db
PAGE = "/accounts/connect/"


@pytest.fixture
def stage(db):
    """A simulated Hyperliquid that one account is on already."""
    with staged() as found:
        found.account(label="first")
        found.do("deposit", user=OTHER, amount=500)
        yield found


def asked(stage, **changed):
    given = {"venue": "hyperliquid", "label": "second", "world": f"simulated|{stage.base}", "address": OTHER}
    return given | changed


def token_of(answer):
    found = re.search(r'name="token" value="([^"]+)"', answer.content.decode())
    return found[1] if found else None


class TestTheWayThere:
    def test_lists_venues_and_asks_only_for_what_one_needs(self, as_admin):
        assert "Hyperliquid" in as_admin.get(PAGE).content.decode()
        by_address = as_admin.get(PAGE, {"venue": "hyperliquid"}).content.decode()
        assert 'name="address"' in by_address
        assert 'name="secret"' not in by_address
        by_key = as_admin.get(PAGE, {"venue": "okx"}).content.decode()
        assert all(f'name="{name}"' in by_key for name in ("api_key", "secret", "password"))
        assert 'name="address"' not in by_key

    def test_tests_before_anything_is_saved_then_connects(self, as_admin, stage):
        tested = as_admin.post(PAGE, asked(stage))
        text = tested.content.decode()
        assert re.search(r"Positions.*Good", text, re.DOTALL)
        assert Account.objects.count() == 1
        answer = as_admin.post(PAGE, {"token": token_of(tested)}, follow=True)
        account = Account.objects.get(label="second")
        assert answer.redirect_chain == [(f"/accounts/{account.pk}/", 302)]
        assert (account.address, account.environment, account.base_url) == (OTHER, "simulated", stage.base)
        assert "second is connected" in answer.content.decode()

    def test_is_shown_to_a_desk_without_accounts_with_what_else_is_left(self, as_admin):
        text = as_admin.get("/").content.decode()
        assert PAGE in text
        assert "Let somebody hear of trouble" in text
        assert "First steps" in as_admin.get("/start/").content.decode()


class TestWhatCannotBe:
    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"address": "0x12"}, "0x and 40 hexadecimal digits"),
            ({"label": "first"}, "there is an account called"),
            ({"label": ""}, "This field is required"),
            ({"venue": "nowhere"}, "no venue is called"),
            ({"world": "simulated|http://elsewhere.example"}, "Select a valid choice"),
        ],
    )
    def test_is_said_in_place_and_saves_nothing(self, as_admin, stage, changed, said):
        answer = as_admin.post(PAGE, asked(stage, **changed))
        assert answer.status_code == 200
        assert said in answer.content.decode()
        assert (token_of(answer), Account.objects.count()) == (None, 1)

    def test_a_venue_that_does_not_answer_cannot_be_connected(self, as_admin, stage, monkeypatch):
        stage.fail("status", status=500, count=10_000)
        monkeypatch.setattr(trials, "MOST_SECONDS", 2.0)
        answer = as_admin.post(PAGE, asked(stage))
        assert token_of(answer) is None
        assert "It cannot be connected like this" in answer.content.decode()

    @pytest.mark.parametrize("made", ["forged", "old"])
    def test_a_token_that_is_not_ours_or_too_old_saves_nothing(self, as_admin, stage, monkeypatch, made):
        token = token_of(as_admin.post(PAGE, asked(stage)))
        if made == "forged":
            token = signing.dumps({"label": "x"}, salt="other")
        else:
            monkeypatch.setattr(connect, "GOOD_FOR_SECONDS", -1)
        assert "make it again" in as_admin.post(PAGE, {"token": token}).content.decode()
        assert Account.objects.count() == 1


class TestKeys:
    def test_are_never_in_an_answer_nor_readable_in_its_token(self, as_admin, monkeypatch):
        monkeypatch.setattr(trials, "try_connection", lambda _: [Check("positions", Outcome.GOOD, "0")])
        given = {"venue": "okx", "label": "keys", "world": "testnet|", "api_key": "visible-key-1",
                 "secret": "visible-secret-2", "password": "visible-words-3"}  # fmt: skip
        answer = as_admin.post(PAGE, given)
        text = answer.content.decode()
        assert "visible-" not in text
        content = signing.loads(token_of(answer), salt=connect.SALT)
        assert "visible-" not in str(content)
        keys = connections.decrypt(content["credentials"], account="keys")
        assert (keys.api_key, keys.secret) == ("visible-key-1", "visible-secret-2")

    def test_that_were_refused_are_not_put_back_into_the_form(self, as_admin):
        given = {"venue": "okx", "label": "", "world": "testnet|", "api_key": "visible-key-1",
                 "secret": "visible-secret-2", "password": "visible-words-3"}  # fmt: skip
        assert "visible-" not in as_admin.post(PAGE, given).content.decode()


class TestWhoMayNot:
    def test_is_refused(self, as_viewer, as_trader):
        assert as_viewer.get(PAGE).status_code == 403
        assert as_trader.post(PAGE).status_code == 403

    def test_is_asked_for_the_password_again_where_a_session_is_old(self, as_admin):
        session = as_admin.session
        session[CONFIRMED_AT] = timezone.now().timestamp() - 86_400
        session.save()
        answer = as_admin.get(PAGE)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/confirm/")
