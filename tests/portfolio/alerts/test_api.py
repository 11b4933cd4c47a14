"""Alerts over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.security.scopes import Scope
from portfolio.models import Alert, Mute
from tests.portfolio.alerts.scene import alerts
from tests.portfolio.market import Market

URL = "/api/v1/alerts"


@pytest.fixture
def drift(scene):
    scene.position()
    scene.verdict("DRIFT")
    scene.tick()
    return alerts()[0]


@pytest.fixture
def other(scene, drift):
    """An alert of an account that the caller's key does not see, and two of none."""
    market = Market(now=scene.now, label="other")
    made = {}
    for kind, account in (("drift", market.account), ("allocation", None), ("component_down", None)):
        made[kind] = Alert.objects.create(
            kind=kind, subject=f"x:{kind}", account=account, severity="critical", title=kind,
            raised_at=scene.now, judged_at=scene.now,
        )  # fmt: skip
    return made


@pytest.fixture
def narrow(api_key, scene):
    return api_key(Scope.READ, Scope.CORRECT, accounts=[scene.account.pk])


class TestTheList:
    def test_has_the_newest_first_with_a_cursor(self, client, api_key, drift, other):
        first = client.get(URL, {"limit": 3}, headers=api_key()).json()
        assert [one["id"] for one in first["items"]] == sorted(
            (one["id"] for one in first["items"]), reverse=True
        )
        rest = client.get(URL, {"limit": 3, "cursor": first["next_cursor"]}, headers=api_key()).json()
        assert [one["id"] for one in rest["items"]] == [drift.pk]
        assert rest["next_cursor"] is None

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"state": "open"}, 1), ({"state": "raised"}, 1), ({"state": "cleared"}, 0),
            ({"kind": "drift"}, 1), ({"kind": "limit"}, 0), ({"severity": "critical"}, 1),
            ({"severity": "info"}, 0), ({"account": "0"}, 0),
        ],
    )  # fmt: skip
    def test_is_narrowed(self, client, api_key, drift, query, found):
        assert len(client.get(URL, query, headers=api_key()).json()["items"]) == found

    def test_never_has_an_alert_of_an_account_that_the_caller_may_not_see(self, client, narrow, drift, other):
        seen = {one["id"] for one in client.get(URL, headers=narrow).json()["items"]}
        assert seen == {drift.pk, other["component_down"].pk}

    def test_refuses_what_is_no_choice(self, client, api_key, db):
        assert client.get(URL, {"state": "gone"}, headers=api_key()).status_code == 422
        assert client.get(URL, {"cursor": "x"}, headers=api_key()).json()["code"] == "bad_cursor"

    def test_needs_a_key(self, client, db):
        assert client.get(URL).status_code == 401


class TestAnAlert:
    def test_has_all_that_people_were_told(self, client, api_key, drift):
        body = client.get(f"{URL}/{drift.pk}", headers=api_key()).json()
        assert body["title"] == "DRIFT BTC-PERP main: book 0.50, venue 0.45"
        assert (body["usd"], body["numbers"]["book"]) == ("3000", "0.5")
        assert [one["kind"] for one in body["transitions"]] == ["raised"]

    def test_of_another_account_does_not_exist(self, client, narrow, other):
        for path in ("", "/acknowledge", "/mute"):
            ask = client.post if path else client.get
            data = {"reason": "why", "until": _soon()}
            sent = {"content_type": "application/json", "data": data} if path else {}
            answer = ask(f"{URL}/{other['drift'].pk}{path}", headers=narrow, **sent)
            assert (answer.status_code, answer.json()["code"]) == (404, "alert_not_found")


class TestAcknowledging:
    def test_says_who_and_when(self, client, narrow, drift):
        body = client.post(f"{URL}/{drift.pk}/acknowledge", headers=narrow).json()
        assert body["state"] == "acknowledged"
        assert body["acknowledged_by"].startswith("key:")
        again = client.post(f"{URL}/{drift.pk}/acknowledge", headers=narrow).json()
        assert [one["kind"] for one in again["transitions"]] == ["raised", "acknowledged"]

    def test_of_what_is_over_is_a_conflict(self, client, narrow, drift):
        Alert.objects.update(state="cleared", cleared_at=timezone.now())
        answer = client.post(f"{URL}/{drift.pk}/acknowledge", headers=narrow)
        assert (answer.status_code, answer.json()["code"]) == (409, "alert_not_open")

    def test_needs_the_scope(self, client, api_key, drift):
        answer = client.post(f"{URL}/{drift.pk}/acknowledge", headers=api_key(Scope.READ))
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")

    def test_is_never_done_by_a_link(self, client, narrow, drift):
        assert client.get(f"{URL}/{drift.pk}/acknowledge", headers=narrow).status_code == 405


def _soon(**until):
    return (timezone.now() + timedelta(**(until or {"hours": 1}))).isoformat()


class TestMuting:
    def send(self, client, key, drift, **body):
        sent = {"reason": "planned maintenance", "until": _soon()} | body
        return client.post(f"{URL}/{drift.pk}/mute", sent, content_type="application/json", headers=key)

    def test_is_of_the_alerts_subject_with_reason_and_end(self, client, narrow, drift):
        body = self.send(client, narrow, drift).json()
        assert (body["subject"], body["reason"]) == (drift.subject, "planned maintenance")
        (shown,) = client.get(f"{URL}/mutes", headers=narrow).json()["items"]
        assert shown["id"] == body["id"]

    def test_of_a_whole_kind_is_of_its_account_only(self, client, narrow, drift):
        self.send(client, narrow, drift, whole_kind=True)
        mute = Mute.objects.get()
        assert (mute.subject, mute.account_id) == ("", drift.account_id)

    def test_is_ended_early(self, client, narrow, drift):
        pk = self.send(client, narrow, drift).json()["id"]
        assert client.post(f"{URL}/mutes/{pk}/end", headers=narrow).status_code == 200
        assert client.get(f"{URL}/mutes", headers=narrow).json()["items"] == []
        answer = client.post(f"{URL}/mutes/{pk}/end", headers=narrow)
        assert (answer.status_code, answer.json()["code"]) == (404, "mute_not_found")

    def test_of_another_account_is_not_shown(self, client, narrow, api_key, other):
        self.send(client, api_key(Scope.READ, Scope.CORRECT), other["drift"])
        assert client.get(f"{URL}/mutes", headers=narrow).json()["items"] == []

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            ({"until": "2020-01-01T00:00:00Z"}, "mute_over"),
            ({"until": "2126-01-01T00:00:00Z"}, "mute_too_long"),
            ({"until": "2026-12-01T00:00:00"}, "invalid_input"),
            ({"reason": "x"}, "invalid_input"),
        ],
    )
    def test_without_a_reason_or_an_end_is_refused(self, client, narrow, drift, wrong, code):
        answer = self.send(client, narrow, drift, **wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert not Mute.objects.exists()
