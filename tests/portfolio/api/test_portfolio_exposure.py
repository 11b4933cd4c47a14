"""GET /portfolio/exposure."""

import pytest

from tests.portfolio.api.days import of_others
from tests.portfolio.market import SPOT
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestTheExposure(EndpointQuestions):
    path = "/portfolio/exposure"

    def test_nets_coins_and_derivatives_of_one_underlying(self, ask, reader, position, market, now):
        market.mark(SPOT, "61000", now=now)
        market.fill("buy", "1", "60500", instrument=SPOT, now=now)
        market.fill("sell", "4", "61000", now=now)
        (btc,) = ask(reader).json()["assets"]
        assert btc["key"] == "BTC"
        assert (btc["spot_quantity"], btc["derivative_quantity"], btc["net_quantity"]) == ("1", "-2", "-1")
        assert (btc["gross_exposure"]["value"], btc["net_exposure"]["value"]) == ("183000", "-61000")

    def test_of_an_environment_without_accounts_is_not_there(self, ask, reader, position):
        answer = ask(reader, query={"environment": "live"})
        assert (answer.status_code, answer.json()["code"]) == (404, "no_accounts")

    def test_is_of_the_accounts_that_a_key_may_see(self, ask, api_key, position, other):
        assert of_others(ask, api_key, other).json()["assets"] == []
