"""How often a key may ask, and how often an address may try to sign in."""

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.test import Client

from core.api import rates
from core.api.rates import Limit, take
from core.security.scopes import Role
from tests.core.test_people import PASSWORD, log_in

ME = "/api/v1/me"


class TestABucket:
    def test_allows_a_burst_then_names_the_time_to_retry(self):
        limit = Limit(per_minute=6, burst=3)
        assert [take(name="bot", limit=limit).allowed for _ in range(3)] == [True] * 3
        refused = take(name="bot", limit=limit)
        assert not refused.allowed
        assert 1 <= refused.retry_after <= 10

    def test_counts_down_what_is_left(self):
        limit = Limit(per_minute=6, burst=3)
        assert [take(name="bot", limit=limit).remaining for _ in range(4)] == [2, 1, 0, 0]

    def test_fills_up_with_time(self, redis_server):
        limit = Limit(per_minute=60, burst=1)
        assert take(name="bot", limit=limit).allowed
        assert not take(name="bot", limit=limit).allowed
        seconds, micros = redis_server.time()
        redis_server.set("plumbline:rate:bot", (seconds - 5) * 1_000_000 + micros)  # five seconds later
        assert take(name="bot", limit=limit).allowed

    def test_takes_back_what_was_not_used_but_never_more_than_a_burst(self):
        limit = Limit(per_minute=6, burst=2)
        for _ in range(2):
            take(name="bot", limit=limit)
        take(name="bot", limit=limit, wanted=-1)
        assert take(name="bot", limit=limit).allowed
        for _ in range(9):
            take(name="bot", limit=limit, wanted=-1)
        assert [take(name="bot", limit=limit).allowed for _ in range(3)] == [True, True, False]

    def test_is_one_for_each_name(self):
        limit = Limit(per_minute=6, burst=1)
        assert take(name="one", limit=limit).allowed
        assert take(name="other", limit=limit).allowed

    def test_lets_everybody_through_while_redis_is_away(self, monkeypatch):
        def away(*, keys, args):
            raise redis.ConnectionError("gone")

        monkeypatch.setattr(rates, "script", lambda lua: away)
        assert take(name="bot", limit=Limit(per_minute=1, burst=1)) is None


@pytest.mark.django_db
class TestAKey:
    def test_gets_its_rate_with_every_answer(self, client, api_key):
        answer = client.get(ME, headers=api_key())
        assert answer["RateLimit-Limit"] == "600"
        assert answer["RateLimit-Remaining"] == "99"
        assert "Retry-After" not in answer

    def test_that_exceeds_its_rate_gets_the_time_to_retry(self, client, api_key, settings):
        settings.RATE_LIMITS = {"standard": 12}
        key = api_key()
        assert [client.get(ME, headers=key).status_code for _ in range(3)] == [200, 200, 429]
        refused = client.get(ME, headers=key)
        assert refused["Content-Type"] == "application/problem+json"
        assert 1 <= int(refused["Retry-After"]) <= 5
        problem = refused.json()
        assert problem["code"] == "too_many_requests"
        assert problem["retry_after_seconds"] == int(refused["Retry-After"])
        assert "12 times a minute" in problem["detail"]

    def test_does_not_use_up_what_another_has(self, client, api_key, settings):
        settings.RATE_LIMITS = {"standard": 6}
        first, second = api_key(), api_key()
        assert [client.get(ME, headers=first).status_code for _ in range(2)] == [200, 429]
        assert client.get(ME, headers=second).status_code == 200

    def test_of_a_higher_tier_may_ask_more(self, client, api_key):
        assert client.get(ME, headers=api_key(tier="premium"))["RateLimit-Limit"] == "6000"

    def test_of_the_unlimited_tier_is_not_counted(self, client, api_key, settings):
        settings.RATE_LIMITS = {"standard": 6, "premium": 6}
        key = api_key(tier="unlimited")
        answers = [client.get(ME, headers=key) for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}
        assert "RateLimit-Limit" not in answers[0]

    def test_of_people_who_are_signed_in_is_one_of_its_own(self, as_viewer, settings):
        settings.RATE_LIMITS = {"standard": 600, "premium": 600, "people": 18}
        answers = [as_viewer.get(ME) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
        assert "A login may ask 18 times a minute" in answers[-1].json()["detail"]


@pytest.mark.django_db
class TestAnAddressThatGuesses:
    def test_is_slowed_when_it_tries_one_password_on_many_names(self, client, settings):
        settings.LOGIN_TRIES_PER_ADDRESS = 6
        statuses = [log_in(client, f"person{n}", "Summer2026!").status_code for n in range(8)]
        assert statuses == [200] * 6 + [429] * 2
        refused = log_in(client, "person9", "Summer2026!")
        assert int(refused["Retry-After"]) >= 1
        assert "Too many sign-ins" in refused.content.decode()

    def test_gets_nowhere_even_with_the_right_password(self, client, settings, trader):
        settings.LOGIN_TRIES_PER_ADDRESS = 3
        for n in range(3):
            log_in(client, f"person{n}", "Summer2026!")
        assert log_in(client, "tom", PASSWORD).status_code == 429

    def test_stops_nobody_at_another_address(self, client, settings, trader):
        settings.LOGIN_TRIES_PER_ADDRESS = 2
        for n in range(3):
            log_in(client, f"person{n}", "Summer2026!")
        assert log_in(Client(REMOTE_ADDR="203.0.113.9"), "tom", PASSWORD).status_code == 302

    def test_is_not_whoever_signs_in_often(self, settings, trader):
        settings.LOGIN_TRIES_PER_ADDRESS = 2
        assert {log_in(Client(), "tom", PASSWORD).status_code for _ in range(5)} == {302}

    def test_gets_the_time_to_retry_for_a_paused_name_too(self, client, trader):
        answers = [log_in(client, "tom", "wrong") for _ in range(5)]
        assert (answers[-1].status_code, answers[-1]["Retry-After"]) == (429, "300")


@pytest.mark.django_db
class TestTheAdminsDoor:
    def test_leads_strangers_to_the_login_of_all_pages(self, client):
        for page in ("/admin/", "/admin/login/?next=/admin/", "/admin/core/apikey/"):
            answer = client.get(page, follow=True)
            assert answer.redirect_chain[-1][0].startswith("/login/?next=/admin/"), page
            assert "Sign in" in answer.content.decode()

    def test_is_closed_to_viewers_and_names_who_may_enter(self, as_viewer):
        answer = as_viewer.get("/admin/", follow=True)
        assert answer.status_code == 403
        assert "admin role" in answer.content.decode()
        assert "Other account" in answer.content.decode()

    def test_is_open_to_the_admin_group_without_a_flag(self, client):
        eve = User.objects.create_user("eve", password=PASSWORD)
        eve.groups.add(Group.objects.get_or_create(name=Role.ADMIN.value)[0])
        log_in(client, "eve", PASSWORD)
        assert not eve.is_staff
        assert client.get("/admin/core/apikey/add/").status_code == 200
        assert 'href="/admin/"' in client.get("/").content.decode()

    def test_is_not_shown_to_who_may_not_enter(self, as_viewer):
        assert 'href="/admin/"' not in as_viewer.get("/").content.decode()

    def test_shows_where_to_go_and_what_waits(self, as_admin):
        page = as_admin.get("/admin/").content.decode()
        for link in (
            'href="/"', 'href="/reconciliation/"', 'href="/admin/positions/account/"',
            'href="/admin/positions/quarantinedentry/?settled_at__isempty=1"',
        ):  # fmt: skip
            assert link in page
        assert "every fact was booked" in page
