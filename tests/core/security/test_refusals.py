"""What is refused is kept as a security event, each reason once an hour."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.models import SecurityEvent, find_key, revoke_key
from core.security import security_events
from core.security.scopes import Scope
from core.security.security_events import Act
from core.storage.redis import client as redis_client
from portfolio.live import access
from positions.sync import connections
from positions.venues.base import Credentials, Environment
from tests.api_keys import issue_key
from tests.core.test_people import PASSWORD

pytestmark = pytest.mark.django_db


def refused(act):
    """(who, reason) of each such event, oldest first."""
    events = SecurityEvent.objects.filter(act=act).order_by("pk")
    return [(one.who, (one.after or {}).get("reason")) for one in events]


class TestAKeyThatIsRefused:
    @pytest.fixture
    def issued(self, trader):
        return issue_key(scopes=[Scope.READ], owner_id=trader.pk)

    def use(self, text, *, now=None):
        assert find_key(text, now=now or timezone.now()) is None

    def test_as_it_was_revoked_is_on_record(self, issued):
        key, text = issued
        revoke_key(key=key, who="user:ada", now=timezone.now())
        self.use(text)
        assert refused(Act.KEY_REFUSED) == [(f"key:{key.prefix}", "revoked")]

    def test_as_it_expired_is_on_record(self, issued):
        key, text = issued
        self.use(text, now=timezone.now() + timedelta(days=400))
        assert refused(Act.KEY_REFUSED) == [(f"key:{key.prefix}", "expired")]

    def test_as_its_owner_is_switched_off_is_on_record(self, issued, trader):
        key, text = issued
        trader.is_active = False
        trader.save(update_fields=["is_active"])
        self.use(text)
        assert refused(Act.KEY_REFUSED) == [(f"key:{key.prefix}", "its owner is switched off")]

    def test_as_its_secret_is_wrong_is_on_record_without_it(self, issued):
        key, _ = issued
        self.use(f"{key.prefix}.something-else")
        assert refused(Act.KEY_REFUSED) == [(f"key:{key.prefix}", "wrong secret")]
        assert "something-else" not in str(list(SecurityEvent.objects.values()))

    def test_for_its_scope_is_on_record(self, client, issued):
        key, text = issued
        answer = client.post("/api/v1/entries", "{}", "application/json", headers={"X-API-Key": text})
        assert answer.status_code == 403
        assert refused(Act.SCOPE_REFUSED) == [(f"key:{key.prefix}", "needs the scope write")]

    def test_is_on_record_once_an_hour_for_each_reason(self, issued, monkeypatch):
        key, text = issued
        revoke_key(key=key, who="user:ada", now=timezone.now())
        for _ in range(3):
            self.use(text)
        self.use(f"{key.prefix}.wrong")
        assert [reason for _, reason in refused(Act.KEY_REFUSED)] == ["revoked", "wrong secret"]
        monkeypatch.setattr(security_events, "REFUSALS_TOLD_EVERY", timedelta(0))
        self.use(text)
        assert [reason for _, reason in refused(Act.KEY_REFUSED)] == ["revoked", "wrong secret", "revoked"]

    def test_that_is_none_of_ours_leaves_nothing(self, issued):
        self.use("plnobody.secret")
        assert refused(Act.KEY_REFUSED) == []


class TestAPassword:
    def test_that_is_wrong_when_asked_for_again_is_on_record(self, as_admin):
        assert as_admin.post("/confirm/", {"password": "wrong"}).status_code == 200
        assert refused(Act.CONFIRMATION_FAILED) == [("user:ada", None)]

    def test_that_is_wrong_when_it_is_to_be_changed_is_on_record(self, as_trader):
        form = {"old_password": "wrong", "new_password1": PASSWORD + "1", "new_password2": PASSWORD + "1"}
        assert as_trader.post("/password/", form).status_code == 200
        assert refused(Act.CONFIRMATION_FAILED) == [("user:tom", None)]

    def test_is_not_guessed_where_it_is_changed(self, as_trader):
        form = {"old_password": "wrong", "new_password1": PASSWORD + "1", "new_password2": PASSWORD + "1"}
        answers = [as_trader.post("/password/", form).status_code for _ in range(15)]
        assert answers[-1] == 429
        assert refused(Act.SIGN_IN_PAUSED)


class TestASession:
    def test_that_ends_by_its_age_is_on_record(self, as_trader, settings):
        session = as_trader.session
        session["began_at"] = timezone.now().timestamp() - settings.SESSION_LONGEST_SECONDS - 1
        session.save()
        assert as_trader.get("/").status_code == 302
        assert refused(Act.SESSION_EXPIRED) == [("user:tom", None)]


class TestAVenuesAccount:
    def test_that_is_not_taken_is_on_record(self, now):
        with pytest.raises(connections.AccountRefusal):
            connections.add_account(
                label="Main", venue="hyperliquid", environment=Environment.SIMULATED, now=now, who="user:ada",
                address="0x" + "1" * 40, base_url="http://127.0.0.1:9",
                credentials=Credentials(secret="0x" + "2" * 64),
            )  # fmt: skip
        [(who, reason)] = refused(Act.ACCOUNT_REFUSED)
        assert who == "user:ada"
        assert "2" * 64 not in reason


class TestATicket:
    def test_that_redis_made_up_is_on_record(self):
        redis_client().set(f"plumbline:ticket:{access._digest('made-up')}", b"forged:by:somebody")
        assert access._of_ticket("made-up") is None
        assert [who for who, _ in refused(Act.TICKET_REFUSED)] == ["nobody"]
