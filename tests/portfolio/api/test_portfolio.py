"""GET /portfolio."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, localcontext

import pytest
from django.utils import timezone

from portfolio import pipeline
from positions.models import Account, Mark
from tests.portfolio.api.days import of_others
from tests.portfolio.market import BTC
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


class TestThePortfolio(EndpointQuestions):
    path = "/portfolio"

    def test_adds_up_what_is_held_and_what_today_earned(self, ask, reader, days):
        (one,) = ask(reader).json()["environments"]
        assert one["equity"] == {"value": "104642.5", "left_out": 0}
        assert one["gross_exposure"] == {"value": "137650", "left_out": 0}
        assert (one["long_exposure"]["value"], one["short_exposure"]["value"]) == ("137650", "0")
        assert one["leverage"] == "1.3154"
        today = one["periods"]["today"]
        assert (today["value"], today["left_out"]) == ("2048.5", 0)
        assert one["periods"]["all"]["value"] == "3642.5"
        assert one["periods"]["all"]["parts"]["fees"] == "-4.5"
        assert one["periods"]["7d"]["parts"]["funding"] == "-3"
        assert one["quality"]["accounts_incomplete"] == 0

    def test_has_groups_that_add_up_to_the_same(self, ask, reader, days):
        (one,) = ask(reader).json()["environments"]
        for name in ("by_account", "by_venue", "by_asset", "by_strategy"):
            assert sum(float(row["pnl_today"]["value"]) for row in one[name]) == 2048.5, name
            assert sum(float(row["gross_exposure"]["value"]) for row in one[name]) == 137650, name
        assert [row["key"] for row in one["by_strategy"]] == [""]

    def test_is_the_stored_figure_while_that_is_fresh(self, ask, reader, days):
        pipeline.refresh(timezone.now())
        first = ask(reader).json()
        Mark.objects.filter(instrument__symbol=BTC).update(price=1)
        second = ask(reader).json()
        assert first["refreshed"] is second["refreshed"] is True
        assert first["environments"][0]["equity"] == second["environments"][0]["equity"]

    def test_of_an_empty_book_is_zeros_and_200(self, client, api_key, db):
        answer = client.get("/api/v1/portfolio", headers=api_key())
        assert (answer.status_code, answer.json()["environments"]) == (200, [])
        Account.objects.create(
            label="new", venue="hyperliquid", environment="simulated", created_at=timezone.now()
        )
        (one,) = client.get("/api/v1/portfolio", headers=api_key()).json()["environments"]
        assert (one["gross_exposure"]["value"], one["unrealized"]["value"]) == ("0", "0")

    @pytest.mark.parametrize("rounding", [ROUND_HALF_EVEN, ROUND_HALF_UP])
    def test_says_what_is_stale_and_what_that_is_worth(self, ask, reader, days, rounding):
        """However the thread rounds: a library may have changed that."""
        with localcontext(rounding=rounding):
            (one,) = ask(reader).json()["environments"]
        assert one["quality"]["text"] == "1 of 1 accounts stale, 104,642 of 104,642"
        assert one["quality"]["inputs"][0]["why"] == "its feed is down"

    def test_leaves_out_what_has_no_price_and_counts_it(self, ask, reader, days):
        Mark.objects.filter(instrument__symbol=BTC).delete()
        (one,) = ask(reader).json()["environments"]
        assert one["gross_exposure"] == {"value": "15650", "left_out": 1}
        assert one["equity"] == {"value": None, "left_out": 1}
        assert one["leverage"] is None
        assert one["periods"]["today"]["value"] is None
        assert one["quality"]["accounts_incomplete"] == 1

    def test_is_over_the_accounts_that_a_key_may_see(self, ask, api_key, days, other):
        (one,) = of_others(ask, api_key, other).json()["environments"]
        assert (one["accounts"], one["positions"]) == (1, 0)

    def test_shows_one_environment_where_one_is_asked_for(self, ask, reader, days):
        assert ask(reader, query={"environment": "live"}).json()["environments"] == []
        assert ask(reader, query={"environment": "mars"}).status_code == 422
