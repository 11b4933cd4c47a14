"""GET /positions/summary."""

import pytest

from tests.portfolio.api.test_positions import one_more
from tests.portfolio.market import ETH
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestTheSummary(EndpointQuestions):
    path = "/positions/summary"

    def test_adds_up_what_is_open(self, ask, reader, position, market, now):
        market.fill("sell", "10", "3000", instrument=ETH, now=now)
        market.mark(ETH, "3100", now=now)
        market.state(ETH, now=now, liquidation_price="3200")
        (total,) = ask(reader).json()["environments"]
        nearest = total.pop("nearest")
        assert total == {
            "environment": "simulated", "positions": 2, "long": 1, "short": 1,
            "unrealized_pnl": {"value": "1000", "left_out": 0}, "realized_pnl": {"value": "0", "left_out": 0},
            "gross_exposure": {"value": "153000", "left_out": 0},
            "net_exposure": {"value": "91000", "left_out": 0},
            "at_risk": 1, "risk_unknown": 0, "proof": {"PENDING": 2, "SYNCED": 0, "DRIFT": 0, "FAILED": 0},
        }  # fmt: skip
        assert (nearest["symbol"], nearest["risk"]) == (ETH, "danger")
        assert nearest["liquidation_distance_pct"].startswith("3.2258")

    def test_counts_what_it_leaves_out(self, ask, reader, position, market, now):
        market.fill("buy", "10", "3000", instrument=ETH, now=now)
        (total,) = ask(reader).json()["environments"]
        assert total["unrealized_pnl"] == {"value": "2000", "left_out": 1}
        assert (total["gross_exposure"]["left_out"], total["risk_unknown"]) == (1, 1)

    def test_of_nothing_known_is_null_and_not_zero(self, ask, reader, market, now):
        market.fill("buy", "10", "3000", instrument=ETH, now=now)
        asked = ask(reader).json()["environments"][0]
        from positions.models import Mark

        Mark.objects.all().delete()
        total = ask(reader).json()["environments"][0]
        assert asked["unrealized_pnl"]["value"] == "2000"
        assert total["unrealized_pnl"] == {"value": None, "left_out": 2}

    def test_never_mixes_environments(self, ask, reader, position, market, now):
        one_more(market, now)
        names = [one["environment"] for one in ask(reader).json()["environments"]]
        assert names == ["simulated", "manual"]

    def test_is_over_the_accounts_that_a_key_may_see(self, ask, api_key, position, other):
        (total,) = ask(api_key(accounts=[other.account.pk])).json()["environments"]
        assert (total["positions"], total["unrealized_pnl"]) == (0, {"value": "0", "left_out": 0})

    def test_takes_no_more_queries_for_more_rows(
        self, ask, reader, position, market, now, django_assert_num_queries
    ):
        one_more(market, now)
        ask(reader)  # notes that the key is used
        with django_assert_num_queries(6):
            ask(reader)
        for _ in range(3):
            one_more(market, now)
        with django_assert_num_queries(6):
            ask(reader)
