"""GET /positions and GET /positions/active."""

from decimal import Decimal

import pytest

from positions import ingest, manual
from positions.models import Account, Position
from tests.portfolio.market import BTC, ETH
from tests.positions.api.questions import PageQuestions

pytestmark = pytest.mark.django_db


def one_more(market, now):
    """A position in another coin, by hand: each call makes one."""
    market.booked += 1
    by = manual.Actor(who="t", source="t", trace_id="t")
    manual.open_position(
        symbol=f"C{market.booked}/USD", quantity=Decimal(1), price=Decimal(1), by=by, now=now
    )


class TestPositions(PageQuestions):
    path = "/positions"

    def more(self, market, now):
        one_more(market, now)

    def test_are_shown_at_their_marks(self, ask, reader, position):
        (one,) = ask(reader).json()["items"]
        shown = {name: one[name] for name in (
            "id", "symbol", "asset", "side", "status", "quantity", "entry_price", "mark_price",
            "unrealized_pnl", "unrealized_pnl_pct", "notional", "realized_pnl", "net_pnl", "total_pnl",
            "leverage", "liquidation_price", "risk", "proof", "fees", "pnl_currency",
        )}  # fmt: skip
        assert shown == {
            "id": position.pk, "symbol": BTC, "asset": "BTC", "side": "long", "status": "OPEN",
            "quantity": "2", "entry_price": "60000", "mark_price": "61000", "unrealized_pnl": "2000",
            "unrealized_pnl_pct": "1.666666666666666667", "notional": "122000", "realized_pnl": "0",
            "net_pnl": "-1.5", "total_pnl": "1998.5", "leverage": "3", "liquidation_price": "45000",
            "risk": "safe", "proof": "PENDING", "fees": {"USDC": "1.5"}, "pnl_currency": "USDC",
        }  # fmt: skip
        assert one["liquidation_distance_pct"].startswith("26.2295")
        assert (one["proof_reading"], one["proof_unproven"]) == ("recorded", [])

    def test_say_where_the_reading_behind_their_proof_is_unproven(self, ask, reader, position):
        Account.objects.update(venue="binanceusdm")
        (one,) = ask(reader).json()["items"]
        assert (one["proof_reading"], one["proof_unproven"]) == ("unproven", ["fills"])

    def test_without_a_mark_have_no_value(self, ask, reader, market, now):
        market.fill("buy", "2", "3000", instrument=ETH, now=now)
        eth = ask(reader, query={"asset": "ETH"}).json()["items"][0]
        for name in ("mark_price", "mark_at", "notional", "unrealized_pnl", "total_pnl", "liquidation_price"):
            assert eth[name] is None
        assert eth["risk"] == "unknown"

    def test_bought_at_an_unknown_price_have_no_profit(self, ask, reader, market, now):
        market.fill("buy", "2", None, instrument=ETH, now=now)
        market.mark(ETH, "3000", now=now)
        eth = ask(reader, query={"asset": "ETH"}).json()["items"][0]
        assert (eth["entry_price"], eth["unrealized_pnl"], eth["unknown_count"]) == (None, None, 1)

    def test_are_only_those_of_accounts_that_a_key_may_see(self, ask, api_key, position, other, now):
        other.fill("buy", "1", "60000", now=now)
        items = ask(api_key(accounts=[other.account.pk])).json()["items"]
        assert [one["account"] for one in items] == ["other"]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({}, {"BTC", "ETH"}),
            ({"account": "main"}, {"BTC"}),
            ({"account": "other"}, {"ETH"}),
            ({"account": "nobody"}, set()),
            ({"account": "999999"}, set()),
            ({"venue": "hyperliquid"}, {"BTC", "ETH"}),
            ({"venue": "bybit"}, set()),
            ({"environment": "simulated"}, {"BTC", "ETH"}),
            ({"environment": "live"}, set()),
            ({"symbol": "ETH/USDC:USDC"}, {"ETH"}),
            ({"symbol": "eth/usdc"}, {"ETH"}),
            ({"symbol": "ETH"}, set()),
            ({"asset": "btc"}, {"BTC"}),
            ({"status": "OPEN"}, {"BTC"}),
            ({"status": "CLOSED"}, {"ETH"}),
            ({"status": ["OPEN", "CLOSED"]}, {"BTC", "ETH"}),
            ({"strategy": "basis"}, {"BTC"}),
            ({"strategy": "bas"}, set()),
            ({"tag": "hedge"}, {"BTC"}),
            ({"tag": "Hedge"}, set()),
            ({"tag": "hedge", "asset": "ETH"}, set()),
        ],
    )
    def test_are_filtered(self, ask, reader, position, other, now, query, found):
        other.fill("buy", "2", "3000", instrument=ETH, now=now)
        other.fill("sell", "2", "3000", instrument=ETH, now=now)
        ingest.annotate(
            position=position.pk, who="t", source="t", trace_id="t", now=now, tags=["hedge"], strategy="basis"
        )
        assert {one["asset"] for one in ask(reader, query=query).json()["items"]} == found

    def test_in_the_archive_are_shown_on_request(self, ask, reader, position, market, now):
        market.fill("sell", "2", "60000", now=now)
        ingest.set_archived(positions=[position.pk], source="t", trace_id="t", now=now)
        assert ask(reader).json()["items"] == []
        assert [one["archived"] for one in ask(reader, query={"archived": "true"}).json()["items"]] == [True]

    @pytest.mark.parametrize(
        "query", [{"status": "GONE"}, {"environment": "moon"}, {"archived": "maybe"}, {"symbol": "a\x00b"}]
    )
    def test_refuse_a_filter_that_makes_no_sense(self, ask, reader, query):
        answer = ask(reader, query=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


class TestActivePositions(PageQuestions):
    path = "/positions/active"

    def more(self, market, now):
        one_more(market, now)

    def test_are_those_with_a_size(self, ask, reader, position, market, now):
        market.fill("buy", "2", "3000", instrument=ETH, now=now)
        market.fill("sell", "2", "3000", instrument=ETH, now=now)
        assert [one["id"] for one in ask(reader).json()["items"]] == [position.pk]
        assert Position.objects.count() == 2

    def test_are_only_those_of_accounts_that_a_key_may_see(self, ask, api_key, position, other):
        assert ask(api_key(accounts=[other.account.pk])).json()["items"] == []

    def test_are_filtered(self, ask, reader, position):
        assert ask(reader, query={"asset": "ETH"}).json()["items"] == []
        assert len(ask(reader, query={"account": str(position.account_id)}).json()["items"]) == 1
