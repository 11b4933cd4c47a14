from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.api.auth import principal_of_key
from core.models import ApiKey, find_key, keys_with_roles, revoke_key
from core.security.scopes import Role, Scope
from tests.api_keys import issue_key

pytestmark = pytest.mark.django_db


class TestAKey:
    def test_is_stored_as_a_digest_only(self):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        prefix, _, secret = text.partition(".")
        assert prefix == key.prefix
        assert len(secret) >= 43
        stored = ApiKey.objects.values().get()
        assert secret not in str(stored)

    def test_is_found_by_its_text(self):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        assert find_key(text, now=timezone.now()) == key

    @pytest.mark.parametrize(
        "wrong", ["", ".", "nonsense", "pl000000000000.x", "pl000000000000", "\0.x", "²².x"]
    )
    def test_is_not_found_by_another(self, wrong):
        issue_key(name="bot", scopes=[Scope.READ])
        assert find_key(wrong, now=timezone.now()) is None

    def test_with_a_changed_secret_is_refused(self):
        _, text = issue_key(name="bot", scopes=[Scope.READ])
        assert find_key(text[:-1] + ("A" if text[-1] != "A" else "B"), now=timezone.now()) is None

    def test_ends_when_it_expires(self):
        now = timezone.now()
        _, text = issue_key(name="bot", scopes=[Scope.READ], expires_at=now)
        assert find_key(text, now=now - timedelta(seconds=1)) is not None
        assert find_key(text, now=now) is None

    def test_ends_after_ninety_days_unless_told_otherwise(self):
        now = timezone.now()
        key, _ = issue_key(scopes=[Scope.READ], now=now)
        assert key.expires_at == now + timedelta(days=90)

    def test_ends_for_ever_when_revoked(self):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        assert revoke_key(key=key, who="ada", now=timezone.now())
        assert not revoke_key(key=key, who="ada", now=timezone.now())
        assert find_key(text, now=timezone.now()) is None
        for change in ({"revoked_at": None}, {"name": "again"}, {"expires_at": timezone.now()}):
            with pytest.raises(DatabaseError, match="Cannot update"), transaction.atomic():
                ApiKey.objects.update(**change)
        with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic():
            ApiKey.objects.all().delete()

    def test_that_is_revoked_while_it_is_used_is_no_error(self, monkeypatch):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        monkeypatch.setattr(ApiKey, "matches", lambda *_: revoke_key(key=key, who="ada", now=timezone.now()))
        find_key(text, now=timezone.now())

    def test_without_an_owner_is_not_usable(self):
        _, text = issue_key(name="old", scopes=[Scope.READ])
        ApiKey.objects.update(owner=None)
        assert find_key(text, now=timezone.now()) is None

    def test_ends_with_its_owners_account(self, trader):
        _, text = issue_key(name="bot", scopes=[Scope.READ], owner_id=trader.pk)
        trader.is_active = False
        trader.save(update_fields=["is_active"])
        assert find_key(text, now=timezone.now()) is None

    def test_records_its_use_at_most_once_a_minute(self):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        start = timezone.now()
        for seconds, recorded in [(0, 0), (30, 0), (61, 61)]:
            find_key(text, now=start + timedelta(seconds=seconds))
            key.refresh_from_db()
            assert key.last_used_at == start + timedelta(seconds=recorded)


class TestTheScopesOfAKey:
    def test_never_exceed_the_present_role_of_its_owner(self, trader):
        _, text = issue_key(scopes=[Scope.READ, Scope.WRITE, Scope.ADMIN], owner_id=trader.pk)
        assert find_key(text, now=timezone.now()).granted() == {Scope.READ, Scope.WRITE}
        trader.groups.set([Group.objects.get_or_create(name=Role.VIEWER.value)[0]])
        assert find_key(text, now=timezone.now()).granted() == {Scope.READ}
        trader.groups.clear()
        assert find_key(text, now=timezone.now()).granted() == frozenset()

    def test_are_none_once_the_owner_is_switched_off(self, admin):
        key, _ = issue_key(scopes=list(Scope), owner_id=admin.pk)
        admin.is_active = False
        admin.save(update_fields=["is_active"])
        assert keys_with_roles().get(pk=key.pk).granted() == frozenset()

    def test_cost_one_query(self, trader, django_assert_num_queries):
        _, text = issue_key(scopes=[Scope.READ], owner_id=trader.pk)
        find_key(text, now=timezone.now())
        with django_assert_num_queries(1):
            assert find_key(text, now=timezone.now()).granted() == {Scope.READ}

    def test_are_what_a_request_gets(self, client, trader):
        _, text = issue_key(scopes=[Scope.READ, Scope.ADMIN], owner_id=trader.pk)
        answer = client.get("/api/v1/me", headers={"X-API-Key": text})
        assert answer.json()["scopes"] == ["read"]


class TestTheAccountsOfAKey:
    @pytest.mark.parametrize(("given", "seen"), [(None, None), ([], frozenset()), ([7], frozenset({7}))])
    def test_are_all_only_where_they_are_not_named(self, given, seen):
        key, _ = issue_key(scopes=[Scope.READ], accounts=given)
        assert principal_of_key(key).accounts == seen


class TestAVenuesTarget:
    URL = "/api/v1/reconciliation/allocation/targets"
    BODY = {"environment": "live", "venue": "coinbase", "share": "0.2"}

    def test_needs_a_key_for_all_accounts(self, client, api_key):
        limited, whole = api_key(Scope.ADMIN, Scope.READ, accounts=[7]), api_key(Scope.ADMIN, Scope.READ)
        refused = client.put(self.URL, self.BODY, content_type="application/json", headers=limited)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_all_accounts")
        made = client.put(self.URL, self.BODY, content_type="application/json", headers=whole)
        assert made.status_code == 200
        pk = made.json()["id"]
        assert client.delete(f"{self.URL}/{pk}", headers=limited).status_code == 403
        assert client.delete(f"{self.URL}/{pk}", headers=whole).status_code == 204


class TestCreateApiKey:
    def test_prints_the_key_once_and_alone(self, capsys, trader):
        call_command("create_api_key", "risk bot", "--scope", "read", "--scope", "write", "--owner", "tom",
                     "--account", "7", "--days", "30")  # fmt: skip
        key = find_key(capsys.readouterr().out.strip(), now=timezone.now())
        assert key is not None
        assert (key.name, key.scopes, key.accounts, key.owner) == ("risk bot", ["read", "write"], [7], trader)

    def test_refuses_an_unknown_owner(self):
        with pytest.raises(CommandError, match="no user 'nobody'"):
            call_command("create_api_key", "bot", "--owner", "nobody")

    def test_refuses_a_scope_that_the_owner_has_not(self, viewer):
        with pytest.raises(CommandError, match="vera has not the scope write"):
            call_command("create_api_key", "bot", "--owner", "vera", "--scope", "write")

    @pytest.mark.parametrize("name", ["", "  "])
    def test_refuses_a_key_without_a_name(self, name):
        with pytest.raises(CommandError, match="name the key"):
            call_command("create_api_key", name, "--owner", "nobody")

    def test_refuses_a_key_that_ends_before_it_starts(self):
        with pytest.raises(CommandError, match="at least 1"):
            call_command("create_api_key", "bot", "--days", "0", "--owner", "nobody")
