"""Reconciliation over HTTP, as a bot and an operator use it."""

import pytest
from ninja.testing import TestClient

from core.security.scopes import Scope
from reconciliation.api.runs import router
from reconciliation.models import Case
from tests.reconciliation.conftest import leg

pytestmark = pytest.mark.django_db
HTTP = TestClient(router)


@pytest.fixture
def key(api_key):
    return api_key(Scope.READ, Scope.CORRECT, Scope.RECONCILE)


@pytest.fixture
def case(stage, account):
    stage.do("withhold", what="fill", count=1)
    stage.trade("ETH", "buy", 1)
    stage.minutes(account, 2)
    return Case.objects.get(family="size")


def get(path, key):
    answer = HTTP.get(path, headers=key)
    assert answer.status_code == 200, answer.content
    return answer.json()


def post(path, key, body=None, status=200):
    answer = HTTP.post(path, json=body or {}, headers=key)
    assert answer.status_code == status, answer.content
    return answer.json()


class TestAReader:
    def test_sees_how_each_account_stands(self, stage, account, key):
        stage.trade("ETH", "buy", 1)
        stage.minutes(account)
        [found] = get("/reconciliation/status", key)["accounts"]
        assert (found["status"], found["open_cases"]) == ("SYNCED", 0)
        assert {one["subject"] for one in found["verdicts"]} == {"ETH-PERP", "USDC in perp"}
        assert {one["venue_symbol"] for one in found["verdicts"]} == {"ETH", ""}

    def test_sees_history_and_statistics(self, case, key):
        [size] = [
            one for one in get("/reconciliation/drift-history", key)["items"] if one["kind"] != "equity"
        ]
        assert (size["kind"], size["amount"], size["ended"]) == ("missing_in_book", "1", "")
        [sums] = get("/reconciliation/statistics", key)["accounts"]
        assert sums["confirmed"] >= 1
        assert sums["seconds_to_detect"]["median"] < 20

    def test_without_a_key_is_refused(self, account):
        assert HTTP.get("/reconciliation/status").status_code == 401


class TestAnOperator:
    def test_previews_applies_and_takes_back(self, stage, case, account, key, monkeypatch):
        monkeypatch.setattr("reconciliation.api.runs.timezone.now", stage.now)
        monkeypatch.setattr("core.storage.database.time.sleep", stage.wait)
        shown = post(f"/reconciliation/cases/{case.pk}/preview", key, {"action": "adopt_venue"})
        assert (shown["before"]["size"], shown["after"]["size"]) == ("0", "1")
        stage.wait(1)
        body = {"action": "adopt_venue", "reason": "seen at the venue", "token": shown["token"]}
        done = post(f"/reconciliation/cases/{case.pk}/apply", key, body)
        assert done["outcome"] == "agrees"
        assert leg(account).status == "SYNCED"
        undone = post(f"/reconciliation/corrections/{done['id']}/undo", key, {"reason": "mistaken"})
        assert undone["reversed_at"]

    def test_acknowledges_comments_and_assigns(self, case, key):
        post(f"/reconciliation/cases/{case.pk}/acknowledge", key)
        post(f"/reconciliation/cases/{case.pk}/assign", key, {"text": "ada"})
        told = post(f"/reconciliation/cases/{case.pk}/comment", key, {"text": "asked support"})
        assert (told["state"], told["assignee"]) == ("acknowledged", "ada")
        assert [one["kind"] for one in told["events"]] == ["opened", "acknowledged", "assigned", "comment"]
