"""Who trades with whom, at which price, and what the venue refuses."""

from decimal import Decimal

import pytest

from simulator.engine.book import Trigger
from simulator.engine.liquidation import fire_triggers
from simulator.engine.matching import Rejected

from .conftest import ANN, BOB, CAT


class TestPriorityInTheBook:
    def test_the_better_price_goes_first_and_the_taker_pays_the_makers_price(self, floor):
        floor.order(ANN, "sell", "0.01", 100_100)
        floor.order(BOB, "sell", "0.01", 100_050)
        result = floor.order(CAT, "buy", "0.01", 100_200)
        assert result["filled"]["avgPx"] == "100050.0"
        assert (floor.size(ANN), floor.size(BOB)) == (0, Decimal("-0.01"))

    def test_of_equal_prices_the_first_to_come_goes_first(self, floor):
        floor.order(ANN, "sell", "0.01", 100_100)
        floor.order(BOB, "sell", "0.01", 100_100)
        floor.order(CAT, "buy", "0.01", 100_100)
        assert (floor.size(ANN), floor.size(BOB)) == (Decimal("-0.01"), 0)

    def test_an_order_takes_several_and_rests_with_what_is_left(self, floor):
        floor.order(ANN, "sell", "0.01", 100_000)
        floor.order(BOB, "sell", "0.01", 100_010)
        result = floor.order(CAT, "buy", "0.03", 100_020)
        assert result["filled"]["totalSz"] == "0.02"
        assert result["filled"]["avgPx"] == "100005.0"
        (left,) = floor.exchange.account(CAT).orders.values()
        assert (left.size, left.original) == (Decimal("0.01"), Decimal("0.03"))

    def test_both_sides_share_the_trade_id_and_differ_in_crossed(self, floor):
        floor.swap(ANN, BOB, "0.01", 100_000)
        (taken,), (made,) = floor.fills(ANN), floor.fills(BOB)
        assert taken["tid"] == made["tid"]
        assert taken["oid"] != made["oid"]
        assert (taken["crossed"], made["crossed"]) == (True, False)
        assert (taken["fee"], made["fee"]) == ("0.45", "0.15")

    def test_nobody_trades_with_oneself(self, floor):
        floor.order(ANN, "sell", "0.01", 100_000)
        floor.order(ANN, "buy", "0.01", 100_000)
        assert floor.fills(ANN) == []
        statuses = [row["status"] for row in floor.exchange.account(ANN).history]
        assert "selfTradeCanceled" in statuses


class TestTimeInForceOfAnOrder:
    def test_immediate_or_cancel_never_rests(self, floor):
        floor.order(BOB, "sell", "0.01", 100_000)
        result = floor.order(ANN, "buy", "0.03", 100_000, tif="Ioc")
        assert result["filled"]["totalSz"] == "0.01"
        assert floor.exchange.account(ANN).orders == {}
        with pytest.raises(Rejected, match="could not immediately match"):
            floor.order(ANN, "buy", "0.03", 100_000, tif="Ioc")

    def test_post_only_is_refused_with_the_best_prices(self, floor):
        floor.order(BOB, "sell", "0.01", 100_000)
        with pytest.raises(Rejected, match=r"bbo was 0@100000\.0"):
            floor.order(ANN, "buy", "0.01", 100_000, tif="Alo")
        assert "resting" in floor.order(ANN, "buy", "0.01", 99_999, tif="Alo")


class TestAReduceOnlyOrder:
    def test_is_cut_to_the_position(self, floor):
        floor.swap(ANN, BOB, "0.02", 100_000)
        floor.order(BOB, "buy", "0.05", 100_000)
        floor.order(ANN, "sell", "0.05", 100_000, reduce_only=True)
        assert floor.size(ANN) == 0

    def test_cannot_increase(self, floor):
        floor.swap(ANN, BOB, "0.02", 100_000)
        with pytest.raises(Rejected, match="Reduce only order would increase position"):
            floor.order(ANN, "buy", "0.01", 99_000, reduce_only=True)

    def test_resting_is_cancelled_when_there_is_nothing_left_to_reduce(self, floor):
        floor.swap(ANN, BOB, "0.02", 100_000)
        floor.order(ANN, "sell", "0.02", 100_500, reduce_only=True)
        floor.order(CAT, "buy", "0.02", 100_000)
        floor.order(ANN, "sell", "0.02", 100_000)
        floor.order(CAT, "buy", "0.02", 100_500)
        assert floor.size(ANN) == 0
        assert floor.exchange.account(ANN).history[-1]["status"] == "reduceOnlyCanceled"


class TestRefusalsOfOrders:
    @pytest.mark.parametrize(
        ("size", "price", "text"),
        [
            ("0", 100_000, "Order has zero size."),
            ("0.000001", 100_000, "Order has invalid size."),
            ("-1", 100_000, "Order has invalid size."),
            ("0.01", "100000.5", "Price must be divisible by tick size."),
            ("0.0001", 99_000, "Order must have minimum value of \\$10."),
            ("0.01", 10_000, "Order price cannot be more than 80% away"),
            ("3", 100_000, "Insufficient margin to place order."),
        ],
    )
    def test_are_in_the_venues_words(self, floor, size, price, text):
        with pytest.raises(Rejected, match=text):
            floor.order(ANN, "buy", size, price)

    def test_a_price_has_five_significant_digits_or_is_whole(self, floor):
        listing = floor.exchange.markets["ETH"].listing
        assert [listing.valid_price(Decimal(p)) for p in ("3412.5", "3412.55", "123456", "0.1")] == [
            True,
            False,
            True,
            True,
        ]

    def test_resting_orders_keep_margin(self, floor):
        floor.lever(ANN, 10)
        floor.order(ANN, "buy", "0.9", 99_000)
        with pytest.raises(Rejected, match="Insufficient margin"):
            floor.order(ANN, "buy", "0.2", 99_000)


class TestTriggerOrders:
    @pytest.mark.parametrize(
        ("side", "take_profit", "price", "reached", "not_reached"),
        [
            ("sell", False, 98_000, 97_900, 98_100),
            ("sell", True, 102_000, 102_100, 101_900),
            ("buy", False, 102_000, 102_100, 101_900),
            ("buy", True, 98_000, 97_900, 98_100),
        ],
    )
    def test_wait_for_the_mark_from_their_own_side(
        self, floor, side, take_profit, price, reached, not_reached
    ):
        trigger = Trigger(Decimal(price), is_market=False, take_profit=take_profit)
        assert floor.order(ANN, side, "0.01", price, trigger=trigger) == "waitingForTrigger"
        floor.price("BTC", not_reached)
        fire_triggers(floor.exchange)
        assert [order.trigger for order in floor.exchange.account(ANN).orders.values()] == [trigger]
        floor.price("BTC", reached)
        fire_triggers(floor.exchange)
        assert [order.trigger for order in floor.exchange.account(ANN).orders.values()] == [None]


class TestPositionsOnTheExchange:
    def test_average_in_and_flip(self, floor):
        floor.swap(ANN, BOB, "0.01", 100_000)
        floor.swap(ANN, BOB, "0.03", 100_400)
        assert floor.exchange.account(ANN).positions["BTC"].leg.entry == 100_300
        floor.swap(BOB, ANN, "0.06", 100_500)
        assert floor.size(ANN) == Decimal("-0.02")
        flip = floor.fills(ANN)[-1]
        assert (flip["dir"], flip["closedPnl"], flip["startPosition"]) == ("Long > Short", "8.0", "0.04")
        assert floor.exchange.account(ANN).positions["BTC"].leg.entry == 100_500

    def test_isolated_margin_comes_in_and_goes_out_in_proportion(self, floor):
        floor.lever(ANN, 10, cross=False)
        floor.swap(ANN, BOB, "0.1", 100_000)
        position = floor.exchange.account(ANN).positions["BTC"]
        # A tenth of 10,000, less the taker fee, which an isolated position pays from its own margin.
        assert position.holding().margin_used == Decimal(1000) - Decimal("4.5")
        assert floor.exchange.account(ANN).cash[""] == 9000
        floor.swap(BOB, ANN, "0.05", 100_000)
        assert floor.exchange.account(ANN).cash[""] == 9000 + Decimal("497.75")
        floor.swap(BOB, ANN, "0.05", 100_000)
        assert floor.exchange.account(ANN).positions == {}
        assert floor.exchange.account(ANN).cash[""] == 10_000 - Decimal("4.5") - 2 * Decimal("0.75")

    def test_spot_fees_of_a_buy_are_taken_in_the_coin(self, floor):
        for who in (ANN, BOB):
            account = floor.exchange.account(who)
            for token in ("USDC", "HYPE"):
                account.spot[token] = Decimal(1000)
                account.totals.deposits[token] = account.totals.deposits.get(token, Decimal(0)) + 1000
        floor.price("@1", "40")
        floor.swap(ANN, BOB, "10", "40", coin="@1")
        bought, sold = floor.fills(ANN)[-1], floor.fills(BOB)[-1]
        assert (bought["dir"], bought["feeToken"], bought["fee"]) == ("Buy", "HYPE", "0.007")
        assert (sold["dir"], sold["feeToken"], sold["fee"]) == ("Sell", "USDC", "0.16")
        assert floor.exchange.account(ANN).spot["HYPE"] == Decimal("1009.993")
