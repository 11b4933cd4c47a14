"""GET /portfolio/pnl."""

from decimal import Decimal as D

import pytest

from tests.portfolio.api.days import of_others
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db
BY = ("position", "asset", "account", "venue", "strategy", "day")


class TestThePnl(EndpointQuestions):
    path = "/portfolio/pnl"

    @pytest.mark.parametrize("by", BY)
    @pytest.mark.parametrize(
        ("period", "expected"), [("today", "2048.5"), ("7d", "3642.5"), ("all", "3642.5")]
    )
    def test_adds_up_to_the_cent_by_whatever_it_is_split(self, ask, reader, days, period, expected, by):
        found = ask(reader, query={"period": period, "by": by}).json()
        assert (found["pnl"], found["left_out"]) == (expected, 0)
        assert sum(D(row["pnl"]) for row in found["rows"]) == D(expected)

    def test_is_told_day_by_day(self, ask, reader, days):
        rows = ask(reader, query={"period": "30d", "by": "day"}).json()["rows"]
        assert [row["pnl"] for row in rows] == ["998.5", "748.5", "-153", "2048.5"]

    def test_shows_what_is_not_tagged(self, ask, reader, days):
        (row,) = ask(reader, query={"period": "all", "by": "strategy"}).json()["rows"]
        assert (row["key"], row["label"]) == ("", "untagged")

    def test_is_the_pnl_of_the_portfolio(self, ask, reader, days):
        (one,) = ask(reader, to="/api/v1/portfolio").json()["environments"]
        for period in ("today", "7d", "30d", "all"):
            found = ask(reader, query={"period": period}).json()
            assert found["pnl"] == one["periods"][period]["value"]

    def test_refuses_a_period_that_is_none(self, ask, reader, days):
        assert ask(reader, query={"period": "year"}).status_code == 422

    def test_is_of_the_accounts_that_a_key_may_see(self, ask, api_key, days, other):
        found = of_others(ask, api_key, other, period="all").json()
        assert found["pnl"] == "0"
