"""GET /positions/{ref}."""

from datetime import timedelta

import pytest

from tests.portfolio.market import BTC, ETH, SPOT
from tests.positions.api.questions import OnePositionQuestions

pytestmark = pytest.mark.django_db


class TestAPosition(OnePositionQuestions):
    path = "/positions/{position.pk}"

    def test_is_shown_whole_with_its_version(self, ask, reader, position):
        answer = ask(reader)
        assert answer["ETag"] == '"1"'
        body = answer.json()
        assert (body["id"], body["unrealized_pnl"], body["margin_mode"]) == (position.pk, "2000", None)
        assert body["opened_at"] == position.opened_at.isoformat().replace("+00:00", "Z")

    def test_by_name_is_the_open_one(self, ask, reader, market, position, now):
        market.fill("sell", "2", "60000", now=now)
        market.fill("sell", "1", "60000", now=now + timedelta(seconds=1))
        body = ask(reader, to="/api/v1/positions/BTC").json()
        assert (body["side"], body["status"]) == ("short", "OPEN")

    def test_by_name_is_the_last_ended_one_where_none_is_open(self, ask, reader, market, position, now):
        for second in (1, 3):
            market.fill("sell", "2", "60000", now=now + timedelta(seconds=second))
            market.fill("buy", "2", "60000", now=now + timedelta(seconds=second + 1))
        market.fill("sell", "2", "61000", now=now + timedelta(seconds=9))
        body = ask(reader, to="/api/v1/positions/BTC").json()
        assert (body["status"], body["exit_price"]) == ("CLOSED", "61000")

    def test_by_asset_is_ambiguous_between_coin_and_perpetual(self, ask, reader, market, position, now):
        market.fill("buy", "1", "60000", instrument=SPOT, now=now)
        problem = ask(reader, to="/api/v1/positions/BTC").json()
        assert [one["symbol"] for one in problem["candidates"]] == ["BTC", BTC]
        assert ask(reader, to=f"/api/v1/positions/{BTC}").json()["id"] == position.pk

    def test_by_its_coin_in_dollars(self, ask, reader, market, position, now):
        """Tools and people say BTC/USD, whatever the dollar of the market is."""
        assert ask(reader, to="/api/v1/positions/BTC/USD").json()["id"] == position.pk
        assert ask(reader, to="/api/v1/positions/BTC/EUR").status_code == 404
        market.fill("buy", "1", "60000", instrument=SPOT, now=now)
        problem = ask(reader, to="/api/v1/positions/BTC/USD").json()
        assert [one["symbol"] for one in problem["candidates"]] == ["BTC", BTC]

    def test_by_the_name_of_an_endpoint_is_not_looked_up(self, ask, reader, position):
        assert "environments" in ask(reader, to="/api/v1/positions/summary").json()

    def test_shows_what_it_was_worth_in_another_coin_as_unknown(self, ask, reader, market, position, now):
        market.fill("buy", "1", "3000", instrument=ETH, now=now)
        body = ask(reader, to="/api/v1/positions/ETH").json()
        assert (body["quantity_asset"], body["notional"]) == ("ETH", None)
