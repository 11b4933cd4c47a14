"""GET /positions/at-risk."""

import pytest

from tests.portfolio.market import BTC, ETH
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestPositionsAtRisk(EndpointQuestions):
    path = "/positions/at-risk"

    def test_are_those_near_their_liquidation_the_nearest_first(self, ask, reader, market, position, now):
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        market.mark(ETH, "3000", now=now)
        market.state(ETH, now=now, liquidation_price="3030")
        market.state(BTC, now=now, liquidation_price="59000")
        body = ask(reader).json()
        assert [(one["symbol"], one["risk"]) for one in body["items"]] == [(ETH, "critical"), (BTC, "danger")]
        assert (body["threshold_pct"], body["unknown"]) == ("5", [])

    def test_are_within_the_threshold_asked_for(self, ask, reader, position):
        assert ask(reader).json()["items"] == []
        assert len(ask(reader, query={"threshold": "26.23"}).json()["items"]) == 1
        assert ask(reader, query={"threshold": "26.22"}).json()["items"] == []

    def test_beyond_their_liquidation_count_too(self, ask, reader, market, position, now):
        market.mark(BTC, "44000", now=now)
        (one,) = ask(reader).json()["items"]
        assert one["liquidation_distance_pct"].startswith("-2.27")

    def test_of_unknown_distance_are_listed_apart(self, ask, reader, market, position, now):
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        body = ask(reader).json()
        assert (body["items"], [one["symbol"] for one in body["unknown"]]) == ([], [ETH])

    def test_are_only_those_of_accounts_that_a_key_may_see(self, ask, api_key, position, other):
        body = ask(api_key(accounts=[other.account.pk]), query={"threshold": "100"}).json()
        assert (body["items"], body["unknown"]) == ([], [])

    @pytest.mark.parametrize("threshold", ["0", "-1", "101", "NaN", "many", ""])
    def test_refuse_a_threshold_that_is_no_percentage(self, ask, reader, threshold):
        answer = ask(reader, query={"threshold": threshold})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    def test_take_no_more_queries_for_more_rows(
        self, ask, reader, market, position, other, now, django_assert_num_queries
    ):
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        ask(reader)  # notes that the key is used
        with django_assert_num_queries(5):
            ask(reader)
        for one in (market, other):
            one.fill("sell", "10", "3000", instrument=ETH, now=now)
        with django_assert_num_queries(5):
            ask(reader)
