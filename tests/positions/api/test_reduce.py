"""POST /positions/{ref}/reduce."""

import pytest

from core.security.scopes import Scope
from positions.models import Entry
from tests.positions.api.questions import OnePositionQuestions

pytestmark = pytest.mark.django_db


class TestReducing(OnePositionQuestions):
    path = "/positions/{position.pk}/reduce"
    method = "post"
    scope = Scope.CORRECT
    body = {"quantity": "0.5", "price": "62000"}

    def test_takes_a_quantity_off(self, ask, corrector):
        answer = ask(corrector, fee="2")
        position = answer.json()["position"]
        assert (position["status"], position["quantity"], position["realized_pnl"]) == (
            "REDUCED",
            "1.5",
            "1000",
        )
        assert position["net_pnl"] == "996.5"
        assert answer["ETag"] == '"2"'

    def test_at_the_mark_when_no_price_is_given(self, ask, corrector):
        assert ask(corrector, price=None).json()["position"]["realized_pnl"] == "500"

    def test_needs_a_price_when_no_fresh_mark_is_known(self, ask, corrector):
        from positions.models import Mark

        Mark.objects.all().delete()
        answer = ask(corrector, price=None)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_price")

    def test_never_takes_more_than_there_is(self, ask, corrector):
        answer = ask(corrector, quantity="3")
        assert (answer.status_code, answer.json()["code"]) == (409, "too_much")

    def test_of_an_ended_position_is_refused(self, ask, corrector, market, now):
        market.fill("sell", "2", "60000", now=now)
        answer = ask(corrector)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_open")

    def test_by_name_means_an_open_position(self, ask, corrector, market, now):
        market.fill("sell", "2", "60000", now=now)
        assert ask(corrector, to="/api/v1/positions/BTC/reduce").status_code == 404

    def test_by_a_name_that_nothing_has_is_refused(self, ask, corrector):
        assert ask(corrector, to="/api/v1/positions/BTC/USD/reduce").status_code == 404

    def test_at_a_version_that_has_passed_is_stopped(self, ask, corrector, market, now):
        market.fill("buy", "1", "60000", now=now)
        answer = ask(corrector | {"If-Match": '"1"'})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["actual"]) == (412, "stale_version", 2)
        assert not Entry.objects.filter(source="api").exists()
        assert ask(corrector | {"If-Match": '"0"'}).status_code == 412
        assert ask(corrector | {"If-Match": '"2"'}).status_code == 200

    def test_twice_under_one_key_happens_once(self, ask, corrector):
        headers = corrector | {"Idempotency-Key": "r-1", "If-Match": "1"}
        first, again = ask(headers), ask(headers)
        assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
        assert again.json()["position"]["quantity"] == "1.5"

    @pytest.mark.parametrize("quantity", ["0", "-1", "NaN", 0.5, None, "x", "1e30"])
    def test_refuses_a_quantity_that_is_none(self, ask, corrector, quantity):
        answer = ask(corrector, quantity=quantity)
        assert answer.status_code in (409, 422)
        assert not Entry.objects.filter(source="api").exists()
