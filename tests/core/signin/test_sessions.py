"""Guesses, idle ends of sessions, one's other sessions, and passwords that are asked for again."""

from datetime import timedelta

import pytest
import redis
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from core.models import ApiKey, SecurityEvent
from core.signin import guesses
from core.signin.login import CONFIRMED_AT
from core.tracing.addresses import client_network, parse
from tests.core.test_people import PASSWORD, log_in


class TestAnAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("1.2.3.4", "1.2.3.4"), ("1.2.3.4:5678", "1.2.3.4"), ("::1", "::1"), ("[::1]", "::1"),
            ("[2001:db8::1]:443", "2001:db8::1"), ("2001:DB8:0:0::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"), ("::ffff:1.2.3.4", "1.2.3.4"),
            ('"[2001:db8::1]:443"', "2001:db8::1"),
        ],
    )  # fmt: skip
    def test_is_read_in_every_form_that_proxies_write(self, text, address):
        assert str(parse(text)) == address

    @pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "example.org:80"])
    def test_is_none_where_it_is_none(self, text):
        assert parse(text) is None

    @pytest.mark.parametrize(
        ("header", "network"),
        [
            ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"), ("[2001:db8:1:2:ffff::9]:99", "2001:db8:1:2::"),
            ("203.0.113.9:4711", "203.0.113.9"), ("nonsense", "0.0.0.0"),
        ],
    )  # fmt: skip
    def test_counts_with_its_network(self, rf, settings, header, network):
        settings.TRUSTED_PROXIES = 1
        assert client_network(rf.get("/", headers={"X-Forwarded-For": header})) == network


@pytest.mark.django_db
class TestANameThatManyAddressesGuess:
    def guess(self, number, name="tom", password="wrong"):
        return log_in(Client(REMOTE_ADDR=f"203.0.113.{number}"), name, password)

    def test_waits_longer_after_each_further_guess(self, trader, redis_server):
        assert [self.guess(n).status_code for n in range(10)] == [200] * 10
        refused = self.guess(11)
        assert (refused.status_code, refused["Retry-After"]) == (429, "1")
        assert "one address or several" in refused.content.decode()
        waits = []
        for _ in range(12):
            (place,) = redis_server.keys("plumbline:guesses:*")
            redis_server.hdel(place, "allowed_at")  # waited
            guesses.take(name="tom", network="203.0.113.50")
            waits.append(guesses.take(name="tom", network="203.0.113.50"))
        assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]

    def test_is_not_closed_to_where_it_signed_in_lately(self, trader):
        desk = {"REMOTE_ADDR": "198.51.100.1"}
        assert log_in(Client(**desk), "tom", PASSWORD).status_code == 302
        for n in range(12):
            self.guess(n)
        assert self.guess(200, password=PASSWORD).status_code == 429
        assert log_in(Client(**desk), "tom", PASSWORD).status_code == 302

    def test_is_one_name_in_every_spelling(self, trader):
        for n in range(10):
            self.guess(n, name=" Tom " if n % 2 else "TOM")
        assert self.guess(99, password=PASSWORD).status_code == 429

    def test_in_one_ipv6_network_is_one_address(self, settings, trader):
        settings.LOGIN_TRIES_PER_ADDRESS = 3
        tries = [
            log_in(Client(REMOTE_ADDR=f"2001:db8::{n:x}"), f"person{n}", "Summer2026!").status_code
            for n in range(1, 5)
        ]
        assert tries == [200, 200, 200, 429]

    def test_that_no_database_can_hold_is_a_bad_request(self, settings):
        settings.LOGIN_TRIES_PER_ADDRESS = 100
        browser = Client()
        answers = [log_in(browser, "to\0m", "wrong").status_code for _ in range(12)]
        assert set(answers) == {400}

    def test_is_guessed_at_the_second_door_as_little(self, as_trader, monkeypatch):
        def away(**_):
            raise redis.ConnectionError("gone")

        monkeypatch.setattr(guesses, "succeeded", away)
        assert as_trader.post("/confirm/", {"password": PASSWORD}).status_code == 302

    def test_cannot_be_tried_while_redis_is_away(self, client, trader, monkeypatch):
        def away(*, keys, args):
            raise redis.ConnectionError("gone")

        monkeypatch.setattr("core.api.rates.script", lambda lua: away)
        answer = log_in(client, "tom", PASSWORD)
        assert (answer.status_code, answer["Retry-After"]) == (503, "10")
        assert client.get("/").status_code == 302


@pytest.mark.django_db
class TestASession:
    def test_ends_when_it_is_idle(self, client, trader, settings):
        settings.SESSION_COOKIE_AGE = 3600
        log_in(client, "tom", PASSWORD)
        ends = Session.objects.get().expire_date - timezone.now()
        assert timedelta(minutes=59) < ends <= timedelta(hours=1)

    @pytest.mark.parametrize(
        ("method", "path", "headers", "renewed"),
        [
            ("get", "/", {}, True),
            ("get", "/", {"Sec-Fetch-Dest": "document"}, True),
            ("post", "/api/v1/positions/stream-ticket", {"Sec-Fetch-Dest": "empty"}, True),
            ("get", "/api/v1/me", {}, False),
            ("get", "/reconciliation/", {"Sec-Fetch-Dest": "empty"}, False),
        ],
    )
    def test_goes_on_by_what_people_do_and_not_by_what_scripts_fetch(
        self, client, trader, method, path, headers, renewed
    ):
        log_in(client, "tom", PASSWORD)
        session = client.session
        session["renewed_at"] = 0
        session.save()
        ends = timezone.now() + timedelta(minutes=30)
        Session.objects.update(expire_date=ends)
        assert getattr(client, method)(path, headers=headers).status_code < 300
        assert (Session.objects.get().expire_date > ends) is renewed

    def test_is_renewed_once_in_a_while_only(self, client, trader):
        log_in(client, "tom", PASSWORD)
        client.get("/password/")
        renewed = client.session["renewed_at"]
        client.get("/password/")
        assert client.session["renewed_at"] == renewed

    def test_ends_after_its_longest_time_though_it_was_used(self, client, trader, settings):
        log_in(client, "tom", PASSWORD)
        session = client.session
        session["began_at"] = timezone.now().timestamp() - settings.SESSION_LONGEST_SECONDS - 1
        session.save()
        assert client.get("/").status_code == 302

    def test_is_ended_by_its_owner_from_another_one(self, trader, viewer):
        here, there, others = Client(), Client(), Client()
        for browser, name in ((here, "tom"), (there, "tom"), (others, "vera")):
            log_in(browser, name, PASSWORD)
        assert "1 more time" in here.get("/sessions/").content.decode()
        assert "1 ended" in here.post("/sessions/").content.decode()
        assert [browser.get("/").status_code for browser in (here, there, others)] == [200, 302, 200]
        assert SecurityEvent.objects.filter(act="sign-in.sessions ended", subject="tom").exists()


@pytest.mark.django_db
class TestKeysAndPeople:
    PAGES = ("/admin/core/apikey/add/", "/admin/auth/user/add/", "/admin/auth/group/add/")

    @pytest.fixture
    def stale(self, as_admin):
        session = as_admin.session
        session[CONFIRMED_AT] = 0
        session.save()
        return as_admin

    @pytest.mark.parametrize("page", PAGES)
    def test_are_changed_only_by_who_gave_the_password_lately(self, stale, page):
        for answer in (stale.get(page), stale.post(page, {})):
            assert (answer.status_code, answer["Location"]) == (302, f"/confirm/?next={page}")
        assert stale.post(f"/confirm/?next={page}", {"password": "wrong"}).status_code == 200
        assert stale.get(page).status_code == 302
        answer = stale.post(f"/confirm/?next={page}", {"password": PASSWORD})
        assert answer["Location"] == page
        assert stale.get(page).status_code == 200

    def test_set_no_password_either(self, stale, trader):
        page = f"/admin/auth/user/{trader.pk}/password/"
        assert stale.post(page, {"password1": "x", "password2": "x"})["Location"] == f"/confirm/?next={page}"

    def test_lead_nowhere_else_after_the_password(self, stale):
        for wanted in ("https://evil.example/", "//evil.example"):
            assert stale.post(f"/confirm/?next={wanted}", {"password": PASSWORD})["Location"] == "/admin/"

    def test_are_not_guessed_at_the_second_door(self, stale):
        answers = [stale.post("/confirm/", {"password": f"wrong{n}"}).status_code for n in range(6)]
        assert answers[-1] == 429


@pytest.mark.django_db
class TestTheTextOfANewKey:
    def test_is_on_the_answer_and_nowhere_else(self, as_admin, admin):
        form = {
            "name": "bot", "owner": admin.pk, "scopes": ["read"], "tier": "standard", "all_accounts": "on",
            "accounts": "", "expires_at_0": f"{timezone.now() + timedelta(days=9):%Y-%m-%d}",
            "expires_at_1": "00:00:00",
        }  # fmt: skip
        answer = as_admin.post("/admin/core/apikey/add/", form)
        key = ApiKey.objects.get()
        assert answer.status_code == 200, answer.context["adminform"].errors
        assert f"{key.prefix}." in answer.content.decode()
        assert "no-store" in answer["Cache-Control"]
        assert key.accounts is None
        assert "messages" not in answer.cookies
        assert f"{key.prefix}." not in str(as_admin.session.items())
        assert f"{key.prefix}." not in as_admin.get("/admin/core/apikey/").content.decode()
