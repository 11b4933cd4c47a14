"""The chart of a position, on a simulated venue: prices, fills, P&L, and what it says when there are none."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from portfolio.pages.position_chart import position_chart
from positions import manual
from positions.manual import Actor
from positions.models import Instrument, InstrumentKind, Position
from positions.sync import candles
from tests.portfolio.market import ETH, SPOT, Market
from tests.reconciliation.stage import staged

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(db):
    with staged() as found:
        yield found


@pytest.fixture
def long3(stage):
    """3 ETH long in two fills of one minute, then one sold, each minute read and proven."""
    account = stage.account()
    stage.reconcile(account, trigger="start")
    stage.trade("ETH", "buy", 2)
    stage.trade("ETH", "buy", 2)
    stage.minutes(account)
    stage.trade("ETH", "sell", 1)
    stage.minutes(account)
    return Position.objects.get(account=account, instrument__venue_symbol="ETH")


class TestTheChart:
    def test_begins_before_the_first_fill_with_a_candle_for_each_minute(self, stage, long3):
        chart = position_chart(pk=long3.pk, now=stage.now())
        assert (chart["problem"], chart["step"]) == ("", 60)
        opened = int(long3.opened_at.timestamp())
        assert chart["since"] == opened - 3600
        times = [at for at, *_ in chart["candles"]]
        assert times == sorted(set(times))
        assert all(at % 60 == 0 for at in times)
        assert opened - 60 < times[-1] <= stage.now().timestamp()

    def test_writes_prices_as_exact_text(self, stage, long3):
        for _, opening, high, low, close in position_chart(pk=long3.pk, now=stage.now())["candles"]:
            assert D(low) <= min(D(opening), D(close)) <= max(D(opening), D(close)) <= D(high)
            assert all(isinstance(one, str) for one in (opening, high, low, close))

    def test_puts_fills_of_one_candle_and_side_together(self, stage, long3):
        fills = position_chart(pk=long3.pk, now=stage.now())["fills"]
        bought = [one for one in fills if one["side"] == "buy"]
        sold = [one for one in fills if one["side"] == "sell"]
        assert sum(D(one["quantity"]) for one in bought) == 4
        assert sum(one["count"] for one in bought) >= 2
        assert [(one["quantity"], one["count"]) for one in sold] == [("1", 1)]
        assert all(one["at"] % 60 == 0 for one in fills)

    def test_averages_the_prices_of_fills_by_size(self, now):
        market = Market(now=now)
        market.fill("buy", "1", "100", now=now, instrument=ETH)
        market.fill("buy", "3", "200", now=now + timedelta(seconds=1), instrument=ETH)
        (fill,) = position_chart(pk=Position.objects.get().pk, now=now + timedelta(hours=1))["fills"]
        assert (fill["quantity"], fill["price"], fill["count"]) == ("4", "175", 2)

    def test_leaves_the_price_of_fills_unknown_where_one_is(self, now):
        market = Market(now=now)
        market.fill("buy", "1", "100", now=now, instrument=ETH)
        market.fill("buy", "1", None, now=now + timedelta(seconds=1), instrument=ETH)
        (fill,) = position_chart(pk=Position.objects.get().pk, now=now + timedelta(hours=1))["fills"]
        assert (fill["quantity"], fill["price"]) == ("2", None)

    def test_asks_the_venue_once_for_all_who_look_at_the_same_time(self, stage, long3):
        now = stage.now()
        first = position_chart(pk=long3.pk, now=now)
        asked = stage.asked().count("candleSnapshot")
        assert position_chart(pk=long3.pk, now=now) == first
        assert stage.asked().count("candleSnapshot") == asked == 1

    def test_is_served_to_who_may_look(self, as_viewer, client, long3):
        answer = as_viewer.get(f"/positions/{long3.pk}/chart/")
        assert answer.status_code == 200
        assert answer.json()["candles"]
        assert as_viewer.get("/positions/999999/chart/").status_code == 404
        assert client.get(f"/positions/{long3.pk}/chart/").status_code == 302


class TestWithoutPrices:
    def test_a_venue_that_does_not_answer_is_named_and_fills_stay(self, stage, long3):
        stage.fail("status", status=500, count=1000)
        chart = position_chart(pk=long3.pk, now=stage.now())
        assert chart["problem"].startswith("The venue gave no prices: ")
        assert (chart["candles"], len(chart["fills"]) > 0) == ([], True)

    @pytest.mark.parametrize("state", ["off", "paused"])
    def test_an_account_that_is_switched_off_or_paused_is_not_asked(self, stage, long3, state):
        later = stage.now() + timedelta(hours=1)
        fields = {"enabled": False} if state == "off" else {"paused_until": later}
        type(long3.account).objects.filter(pk=long3.account_id).update(**fields)
        asked = stage.asked().count("candleSnapshot")
        chart = position_chart(pk=long3.pk, now=stage.now())
        assert chart["problem"] == "Its account is switched off or paused: the venue is not asked."
        assert stage.asked().count("candleSnapshot") == asked

    def test_a_position_by_hand_says_that_it_has_no_venue(self, now):
        Market(now=now)
        manual.open_position(
            symbol="BTC/USDC",
            quantity=D("0.5"),
            price=D(42000),
            by=Actor("user:tom", "test", "trace"),
            now=now,
        )
        chart = position_chart(pk=Position.objects.get().pk, now=now)
        assert chart["problem"] == "A position kept by hand has no venue to read prices from."


class TestTheMarketOfACoin:
    def test_is_its_pair_before_a_contract(self, now):
        Market(now=now)
        coin = Instrument.objects.get(kind=InstrumentKind.ASSET, base="BTC")
        assert candles.market_of(coin).venue_symbol == SPOT

    def test_that_has_none_against_a_par_currency_says_so(self, now):
        market = Market(now=now)
        Instrument.objects.filter(base="BTC").exclude(kind=InstrumentKind.ASSET).update(quote="ETH")
        coin = Instrument.objects.get(kind=InstrumentKind.ASSET, base="BTC", **market.account.world.lookup())
        with pytest.raises(candles.NoMarket, match="no market of BTC against a par currency"):
            candles.market_of(coin)


class TestTheInterval:
    @pytest.mark.parametrize(
        ("length", "name"),
        [
            (timedelta(hours=1), "1m"), (timedelta(hours=7), "5m"), (timedelta(days=4), "15m"),
            (timedelta(days=16), "1h"), (timedelta(days=60), "4h"), (timedelta(days=3000), "1d"),
        ],
    )  # fmt: skip
    def test_is_the_finest_that_gives_no_more_than_four_hundred(self, now, length, name):
        assert candles.interval_for(now - length, now) == name
