"""Requests of reconciliation over HTTP: begun once, seen by whom they may, asked for what can be meant."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from core.security.scopes import Scope
from positions.models import Account
from reconciliation import tasks
from reconciliation.models import (
    AllocationTarget,
    Case,
    CaseEvent,
    Correction,
    DifferenceRow,
    Policy,
    Run,
)
from reconciliation.runs import pauses
from tests.portfolio.market import BTC, Market

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
API = "/api/v1/reconciliation"


@pytest.fixture
def market(db):
    return Market(now=NOW)


@pytest.fixture
def case(market):
    run = Run.objects.create(account=market.account, started_at=NOW, finished_at=NOW, as_of=NOW)
    return Case.objects.create(
        account=market.account, instrument_id=market.instruments[BTC], leg="net", family="size", run=run,
        differences=[{"kind": "quantity", "book": "0.50", "venue": "0.45", "drift": True}],
        diagnosis=[{"cause": "fill_missed", "score": "0.9", "text": "A sell of 0.05.", "evidence": ["f:1"]}],
        opened_at=NOW, changed_at=NOW,
    )  # fmt: skip


@pytest.fixture
def everybody(api_key):
    return api_key(*Scope)


@pytest.fixture
def call(client):
    def call(method, path, key, body=None, status=200, **headers):
        answer = getattr(client, method)(
            API + path, body if body is not None else {}, content_type="application/json",
            headers=key | headers,
        ) if method != "get" else client.get(API + path, headers=key)  # fmt: skip
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    return call


@pytest.fixture
def begun(monkeypatch):
    """The runs that workers were asked to carry out."""
    found = []
    monkeypatch.setattr(tasks.carry_out_run, "delay", found.append)
    return found


class TestSync:
    def test_begins_a_run_of_each_account_and_answers_at_once(self, market, call, everybody, begun):
        told = call("post", "/sync", everybody, status=202)
        [run] = told["runs"]
        assert (run["account_id"], run["started"]) == (market.account.pk, True)
        assert begun == [run["run_id"]]
        assert call("get", f"/runs/{run['run_id']}", everybody)["state"] == "running"

    def test_of_a_busy_account_answers_with_the_run_under_way(self, market, call, everybody, begun):
        first = call("post", "/sync", everybody, status=202)["runs"][0]
        again = call("post", "/sync", everybody, status=202)["runs"][0]
        assert (again["run_id"], again["started"], again["reason"]) == (
            first["run_id"],
            False,
            "a run is under way",
        )

    def test_sent_again_under_its_key_begins_nothing_and_answers_the_same(
        self, market, call, everybody, begun
    ):
        key = {"Idempotency-Key": "sync-1"}
        first = call("post", "/sync", everybody, status=202, **key)
        Run.objects.update(finished_at=NOW)
        assert call("post", "/sync", everybody, status=202, **key) == first
        assert len(begun) == 1

    def test_under_a_key_of_another_request_is_refused(self, market, call, everybody, begun):
        key = {"Idempotency-Key": "sync-1"}
        call("post", "/sync", everybody, status=202, **key)
        told = call("post", "/sync", everybody, {"accounts": []}, status=422, **key)
        assert told["code"] == "idempotency_key_reused"

    def test_of_a_paused_account_says_why_it_begins_nothing(self, market, call, everybody, begun):
        Account.objects.update(paused_until="2100-01-01T00:00Z", pause_reason="maintenance")
        [run] = call("post", "/sync", everybody, status=202)["runs"]
        assert (run["started"], run["reason"]) == (False, "paused: maintenance")
        assert begun == []

    @pytest.mark.parametrize("scopes", [[Scope.READ], [Scope.READ, Scope.CORRECT]])
    def test_needs_its_scope(self, market, call, api_key, scopes):
        assert call("post", "/sync", api_key(*scopes), status=403)["code"] == "missing_scope"

    def test_of_an_account_that_the_key_may_not_see_is_404(self, market, call, api_key):
        key = api_key(Scope.READ, Scope.RECONCILE, accounts=[market.account.pk + 1])
        call("post", "/sync", key, {"accounts": [market.account.pk]}, status=404)


class TestAStranger:
    @pytest.mark.parametrize("path", ["/runs/{run}", "/cases/{case}"])
    def test_finds_neither_runs_nor_cases(self, case, call, api_key, path):
        key = api_key(Scope.READ, accounts=[case.account_id + 1])
        call("get", path.format(run=case.run_id, case=case.pk), key, status=404)

    @pytest.mark.parametrize("path", ["/runs", "/cases", "/drift-history", "/allocation/breaches"])
    def test_sees_empty_lists(self, case, call, api_key, path):
        assert call("get", path, api_key(Scope.READ, accounts=[case.account_id + 1]))["items"] == []

    @pytest.mark.parametrize("path", ["/status", "/statistics"])
    def test_sees_no_account(self, case, call, api_key, path):
        assert call("get", path, api_key(Scope.READ, accounts=[case.account_id + 1]))["accounts"] == []


class TestLists:
    def test_come_in_pages_that_go_on(self, market, call, everybody):
        for minute in range(5):
            at = NOW + timedelta(minutes=minute)
            Run.objects.create(account=market.account, started_at=at, finished_at=at)
        first = call("get", "/runs?limit=3", everybody)
        rest = call("get", f"/runs?limit=3&cursor={first['next_cursor']}", everybody)
        ids = [one["id"] for one in first["items"] + rest["items"]]
        assert ids == sorted(ids, reverse=True)
        assert (len(ids), rest["next_cursor"]) == (5, None)

    def test_of_cases_are_filtered_by_who_must_look(self, case, call, everybody):
        for query, count in (("open=true", 1), ("open=false", 0), ("family=cash", 0), ("assignee=ada", 0)):
            assert len(call("get", f"/cases?{query}", everybody)["items"]) == count, query

    def test_of_differences_tell_first_sight_and_end(self, case, call, everybody):
        DifferenceRow.objects.create(
            account=case.account, instrument=case.instrument, leg="net", family="size", kind="quantity",
            book=D("0.5"), venue=D("0.45"), amount=D("-0.05"), first_run=case.run, last_run=case.run,
            first_as_of=NOW, first_at=NOW, confirmed_at=NOW + timedelta(seconds=2),
        )  # fmt: skip
        [one] = call("get", "/drift-history?confirmed=true", everybody)["items"]
        assert (one["amount"], one["first_as_of"], one["ended_at"]) == ("-0.05", "2026-01-15T12:00:00Z", None)
        assert call("get", "/drift-history?confirmed=false", everybody)["items"] == []


class TestStatus:
    def test_says_when_a_synced_rests_on_a_reading_that_nothing_proves(self, market, call, everybody):
        other = Account.objects.create(
            label="hedge", venue="bybit", environment="live", created_at=NOW, address=""
        )
        found = {one["account_id"]: one for one in call("get", "/status", everybody)["accounts"]}
        assert found[other.pk]["reading"] == "unproven"
        assert found[other.pk]["unproven_methods"]
        assert found[market.account.pk]["unproven_methods"] == []


class TestACase:
    def test_is_dismissed_with_a_reason_and_only_once(self, case, call, everybody):
        told = call("post", f"/cases/{case.pk}/dismiss", everybody, {"reason": "the venue's own error"})
        assert (told["state"], told["outcome"], told["actions"]) == ("dismissed", "the venue's own error", [])
        told = call("post", f"/cases/{case.pk}/dismiss", everybody, {"reason": "again"}, status=409)
        assert told["code"] == "settled"

    def test_is_not_dismissed_without_a_reason(self, case, call, everybody):
        call("post", f"/cases/{case.pk}/dismiss", everybody, {"reason": ""}, status=422)
        assert not Correction.objects.exists()

    def test_gets_one_comment_from_a_request_sent_twice(self, case, call, everybody):
        for _ in range(2):
            call(
                "post", f"/cases/{case.pk}/comment", everybody, {"text": "asked support"},
                **{"Idempotency-Key": "c-1"},
            )  # fmt: skip
        assert CaseEvent.objects.filter(kind="comment").count() == 1

    def test_is_closed_to_readers(self, case, call, api_key):
        for action, body in (
            ("acknowledge", {}), ("comment", {"text": "x"}), ("assign", {"text": "x"}),
            ("preview", {"action": "adopt_venue"}), ("dismiss", {"reason": "x"}),
            ("apply", {"action": "adopt_venue", "reason": "x", "token": "x"}),
        ):  # fmt: skip
            call("post", f"/cases/{case.pk}/{action}", api_key(Scope.READ), body, status=403)

    def test_refuses_an_action_that_there_is_not(self, case, call, everybody):
        told = call("post", f"/cases/{case.pk}/preview", everybody, {"action": "hope"}, status=422)
        assert told["code"] == "unknown_action"

    def test_that_is_settled_cannot_be_acknowledged(self, case, call, everybody):
        call("post", f"/cases/{case.pk}/dismiss", everybody, {"reason": "known"})
        assert call("post", f"/cases/{case.pk}/acknowledge", everybody, status=409)["code"] == "illegal_move"


class TestAPause:
    def test_has_a_reason_and_an_end_and_is_ended_early(self, market, call, everybody):
        until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
        path = f"/accounts/{market.account.pk}"
        told = call("post", f"{path}/pause", everybody, {"until": until, "reason": "maintenance"})
        assert told["pause_reason"] == "maintenance"
        assert call("get", "/status", everybody)["accounts"][0]["paused_until"]
        assert call("post", f"{path}/resume", everybody)["paused_until"] is None

    def test_is_read_about_later(self, market, call, everybody, api_key):
        path = f"/accounts/{market.account.pk}"
        until = datetime.now(UTC) + timedelta(hours=2)
        body = {"until": until.isoformat(), "reason": "Hyperliquid upgrades"}
        call("post", f"{path}/pause", everybody, body)
        [kept] = call("get", "/pauses", everybody)["items"]
        assert (kept["account"], kept["reason"]) == ("main", "Hyperliquid upgrades")
        assert kept["who"].startswith("key:pl")
        assert datetime.fromisoformat(kept["until"]) == until
        assert datetime.fromisoformat(kept["started_at"]) <= datetime.now(UTC)
        assert kept["ended_at"] is None
        call("post", f"{path}/resume", everybody)
        call("post", f"{path}/pause", everybody, body | {"reason": "once more"})
        again, first = call("get", f"/pauses?account={market.account.pk}", everybody)["items"]
        assert (again["reason"], again["ended_at"]) == ("once more", None)
        assert (first["reason"], first["ended_by"]) == ("Hyperliquid upgrades", kept["who"])
        assert first["started_at"] <= first["ended_at"] <= again["started_at"]
        assert call("get", "/pauses", api_key(Scope.READ, accounts=[999_999]))["items"] == []

    def test_that_ran_out_ended_when_it_was_meant_to(self, market, call, everybody):
        began = datetime.now(UTC) - timedelta(hours=3)
        until = began + timedelta(hours=1)
        pauses.pause(account=market.account, until=until, reason="upgrade", who="user:ada", now=began)
        [kept] = call("get", "/pauses", everybody)["items"]
        assert (datetime.fromisoformat(kept["ended_at"]), kept["ended_by"]) == (until, "")

    @pytest.mark.parametrize(
        "body",
        [
            {"until": "2020-01-01T00:00Z", "reason": "past"},
            {"until": "2999-01-01T00:00Z", "reason": "for ever"},
            {"reason": "no end"},
            {"until": "2999-01-01T00:00Z", "reason": ""},
        ],
    )
    def test_that_cannot_be_meant_is_refused(self, market, call, everybody, body):
        call("post", f"/accounts/{market.account.pk}/pause", everybody, body, status=422)
        assert Account.objects.get().paused_until is None

    def test_is_for_admins(self, market, call, api_key):
        key = api_key(Scope.READ, Scope.RECONCILE, Scope.CORRECT)
        call("post", f"/accounts/{market.account.pk}/resume", key, status=403)


class TestPolicies:
    def test_are_set_for_all_and_for_one_account(self, market, call, everybody):
        call("put", "/policies", everybody, {"family": "size", "mode": "alert"})
        own = {"account": market.account.pk, "family": "size", "mode": "adjust", "materiality_usd": "50"}
        assert call("put", "/policies", everybody, own)["materiality_usd"] == "50"
        told = call("get", "/policies", everybody)["policies"]
        assert [(one["account_id"], one["mode"]) for one in told] == [
            (None, "alert"),
            (market.account.pk, "adjust"),
        ]

    def test_set_again_end_a_halt(self, market, call, everybody):
        Policy.objects.create(family="size", mode="adopt", halted_at=NOW)
        told = call("put", "/policies", everybody, {"family": "size", "mode": "adopt"})
        assert told["halted_at"] is None

    def test_are_set_by_admins_only(self, market, call, api_key):
        key = api_key(Scope.READ, Scope.CORRECT, Scope.RECONCILE)
        call("put", "/policies", key, {"family": "size", "mode": "adopt"}, status=403)

    def test_for_all_accounts_need_a_key_that_sees_all(self, market, call, api_key):
        key = api_key(*Scope, accounts=[market.account.pk])
        call("put", "/policies", key, {"family": "size", "mode": "adopt"}, status=403)


class TestAllocation:
    @pytest.fixture
    def spread(self, market, settings):
        settings.ALLOCATION_DEFAULTS = {"hyperliquid": D("0.80"), "coinbase": D("0.20")}
        Account.objects.create(label="t", venue="coinbase", environment="simulated", created_at=NOW)
        return market

    def test_names_what_it_does_not_know(self, spread, call, everybody):
        told = call("get", "/allocation", everybody)
        assert (told["environment"], told["total"]) == ("simulated", None)
        assert {one["account"] for one in told["unknown"]} == {"main", "t"}
        assert {one["label"]: one["target"] for one in told["slices"]} == {
            "hyperliquid": "0.8",
            "coinbase": "0.2",
        }

    def test_of_a_stated_value_says_what_each_venue_should_hold(self, spread, call, everybody):
        told = call("get", "/allocation?portfolio_value=100000", everybody)
        assert (told["total"], told["total_given"]) == ("100000", True)
        assert [one["target_value"] for one in told["slices"]] == ["80000", "20000"]

    @pytest.mark.parametrize("value", ["0", "-5", "much", "NaN"])
    def test_of_a_value_that_is_none_is_refused(self, spread, call, everybody, value):
        call("get", f"/allocation?portfolio_value={value}", everybody, status=422)

    def test_is_meant_otherwise_by_an_admin(self, spread, call, everybody):
        body = {"environment": "simulated", "venue": "coinbase", "share": "0.5"}
        made = call("put", "/allocation/targets", everybody, body)
        assert AllocationTarget.objects.get().changed_by.startswith("key:")
        assert call("get", "/allocation/targets", everybody)[0]["share"] == "0.5"
        call("delete", f"/allocation/targets/{made['id']}", everybody, status=204)
        assert not AllocationTarget.objects.exists()

    def test_beyond_all_there_is_is_refused(self, spread, call, everybody):
        call(
            "put",
            "/allocation/targets",
            everybody,
            {"environment": "simulated", "venue": "a", "share": "0.7"},
        )
        body = {"environment": "simulated", "venue": "b", "share": "0.4"}
        assert call("put", "/allocation/targets", everybody, body, status=422)["code"] == "bad_target"


class TestTheDescription:
    def test_types_every_answer(self, as_viewer):
        paths = as_viewer.get("/api/v1/openapi.json").json()["paths"]
        untyped = [
            (path, method)
            for path, operations in paths.items()
            if "/reconciliation/" in path or path.endswith("/validate")
            for method, operation in operations.items()
            for code, answer in operation["responses"].items()
            if code.startswith("2")
            and code != "204"
            and not answer.get("content", {}).get("application/json", {}).get("schema")
        ]
        assert untyped == []
        assert sum("/reconciliation/" in path for path in paths) >= 18


class TestABackfill:
    def test_is_asked_for_once_and_followed(self, market, call, everybody):
        path = f"/accounts/{market.account.pk}/backfill"
        body = {"feed": "fills", "since": "2026-01-01T00:00:00Z"}
        asked = call("post", path, everybody, body, status=202)
        assert (asked["stage"], asked["feed"], asked["since"]) == ("waiting", "fills", "2026-01-01T00:00:00Z")
        call("post", path, everybody, body, status=202)
        assert call("get", path, everybody)["backfills"] == [asked]

    @pytest.mark.parametrize(
        "body",
        [
            {"feed": "fills", "since": "2999-01-01T00:00:00Z"},
            {"feed": "fills"},
            {"feed": "gossip", "since": "2026-01-01T00:00:00Z"},
        ],
    )
    def test_that_makes_no_sense_is_refused(self, market, call, everybody, body):
        call("post", f"/accounts/{market.account.pk}/backfill", everybody, body, status=422)

    def test_is_not_for_readers_nor_of_an_account_they_may_not_see(self, market, call, api_key):
        path = f"/accounts/{market.account.pk}/backfill"
        body = {"feed": "fills", "since": "2026-01-01T00:00:00Z"}
        call("post", path, api_key(Scope.READ), body, status=403)
        stranger = api_key(Scope.READ, Scope.RECONCILE, accounts=[market.account.pk + 1])
        call("post", path, stranger, body, status=404)
        call("get", path, stranger, status=404)
