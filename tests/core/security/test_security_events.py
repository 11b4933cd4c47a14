"""Security events: kept with the act or not at all, never changed, and written to audit.jsonl."""

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from core.models import SecurityEvent, change_key, revoke_key
from core.security import security_events
from core.security.scopes import Role, Scope
from core.security.security_events import Act, record
from positions import accounts
from positions.models import Account
from reconciliation.allocation import targets
from reconciliation.cases import resolve
from tests.api_keys import issue_key
from tests.core.test_people import PASSWORD, log_in

pytestmark = pytest.mark.django_db


def kept():
    """(act, who, subject) of each event, oldest first."""
    return list(SecurityEvent.objects.order_by("pk").values_list("act", "who", "subject"))


class TestASecurityEvent:
    def test_is_kept_with_the_act_or_not_at_all(self, trader):
        with transaction.atomic():
            record(Act.PERSON_CHANGED, who="user:ada", subject="tom")
            transaction.set_rollback(True)
        assert kept() == []

    @pytest.mark.django_db(transaction=True)
    def test_is_refused_outside_of_a_transaction(self):
        with pytest.raises(transaction.TransactionManagementError):
            record(Act.PERSON_CHANGED, who="user:ada", subject="tom")

    def test_is_never_changed_nor_deleted(self):
        record(Act.PERSON_CHANGED, who="user:ada", subject="tom")
        for attempt in (
            lambda: SecurityEvent.objects.update(who="user:tom"),
            lambda: SecurityEvent.objects.all().delete(),
        ):
            with pytest.raises(DatabaseError, match="Cannot"), transaction.atomic():
                attempt()

    def test_is_written_to_the_audit_log_after_the_commit(
        self, monkeypatch, django_capture_on_commit_callbacks
    ):
        lines = []
        monkeypatch.setattr(security_events.audit, "info", lambda text, **facts: lines.append(facts))
        with django_capture_on_commit_callbacks() as due:
            record(Act.KEY_REVOKED, who="user:ada", subject="pl1", after={"name": "bot"})
        assert lines == []
        due[0]()
        assert (lines[0]["act"], lines[0]["who"], lines[0]["after"]) == (
            "key.revoked",
            "user:ada",
            {"name": "bot"},
        )

    def test_names_the_address_it_came_from(self, client, trader):
        log_in(client, "tom", PASSWORD, REMOTE_ADDR="2001:db8::7")
        event = SecurityEvent.objects.get(act=Act.SIGNED_IN)
        assert (event.who, event.address) == ("user:tom", "2001:db8::7")
        assert event.trace_id


class TestSigningIn:
    def test_is_recorded_with_its_end(self, client, trader):
        log_in(client, "tom", PASSWORD)
        client.post("/logout/")
        assert kept() == [("sign-in.succeeded", "user:tom", "tom"), ("sign-in.ended", "user:tom", "tom")]

    def test_that_fails_is_recorded_without_what_may_be_a_password(self, client, trader):
        log_in(client, "tom", "wrong")
        log_in(client, "Correct-Horse-1", "tom")
        assert kept() == [
            ("sign-in.failed", "nobody", "tom"),
            ("sign-in.failed", "nobody", "an unknown name"),
        ]


class TestPeople:
    FORM = {
        "username": "tom", "first_name": "", "last_name": "", "email": "", "is_active": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip

    def test_who_are_changed_are_recorded_with_before_and_after(self, as_admin, trader):
        viewers = Group.objects.get_or_create(name=Role.VIEWER.value)[0]
        answer = as_admin.post(f"/admin/auth/user/{trader.pk}/change/", self.FORM | {"groups": [viewers.pk]})
        assert answer.status_code == 302
        event = SecurityEvent.objects.get(act=Act.PERSON_CHANGED)
        assert (event.who, event.subject) == ("user:ada", "tom")
        assert (event.before, event.after) == ({"groups": ["trader"]}, {"groups": ["viewer"]})

    def test_who_are_added_are_recorded(self, as_admin):
        form = {"username": "nora", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        assert as_admin.post("/admin/auth/user/add/", form).status_code == 302
        event = SecurityEvent.objects.get(act=Act.PERSON_MADE)
        assert (event.before, event.after["username"]) == (None, "nora")
        assert PASSWORD not in str(event.after)
        assert User.objects.get(username="nora").check_password(PASSWORD)

    def test_whose_password_is_set_are_recorded(self, as_admin, trader):
        form = {"password1": "another fine passphrase", "password2": "another fine passphrase",
                "usable_password": "true"}  # fmt: skip
        assert as_admin.post(f"/admin/auth/user/{trader.pk}/password/", form).status_code == 302
        assert ("person.password changed", "user:ada", "tom") in kept()

    def test_change_their_own_password_on_record(self, as_trader):
        new = "another fine passphrase"
        as_trader.post("/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
        assert kept() == [("person.password changed", "user:tom", "tom")]

    def test_are_never_deleted(self, as_admin, trader):
        assert as_admin.get(f"/admin/auth/user/{trader.pk}/delete/").status_code == 403
        with pytest.raises(DatabaseError, match="switched off, never deleted"), transaction.atomic():
            User.objects.filter(pk=trader.pk)._raw_delete("default")

    def test_who_are_made_by_command_are_recorded(self, monkeypatch):
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        call_command("createsuperuser", interactive=False, username="root", email="", verbosity=0)
        [(act, who, subject)] = kept()
        assert (act, subject) == ("person.made", "root")
        assert who.startswith("command")

    def test_groups_are_recorded_too(self, as_admin):
        viewers = Group.objects.get_or_create(name="desk")[0]
        assert (
            as_admin.post(f"/admin/auth/group/{viewers.pk}/change/", {"name": "desk two"}).status_code == 302
        )
        event = SecurityEvent.objects.get(act=Act.GROUP_CHANGED)
        assert (event.before, event.after) == ({"name": "desk"}, {"name": "desk two"})


class TestKeysAccountsPoliciesAndTargets:
    def test_are_recorded(self, now, trader):
        key, _ = issue_key(scopes=[Scope.READ], owner_id=trader.pk)
        key.tier = "premium"
        change_key(key=key, fields=["tier"], who="user:ada")
        revoke_key(key=key, who="user:ada", now=timezone.now())
        account = Account(label="Main", venue="hyperliquid", address="0x1", created_at=now)
        accounts.add(account, who="user:ada")
        account.enabled = False
        accounts.edit(account=account, fields=["enabled"], who="user:ada")
        accounts.set_credentials(account=account, ciphertext="secret-text", options={}, who="user:ada")
        resolve.set_policy(account=account, family="size", mode="adopt", who="user:ada", now=now)
        target = targets.set_target(environment="live", venue="coinbase", share=1, who="user:ada", now=now)
        targets.drop_target(target=target, who="user:ada")
        assert [act for act, _, _ in kept()] == [
            "key.made", "key.changed", "key.revoked", "account.made", "account.changed",
            "account.credentials changed", "policy.changed", "target.changed", "target.dropped",
        ]  # fmt: skip
        changed = SecurityEvent.objects.get(act=Act.KEY_CHANGED)
        assert (changed.before, changed.after) == ({"tier": "standard"}, {"tier": "premium"})
        assert "secret-text" not in str(list(SecurityEvent.objects.values("before", "after")))
        assert account.credentials == "secret-text"

    def test_policies_carry_who_set_them(self, now):
        policy = resolve.set_policy(account=None, family="size", mode="adopt", who="user:ada", now=now)
        assert (policy.changed_by, policy.changed_at) == ("user:ada", now)


class TestThePageOfEvents:
    def test_is_for_admins_only(self, as_admin, client, viewer):
        record(Act.PERSON_CHANGED, who="user:ada", subject="tom")
        page = as_admin.get("/admin/core/securityevent/")
        assert "person.changed" in page.content.decode()
        event = SecurityEvent.objects.get()
        assert as_admin.get(f"/admin/core/securityevent/{event.pk}/change/").status_code == 200
        viewer.is_staff = True
        viewer.save(update_fields=["is_staff"])
        client.force_login(viewer)
        assert client.get("/admin/core/securityevent/").status_code == 403
