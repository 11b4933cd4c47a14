from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.models import ApiKey, find_key, issue_key
from core.scopes import Scope

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

    @pytest.mark.parametrize("wrong", ["", ".", "nonsense", "pl000000000000.x", "pl000000000000"])
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

    def test_ends_when_revoked(self):
        key, text = issue_key(name="bot", scopes=[Scope.READ])
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
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

    @pytest.mark.parametrize("name", ["", "  "])
    def test_refuses_a_key_without_a_name(self, name):
        with pytest.raises(CommandError, match="name the key"):
            call_command("create_api_key", name)

    def test_refuses_a_key_that_ends_before_it_starts(self):
        with pytest.raises(CommandError, match="at least 1"):
            call_command("create_api_key", "bot", "--days", "0")
