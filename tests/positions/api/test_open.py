"""POST /positions/open."""

import pytest
from django.test import Client

from core.security.scopes import Scope
from positions.models import Entry, Position
from tests.portfolio.market import ETH
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestOpeningByHand(EndpointQuestions):
    path = "/positions/open"
    method = "post"
    scope = Scope.CORRECT
    ok = 201
    body = {"symbol": "BTC/USD", "quantity": "2", "price": "60000.50"}

    def test_answers_with_the_position(self, ask, corrector):
        answer = ask(corrector, side="short", leverage="5", reason="moved to cold storage", fee="1.25")
        done = answer.json()
        position = done["position"]
        assert (answer.status_code, answer["ETag"], done["repeated"]) == (201, '"1"', False)
        assert (position["quantity"], position["side"], position["entry_price"]) == ("-2", "short", "60000.5")
        assert (position["account"], position["venue"], position["environment"]) == (
            "manual",
            "manual",
            "manual",
        )
        assert (position["realized_pnl"], position["net_pnl"], position["fees"]) == (
            "0",
            "-1.25",
            {"USD": "1.25"},
        )
        event = Position.objects.get(pk=position["id"]).events.get()
        assert (event.source, event.reason) == ("api", "moved to cold storage")
        assert event.who.startswith("key:pl")
        assert event.trace_id == answer["X-Request-ID"]

    def test_at_an_unknown_price_has_an_unknown_entry(self, ask, corrector):
        position = ask(corrector, price=None).json()["position"]
        assert (position["entry_price"], position["open_cost"]) == (None, None)

    def test_adds_to_a_position_of_the_same_side(self, ask, corrector):
        first = ask(corrector, price="60000").json()["position"]
        again = ask(corrector, price="62000").json()["position"]
        assert (again["id"], again["version"], again["entry_price"]) == (first["id"], 2, "61000")

    def test_never_reduces_one_of_the_other_side(self, ask, corrector):
        ask(corrector)
        answer = ask(corrector, side="short")
        assert (answer.status_code, answer.json()["code"]) == (409, "other_side_open")

    def test_on_a_connected_account_corrects_its_book(self, ask, corrector, market):
        answer = ask(corrector, account=market.account.pk, symbol=ETH)
        assert (answer.status_code, answer.json()["position"]["account"]) == (201, "main")
        by_label = ask(corrector, account="main", symbol=ETH).json()["position"]
        assert by_label["quantity"] == "4"

    def test_of_a_spot_pair_answers_with_the_coin(self, ask, corrector, market):
        position = ask(corrector, account="main", symbol="BTC/USDC").json()["position"]
        assert (position["symbol"], position["kind"], position["quantity"]) == ("BTC", "asset", "2")

    def test_of_a_symbol_that_the_venue_has_not_is_refused(self, ask, corrector, market):
        answer = ask(corrector, account="main", symbol="DOGE/USD")
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_symbol")

    def test_hides_other_accounts(self, ask, api_key, market, other):
        key = api_key(Scope.CORRECT, accounts=[other.account.pk])
        for account in (market.account.pk, "main", 999, "x"):
            answer = ask(key, account=account, symbol=ETH)
            assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")

    def test_needs_an_account_from_a_key_that_may_not_use_the_manual_one(self, ask, api_key, other):
        answer = ask(api_key(Scope.CORRECT, accounts=[other.account.pk]))
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
        assert "name an account" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"quantity": "0"}, "quantity"),
            ({"quantity": "-1"}, "quantity"),
            ({"quantity": "NaN"}, "quantity"),
            ({"quantity": "Infinity"}, "quantity"),
            ({"quantity": 0.1}, "quantity"),
            ({"quantity": "many"}, "quantity"),
            ({"quantity": "1_000"}, "quantity"),
            ({"quantity": "\u0661"}, "quantity"),
            ({"quantity": " 1"}, "quantity"),
            ({"quantity": None}, "quantity"),
            ({"quantity": True}, "quantity"),
            ({"quantity": "1e30"}, "quantity"),
            ({"quantity": "0.0000000000000000001"}, "quantity"),
            ({"price": "0"}, "price"),
            ({"price": "-5"}, "price"),
            ({"price": 1.5}, "price"),
            ({"price": "1e25"}, "price"),
            ({"fee": "-1"}, "fee"),
            ({"side": "sideways"}, "side"),
            ({"leverage": "0"}, "leverage"),
            ({"leverage": "1001"}, "leverage"),
            ({"symbol": ""}, "symbol"),
            ({"symbol": "B T C"}, "symbol"),
            ({"symbol": "BTC\u0000"}, "symbol"),
            ({"symbol": "B" * 200}, "symbol"),
            ({"at": "yesterday"}, "at"),
            ({"at": "2026-01-01T00:00:00"}, "at"),
            ({"at": 1767225600}, "at"),
            ({"at": "1767225600"}, "at"),
            ({"at": "0001-01-01T00:00:00+23:59"}, "at"),
            ({"reason": "a\u0000b"}, "reason"),
            ({"reason": "x" * 501}, "reason"),
            ({"qty": "1"}, "qty"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, ask, corrector, changes, field):
        answer = ask(corrector, **changes)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid_input")
        assert any(one["field"].split(".")[-1] == field or field in one["field"] for one in problem["errors"])
        assert not Entry.objects.filter(source="api").exists()

    def test_refuses_what_lies_in_the_future(self, ask, corrector):
        answer = ask(corrector, at="2100-01-01T00:00:00Z")
        assert (answer.status_code, answer.json()["code"]) == (422, "rejected")

    def test_takes_a_time_of_any_zone(self, ask, corrector):
        position = ask(corrector, at="2026-01-01T03:00:00+03:00").json()["position"]
        assert position["opened_at"] == "2026-01-01T00:00:00Z"

    @pytest.mark.parametrize("text", ["", "nonsense", "[]", '"x"', "null", "{"])
    def test_refuses_what_is_no_object(self, client, corrector, url, text):
        answer = client.post(url, text, content_type="application/json", headers=corrector)
        assert answer.status_code in (400, 422)
        assert answer["Content-Type"] == "application/problem+json"

    def test_needs_the_csrf_token_from_a_browser(self, url, trader):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(trader)
        assert browser.post(url, self.body, content_type="application/json").status_code == 403


class TestAnIdempotencyKey(EndpointQuestions):
    path = "/positions/open"
    method = "post"
    scope = Scope.CORRECT
    ok = 201
    body = {"symbol": "BTC/USD", "quantity": "2", "price": "60000"}

    def test_makes_a_repeat_harmless(self, ask, corrector):
        headers = corrector | {"Idempotency-Key": "order-1"}
        first, again = ask(headers), ask(headers)
        assert (first.status_code, again.status_code) == (201, 200)
        assert (again.json()["repeated"], again.json()["position"]["quantity"]) == (True, "2")
        assert again.json()["sequence"] == first.json()["sequence"]

    def test_belongs_to_who_sent_it(self, ask, api_key):
        for key in (api_key(Scope.CORRECT), api_key(Scope.CORRECT)):
            answer = ask(key | {"Idempotency-Key": "1"})
            assert answer.status_code == 201
        assert answer.json()["position"]["quantity"] == "4"

    def test_means_one_request_only(self, ask, corrector):
        headers = corrector | {"Idempotency-Key": "order-1"}
        ask(headers)
        answer = ask(headers, quantity="3")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")

    def test_is_kept_by_the_ledger_when_redis_forgets(self, ask, corrector, redis_server):
        headers = corrector | {"Idempotency-Key": "order-1"}
        ask(headers)
        redis_server.flushdb()
        assert ask(headers).json()["repeated"] is True
        assert Entry.objects.filter(source="api").count() == 1

    @pytest.mark.parametrize("key", ["", "with space", "x" * 201, "é"])
    def test_must_be_printable(self, ask, corrector, key):
        answer = ask(corrector | {"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")


class TestAVersion(EndpointQuestions):
    path = "/positions/open"
    method = "post"
    scope = Scope.CORRECT
    ok = 201
    body = {"symbol": "BTC/USD", "quantity": "2", "price": "60000"}

    def test_that_is_current_lets_it_pass(self, ask, corrector):
        first = ask(corrector)
        assert ask(corrector | {"If-Match": first["ETag"]}).status_code == 201

    def test_that_is_past_stops_it(self, ask, corrector):
        ask(corrector)
        ask(corrector)
        answer = ask(corrector | {"If-Match": "1"})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (412, "stale_version")
        assert (problem["expected"], problem["actual"], problem["current"]["status"]) == (1, 2, "OPEN")

    def test_of_nothing_stops_it(self, ask, corrector):
        answer = ask(corrector | {"If-Match": "1"})
        assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")

    @pytest.mark.parametrize("version", ["one", "-1", "1.5", '""', "9" * 30])
    def test_that_is_none_is_refused(self, ask, corrector, version):
        answer = ask(corrector | {"If-Match": version})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_version")
