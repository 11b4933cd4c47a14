"""`as_of=` on reads: the book as it stood at a moment, from all that is known now."""

from datetime import timedelta

import pytest

from positions.book import Entry, Kind
from positions.models import Position
from tests.portfolio.market import BTC, ETH
from tests.positions.api.test_balances import opening

pytestmark = pytest.mark.django_db


@pytest.fixture
def hours(now):
    """The time so many hours ago."""
    return lambda count: now - timedelta(hours=count)


@pytest.fixture
def traded(market, hours):
    """Five hours ago 10,000 USDC; then bought 2 BTC, sold 1, sold the rest, and now short 3 since an hour."""
    opening(market, "10000", "USDC", now=hours(5))
    market.fill("buy", "2", "60000", now=hours(4))
    market.fill("sell", "1", "61000", now=hours(3))
    market.fill("sell", "1", "62000", now=hours(2))
    market.fill("sell", "3", "59000", now=hours(1))
    market.mark(BTC, "58000", now=hours(0))
    return market


@pytest.fixture
def read(client, reader):
    def get(path, at=None, **query):
        asked = query | ({"as_of": at if isinstance(at, str) else at.isoformat()} if at else {})
        return client.get(f"/api/v1{path}", asked, headers=reader)

    return get


def shown(item):
    names = ("side", "status", "quantity", "entry_price", "realized_pnl", "fill_count", "closed_at")
    return {name: item[name] for name in names}


class TestAListAsOfAMoment:
    def test_has_what_was_open_then_as_it_stood_then(self, traded, read, hours):
        (one,) = read("/positions", hours(3.5)).json()["items"]
        assert shown(one) == {
            "side": "long", "status": "OPEN", "quantity": "2", "entry_price": "60000", "realized_pnl": "0",
            "fill_count": 1, "closed_at": None,
        }  # fmt: skip
        (one,) = read("/positions", hours(2.5)).json()["items"]
        assert (one["quantity"], one["status"], one["realized_pnl"]) == ("1", "REDUCED", "1000")

    def test_is_empty_between_two_episodes_and_before_the_first(self, traded, read, hours):
        assert read("/positions", hours(1.5)).json()["items"] == []
        assert read("/positions", hours(99)).json()["items"] == []

    def test_has_no_price_of_today(self, traded, read, hours):
        (one,) = read("/positions", hours(0.5)).json()["items"]
        assert one["quantity"] == "-3"
        unknown = ("mark_price", "unrealized_pnl", "total_pnl", "notional", "leverage", "liquidation_price")
        assert [one[name] for name in unknown] == [None] * 6
        assert (one["risk"], one["proof"]) == ("unknown", "PENDING")

    def test_counts_what_became_known_later(self, traded, read, hours):
        late = Entry(
            kind=Kind.BUST, venue_ref="bust-1", time=hours(0), target="fill-3", leg=None
        )  # the sell of three hours ago never was
        traded.book(late, now=hours(0))
        (one,) = read("/positions", hours(2.5)).json()["items"]
        assert one["quantity"] == "2"

    def test_takes_filters_and_comes_in_pages(self, traded, read, hours):
        traded.fill("buy", "5", "3000", instrument=ETH, now=hours(4))
        first = read("/positions", hours(3.5), limit=1).json()
        second = read("/positions", hours(3.5), limit=1, cursor=first["next_cursor"]).json()
        assert {first["items"][0]["asset"], second["items"][0]["asset"]} == {"BTC", "ETH"}
        assert second["next_cursor"] is None
        assert [one["asset"] for one in read("/positions", hours(3.5), asset="ETH").json()["items"]] == [
            "ETH"
        ]
        assert read("/positions", hours(3.5), status="OPEN").status_code == 422


class TestAPositionAsOfAMoment:
    def test_by_id_is_that_episode_as_it_stood(self, traded, read, hours):
        long = Position.objects.order_by("opened_at").first()
        assert read(f"/positions/{long.pk}", hours(2.5)).json()["quantity"] == "1"
        ended = read(f"/positions/{long.pk}", hours(0.5)).json()
        assert (ended["status"], ended["quantity"], ended["realized_pnl"]) == ("CLOSED", "0", "3000")

    def test_by_name_is_the_one_that_was_open_then(self, traded, read, hours):
        assert read("/positions/BTC", hours(2.5)).json()["quantity"] == "1"
        assert read("/positions/BTC/USDC", hours(0.5)).json()["quantity"] == "-3"
        assert read("/positions/BTC", hours(1.5)).json()["code"] == "position_not_found"

    def test_that_had_not_been_opened_is_not_found(self, traded, read, hours):
        short = Position.objects.order_by("opened_at").last()
        answer = read(f"/positions/{short.pk}", hours(3))
        assert (answer.status_code, answer.json()["code"]) == (404, "position_not_found")

    def test_that_several_answer_to_is_not_chosen(self, traded, other, read, hours):
        other.fill("buy", "1", "60000", now=hours(4))
        assert read("/positions/BTC", hours(3.5)).status_code == 409

    def test_of_an_account_that_a_key_may_not_see_is_not_there(self, traded, other, client, api_key, hours):
        key = api_key(accounts=[other.account.pk])
        at = hours(2.5).isoformat()
        assert client.get("/api/v1/positions/BTC", {"as_of": at}, headers=key).status_code == 404
        assert client.get("/api/v1/positions", {"as_of": at}, headers=key).json()["items"] == []
        assert client.get("/api/v1/balances", {"as_of": at}, headers=key).json()["items"] == []


class TestTheSummaryAsOfAMoment:
    def test_counts_what_was_open_then_and_leaves_prices_unknown(self, traded, read, hours):
        body = read("/positions/summary", hours(2.5)).json()
        (total,) = body["environments"]
        assert (total["positions"], total["long"], total["short"]) == (1, 1, 0)
        assert total["realized_pnl"] == {"value": "1000", "left_out": 0}
        assert total["unrealized_pnl"] == {"value": None, "left_out": 1}
        assert body["as_of"].startswith(hours(2.5).strftime("%Y-%m-%dT%H:%M"))


class TestBalancesAsOfAMoment:
    @pytest.mark.parametrize(
        ("ago", "amount"), [(4.5, "10000"), (3.5, "9998.5"), (2.5, "10997"), (1.5, "12995.5")]
    )
    def test_are_what_was_counted_then(self, traded, read, hours, ago, amount):
        (one,) = read("/balances", hours(ago)).json()["items"]
        assert (one["asset"], one["amount"], one["usd_value"]) == ("USDC", amount, amount)

    def test_take_filters(self, traded, other, read, hours):
        opening(other, "7", "USDC", now=hours(4))
        asked = {"account": "other", "environment": "simulated", "asset": "USDC"}
        assert [one["amount"] for one in read("/balances", hours(2), **asked).json()["items"]] == ["7"]
        assert read("/balances", hours(2), asset="BTC").json()["items"] == []


class TestTheMoment:
    @pytest.mark.parametrize("path", ["/positions", "/positions/BTC", "/positions/summary", "/balances"])
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("2999-01-01T00:00:00Z", "future"),
            ("2026-01-15T12:00:00", "add Z for UTC"),
            ("yesterday", "2026-01-15T12:00:00Z"),
            ("1700000000", "2026-01-15T12:00:00Z"),
            ("2026-13-45T99:00:00Z", "no date"),
        ],
    )
    def test_that_makes_no_sense_is_named(self, traded, read, path, text, said):
        answer = read(path, text)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        (error,) = answer.json()["errors"]
        assert error["field"] == "as_of"
        assert said in error["problem"]

    def test_may_be_written_in_any_zone(self, traded, read, hours, client, reader):
        at = hours(2.5).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        answer = client.get(f"/api/v1/positions?as_of={at}", headers=reader)  # the plus arrives as a space
        assert [one["quantity"] for one in answer.json()["items"]] == ["1"]

    def test_of_now_is_the_book(self, traded, read, now):
        (then,) = read("/positions", now).json()["items"]
        (today,) = read("/positions/active").json()["items"]
        for name in (
            "id",
            "status",
            "quantity",
            "entry_price",
            "realized_pnl",
            "net_pnl",
            "fees",
            "opened_at",
        ):
            assert then[name] == today[name], name
