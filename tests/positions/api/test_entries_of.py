"""GET /positions/{ref}/entries."""

import pytest

from tests.portfolio.market import ETH, SPOT
from tests.positions.api.questions import OnePositionQuestions, PageQuestions

pytestmark = pytest.mark.django_db


class TestTheEntriesOfAPosition(OnePositionQuestions, PageQuestions):
    path = "/positions/{position.pk}/entries"

    def more(self, market, now):
        market.fill("buy", "1", "60500", now=now)

    def test_are_its_facts_signed_as_the_book_counts_them(self, ask, reader, market, position, now):
        market.fill("sell", "0.5", "60500", now=now)
        market.fill("buy", "7", "3000", instrument=ETH, now=now)
        newest, oldest = ask(reader).json()["items"]
        assert (oldest["kind"], oldest["cause"], oldest["quantity"], oldest["price"]) == (
            "fill",
            "trade",
            "2",
            "60000",
        )
        assert (newest["quantity"], newest["fee"], newest["fee_currency"]) == ("-0.5", "1.5", "USDC")
        assert newest["symbol"] == "BTC/USDC:USDC"

    def test_show_what_is_unknown_as_null(self, ask, reader, market, position, now):
        market.fill("buy", "1", None, now=now)
        newest = ask(reader).json()["items"][0]
        assert (newest["price"], newest["fee"], newest["amount"]) == (None, None, None)

    def test_of_an_ended_position_end_with_it(self, ask, reader, market, position, now):
        from datetime import timedelta

        market.fill("sell", "2", "60500", now=now)
        market.fill("buy", "1", "60500", now=now + timedelta(seconds=1))
        assert [one["quantity"] for one in ask(reader).json()["items"]] == ["-2", "2"]

    def test_of_a_coin_are_the_fills_of_its_pairs(self, ask, reader, market, position, now):
        from positions.models import Position

        market.fill("buy", "3", "60000", instrument=SPOT, now=now)
        coin = Position.objects.get(instrument__kind="asset")
        (entry,) = ask(reader, to=f"/api/v1/positions/{coin.pk}/entries").json()["items"]
        assert (entry["quantity"], entry["symbol"]) == ("3", "BTC/USDC")
