"""POST /positions/{ref}/close."""

import pytest

from core.security.scopes import Scope
from tests.positions.api.questions import OnePositionQuestions

pytestmark = pytest.mark.django_db


class TestClosing(OnePositionQuestions):
    path = "/positions/{position.pk}/close"
    method = "post"
    scope = Scope.CORRECT
    body = {"price": "62000"}

    def test_takes_everything_off(self, ask, corrector):
        position = ask(corrector).json()["position"]
        assert (position["status"], position["quantity"], position["realized_pnl"]) == ("CLOSED", "0", "4000")
        assert (position["exit_price"], position["closed_at"] is not None) == ("62000", True)

    def test_needs_no_body(self, client, corrector, url):
        answer = client.generic("POST", url, headers=corrector)
        assert (answer.status_code, answer.json()["position"]["exit_price"]) == (200, "61000")

    def test_of_an_ended_position_is_refused(self, ask, corrector):
        ask(corrector)
        answer = ask(corrector)
        assert (answer.status_code, answer.json()["code"]) == (409, "not_open")

    def test_twice_under_one_key_is_one_close_also_by_name(self, ask, corrector):
        headers = corrector | {"Idempotency-Key": "c-1"}
        first = ask(headers, to="/api/v1/positions/BTC/close")
        again = ask(headers, to="/api/v1/positions/BTC/close")
        assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
        assert again.json()["position"]["id"] == first.json()["position"]["id"]

    def test_at_a_version_that_has_passed_is_stopped(self, ask, corrector, market, now):
        market.fill("buy", "1", "60000", now=now)
        assert ask(corrector | {"If-Match": "1"}).status_code == 412

    @pytest.mark.parametrize("price", ["0", "-1", "NaN", 1.5, "x"])
    def test_refuses_a_price_that_is_none(self, ask, corrector, price):
        answer = ask(corrector, price=price)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
