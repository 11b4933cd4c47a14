"""GET /balances."""

from decimal import Decimal

import pytest

from positions.book import Cause, Entry, Kind
from tests.portfolio.market import SPOT
from tests.positions.api.questions import PageQuestions

pytestmark = pytest.mark.django_db


def opening(market, amount, currency, *, now, wallet=""):
    """The balance at connection: from then on the wallet is counted."""
    market.booked += 1
    entry = Entry(
        kind=Kind.TRANSFER, cause=Cause.OPENING, venue_ref=f"opening-{market.booked}", time=now, leg=None,
        amount=Decimal(amount), currency=currency, wallet=wallet or None,
    )  # fmt: skip
    market.book(entry, now=now)


class TestBalances(PageQuestions):
    path = "/balances"

    def more(self, market, now):
        opening(market, "100", "USDC", now=now, wallet=f"w{market.booked}")

    def test_are_exact_and_valued(self, ask, reader, market, position, now):
        opening(market, "1000.000000000000000001", "USDC", now=now)
        opening(market, "0.5", "BTC", now=now)
        market.mark(SPOT, "60000", now=now)
        btc, usdc = ask(reader).json()["items"]
        assert (usdc["amount"], usdc["usd_value"], usdc["usd_source"]) == (
            "1000.000000000000000001", "1000.000000000000000001", "par",
        )  # fmt: skip
        assert (btc["asset"], btc["amount"], btc["usd_value"]) == ("BTC", "0.5", "30000")
        assert btc["usd_source"] == "hyperliquid BTC/USDC"

    def test_have_no_value_where_no_price_is_known(self, ask, reader, market, position, now):
        opening(market, "0.5", "BTC", now=now)
        from positions.models import Mark

        Mark.objects.all().delete()
        (btc,) = ask(reader, query={"asset": "BTC"}).json()["items"]
        assert (btc["usd_value"], btc["usd_source"]) == (None, None)

    def test_are_only_those_of_accounts_that_a_key_may_see(self, ask, api_key, market, other, position, now):
        opening(market, "1", "USDC", now=now)
        opening(other, "2", "USDC", now=now)
        items = ask(api_key(accounts=[other.account.pk])).json()["items"]
        assert [one["amount"] for one in items] == ["2"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"account": "other"}, ["2"]),
            ({"account": "nobody"}, []),
            ({"asset": "USDC"}, ["1", "2"]),
            ({"asset": "DOGE"}, []),
            ({"environment": "simulated"}, ["1", "2"]),
            ({"environment": "live"}, []),
        ],
    )
    def test_are_filtered(self, ask, reader, market, other, now, query, expected):
        opening(market, "1", "USDC", now=now)
        opening(other, "2", "USDC", now=now)
        assert [one["amount"] for one in ask(reader, query=query).json()["items"]] == expected

    def test_refuse_an_environment_that_does_not_exist(self, ask, reader):
        answer = ask(reader, query={"environment": "moon"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
