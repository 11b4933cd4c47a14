"""Who may open a socket, and until when."""

import asyncio
import hashlib

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import OperationalError
from django.utils import timezone

from core.models import ApiKey
from core.security.scopes import Scope
from portfolio.live import access, hub
from tests.api_keys import issue_key

pytestmark = pytest.mark.django_db


def scope(*, headers=(), subprotocols=()):
    given = [(name.encode(), value.encode()) for name, value in headers]
    return {"headers": given, "subprotocols": list(subprotocols)}


def admit(**given):
    secret = access._secret(scope(**given))
    return secret and access._look_up.func(secret, timezone.now())


def still_valid(*credentials):
    return access.still_valid.func(set(credentials), now=timezone.now())


def cookie(browser):
    return [("cookie", f"theme=dark; {settings.SESSION_COOKIE_NAME}={browser.session.session_key}")]


@pytest.fixture
def key(db):
    return issue_key(name="bot", scopes=[Scope.READ], accounts=[3, 1])


class TestAccess:
    def test_is_given_to_a_person_who_is_signed_in(self, as_viewer):
        found = admit(headers=cookie(as_viewer))
        assert (found.principal.name, found.principal.accounts) == ("user:vera", None)

    def test_is_given_to_a_key_in_the_header(self, key):
        found = admit(headers=[("x-api-key", key[1])])
        assert (found.principal.name, found.principal.accounts) == (f"key:{key[0].prefix}", frozenset({1, 3}))

    def test_is_given_to_a_key_as_a_subprotocol(self, key):
        for offered in (["plumbline", f"key.{key[1]}"], [f"key.{key[1]}"]):
            assert admit(subprotocols=offered).principal.name == f"key:{key[0].prefix}"
        assert access.subprotocol_of(scope(subprotocols=["plumbline", f"key.{key[1]}"])) == "plumbline"

    def test_by_a_key_is_never_answered_with_the_key(self, key):
        """A response's headers are written down by whatever stands in between."""
        assert access.subprotocol_of(scope(subprotocols=[f"key.{key[1]}"])) is None

    def test_answers_no_subprotocol_where_none_is_known(self):
        assert access.subprotocol_of(scope(subprotocols=["graphql-ws"])) is None
        assert access.subprotocol_of(scope()) is None

    def test_is_given_to_nobody_else(self, as_viewer, key):
        for headers in (
            [],
            [("cookie", "sessionid=nonsense")],
            [("cookie", "=;=")],
            [("x-api-key", "pl0.wrong")],
        ):
            assert admit(headers=headers) is None
        assert admit(subprotocols=["key.pl0.wrong"]) is None
        assert admit(subprotocols=["ticket.nonsense"]) is None

    def test_by_a_wrong_key_does_not_fall_back_to_the_session(self, as_viewer):
        assert admit(headers=[*cookie(as_viewer), ("x-api-key", "pl0.wrong")]) is None

    def test_is_refused_to_a_key_without_the_scope_to_read(self):
        _, text = issue_key(name="writer", scopes=[Scope.WRITE])
        assert admit(headers=[("x-api-key", text)]) is None

    def test_is_refused_to_a_person_without_a_role(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_user("norole"))
        assert admit(headers=cookie(client)) is None


class TestManySocketsAtOnce:
    @pytest.fixture
    def looked_up(self, monkeypatch):
        """What was asked for; the key "down" cannot be asked for."""
        asked = []

        async def look_up(shown, now):
            asked.append(shown)
            await asyncio.sleep(0)
            if shown[1] == "down":
                raise OperationalError("gone")
            return access.Admission("somebody", shown)

        monkeypatch.setattr(access, "_look_up", look_up)
        return asked

    @staticmethod
    async def come(*keys, **given):
        scopes = [scope(headers=[("x-api-key", key)], **given) for key in keys]
        return await asyncio.gather(
            *(access.admit(one, timezone.now()) for one in scopes), return_exceptions=True
        )

    async def test_with_one_key_are_looked_up_once(self, looked_up):
        found = await self.come(*["a"] * 50, "b")
        assert looked_up == [("key", "a"), ("key", "b")]
        assert [one.credential for one in found] == [("key", "a")] * 50 + [("key", "b")]

    async def test_later_are_looked_up_again(self, looked_up, monkeypatch):
        monkeypatch.setattr(access, "ADMISSION_SECONDS", -1)
        await self.come("a")
        await self.come("a")
        assert len(looked_up) == 2

    async def test_that_could_not_be_looked_up_are_tried_again(self, looked_up):
        assert [type(one) for one in await self.come("down", "down")] == [OperationalError] * 2
        await self.come("down")
        assert len(looked_up) == 2

    async def test_with_a_ticket_each_come_alone(self, looked_up):
        ticket = scope(subprotocols=["ticket.x"])
        for _ in range(2):
            await access.admit(ticket, timezone.now())
        assert len(looked_up) == 2

    def test_are_closed_in_time_if_let_in_by_what_was_just_revoked(self):
        slowest = access.ADMISSION_SECONDS + hub.ACCESS_SECONDS + hub.WATCH_SECONDS
        assert slowest < 5


class TestATicket:
    URL = "/api/v1/positions/stream-ticket"

    def test_opens_one_socket_for_the_key_that_asked(self, client, key):
        answer = client.post(self.URL, headers={"X-API-Key": key[1]})
        assert (answer.status_code, answer.json()["expires_in_seconds"]) == (201, 30)
        offered = [answer.json()["subprotocol"]]
        assert admit(subprotocols=offered).principal.accounts == frozenset({1, 3})
        assert admit(subprotocols=offered) is None

    def test_opens_one_socket_for_the_person_who_asked(self, as_viewer):
        offered = [as_viewer.post(self.URL).json()["subprotocol"]]
        assert admit(subprotocols=offered).principal.name == "user:vera"

    def test_tells_redis_neither_itself_nor_a_session(self, as_viewer, redis_server):
        ticket = as_viewer.post(self.URL).json()["subprotocol"].removeprefix("ticket.")
        (name,) = redis_server.keys("plumbline:ticket:*")
        kept = name + redis_server.get(name)
        assert ticket.encode() not in kept
        assert as_viewer.session.session_key.encode() not in kept

    def test_that_redis_made_up_opens_nothing(self, as_viewer, key, redis_server):
        ticket = as_viewer.post(self.URL).json()["subprotocol"].removeprefix("ticket.")
        (name,) = redis_server.keys("plumbline:ticket:*")
        good = redis_server.get(name)
        for forged in (b"[]", b"\xff", good[:-3] + b"abc", b'["session", "x"]'):
            redis_server.set(name, forged)
            assert admit(subprotocols=[f"ticket.{ticket}"]) is None
        place = hashlib.sha256(b"mine").hexdigest()
        redis_server.set(f"plumbline:ticket:{place}", good)  # another's claim under a ticket of my own
        assert admit(subprotocols=["ticket.mine"]) is None

    def test_of_a_session_that_ended_meanwhile_opens_nothing(self, as_viewer):
        offered = [as_viewer.post(self.URL).json()["subprotocol"]]
        Session.objects.all().delete()
        assert admit(subprotocols=offered) is None

    def test_expires(self, as_viewer, redis_server):
        as_viewer.post(self.URL)
        (name,) = redis_server.keys("plumbline:ticket:*")
        assert 0 < redis_server.ttl(name) <= 30

    def test_is_nothing_for_outsiders(self, client, api_key):
        assert client.post(self.URL).status_code == 401
        assert client.post(self.URL, headers=api_key(Scope.WRITE)).status_code == 403

    def test_of_a_key_revoked_meanwhile_opens_nothing(self, client, key):
        offered = [client.post(self.URL, headers={"X-API-Key": key[1]}).json()["subprotocol"]]
        ApiKey.objects.update(revoked_at=timezone.now())
        assert admit(subprotocols=offered) is None


class TestAValidCredential:
    @pytest.fixture
    def session(self, as_viewer):
        return admit(headers=cookie(as_viewer)).credential

    @pytest.fixture
    def bot(self, key):
        return admit(headers=[("x-api-key", key[1])]).credential

    def test_is_a_session_or_a_key_in_use(self, session, bot):
        assert still_valid(session, bot, ("session", "nonsense"), ("key", (99,))) == {session, bot}

    def test_ends_with_the_log_out(self, session, as_viewer):
        as_viewer.post("/logout/")
        assert still_valid(session) == set()

    def test_ends_with_a_new_password(self, session, viewer):
        viewer.set_password("another plumb line")
        viewer.save()
        assert still_valid(session) == set()

    def test_ends_when_the_person_is_switched_off(self, session, viewer):
        viewer.is_active = False
        viewer.save()
        assert still_valid(session) == set()

    def test_ends_with_the_role(self, session, viewer):
        viewer.groups.clear()
        assert still_valid(session) == set()

    @pytest.mark.parametrize(
        "change",
        [
            {"revoked_at": timezone.now()},
            {"expires_at": timezone.now()},
            {"scopes": ["write"]},
            {"accounts": [3]},
            {"accounts": None},
            {"accounts": []},
        ],
    )
    def test_ends_when_the_key_is_changed(self, bot, change):
        ApiKey.objects.update(**change)
        assert still_valid(bot) == set()

    def test_ends_when_the_key_s_owner_is_switched_off(self, bot, viewer):
        ApiKey.objects.update(owner=viewer)
        viewer.is_active = False
        viewer.save()
        assert still_valid(bot) == set()

    def test_takes_no_more_queries_for_more_sockets(self, session, bot, django_assert_max_num_queries):
        with django_assert_max_num_queries(4):
            still_valid(session, bot)
