"""Liquidation, backstop, auto-deleveraging, funding: who pays whom, and when."""

from decimal import Decimal

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from positions.venues.simulator.engine import funding, liquidation

from .conftest import ANN, BOB, CAT, NOON, Floor


def bidder(floor, size, price):
    """Somebody rich who buys what is liquidated."""
    floor.exchange.deposit(floor.exchange.account(CAT), Decimal(10_000_000))
    floor.order(CAT, "buy", size, price)


def longs(floor, size, leverage, **more):
    floor.exchange.deposit(floor.exchange.account(BOB), Decimal(10_000_000))
    floor.lever(ANN, leverage, **more)
    floor.swap(ANN, BOB, size, 100_000)
    return floor.exchange.account(ANN)


class TestBelowMaintenance:
    def test_a_small_position_goes_to_the_book_whole(self, floor):
        floor.exchange.account(ANN).cash[""] -= 7_000
        floor.exchange.account(ANN).totals.withdrawals["USDC"] = Decimal(7_000)
        account = longs(floor, "0.9", 40)
        bidder(floor, "2", 90_000)
        shown = account.margin("").liquidation_price(account.margin("").holdings[0])
        floor.price("BTC", int(shown) + 2)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == Decimal("0.9")
        floor.price("BTC", int(shown) - 2)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == 0
        note = floor.fills(ANN)[-1]["liquidation"]
        assert (note["liquidatedUser"], note["method"]) == (ANN, "market")
        assert floor.fills(ANN)[-1]["dir"] == "Close Long"
        assert floor.fills(CAT)[-1]["liquidation"]["liquidatedUser"] == ANN

    def test_of_a_large_one_a_fifth_goes_first_and_the_rest_after_the_pause(self, floor):
        account = longs(floor, "3.5", 40)
        bidder(floor, "9", 90_000)
        price = int(account.margin("").liquidation_price(account.margin("").holdings[0])) - 2
        floor.price("BTC", price)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == Decimal("2.8")
        floor.exchange.now = NOON + 10_000
        # Still too little margin, still in the pause: nothing happens, until it is so little that the
        # backstop takes over at once.
        before = account.margin("")
        liquidation.sweep(floor.exchange)
        severe = before.cross_value < before.cross_maintenance * liquidation.BACKSTOP_SHARE
        assert floor.size(ANN) == (0 if severe else Decimal("2.8"))
        floor.exchange.now = NOON + 40_000
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == 0

    def test_resting_orders_are_cancelled_and_the_ledger_tells(self, floor):
        account = longs(floor, "3.5", 40)
        bidder(floor, "9", 90_000)
        floor.order(ANN, "sell", "0.01", 150_000, reduce_only=True)
        floor.price("BTC", int(account.margin("").liquidation_price(account.margin("").holdings[0])) - 2)
        liquidation.sweep(floor.exchange)
        assert account.orders == {}
        delta = account.ledger[-1]["delta"]
        assert delta["type"] == "liquidation"
        assert delta["liquidatedPositions"] == [{"coin": "BTC", "szi": "3.5"}]
        assert any(one.kind == "liquidation" for one in floor.exchange.outbox)


class TestTheShownPrice:
    @settings(max_examples=60, deadline=None)
    @given(
        leverage=st.integers(2, 40),
        share=st.integers(20, 99),
        long=st.booleans(),
        cross=st.booleans(),
        hedge=st.integers(0, 5),
    )
    def test_is_where_liquidation_begins(self, leverage, share, long, cross, hedge):
        floor = Floor()
        floor.exchange.deposit(floor.exchange.account(BOB), Decimal(10**9))
        floor.lever(ANN, leverage, cross=cross)
        floor.price("SOL", 200)
        if hedge:
            floor.swap(ANN, BOB, hedge, 200, coin="SOL")
        account = floor.exchange.account(ANN)
        size = (account.margin("").withdrawable * leverage * share / 100 / 100_000).quantize(
            Decimal("0.00001")
        )
        floor.swap(*((ANN, BOB) if long else (BOB, ANN)), size, 100_000)
        margin = account.margin("")
        (holding,) = (one for one in margin.holdings if one.coin == "BTC")
        shown = margin.liquidation_price(holding)
        # Prices here do not fall below `lowest`.
        assume(shown is None or shown > 2 * floor.exchange.markets["BTC"].lowest)
        if shown is None:
            floor.price("BTC", 1)
            liquidation.sweep(floor.exchange)
            assert floor.size(ANN) != 0
            return
        inside, outside = (int(shown) + 2, int(shown) - 2) if long else (int(shown) - 2, int(shown) + 2)
        floor.price("BTC", inside)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == (size if long else -size)
        floor.price("BTC", outside)
        liquidation.sweep(floor.exchange)
        assert any(one.kind == "liquidation" for one in floor.exchange.outbox)
        assert floor.exchange.imbalance() == {}


class TestBackstop:
    def test_takes_over_in_a_gap_and_leaves_the_account_nothing_and_no_debt(self, floor):
        account = longs(floor, "3.5", 40)
        floor.price("BTC", 90_000)
        assert account.margin("").cross_value < 0
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == 0
        assert 0 <= account.cash[""] < Decimal(5)
        assert floor.fills(ANN)[-1]["liquidation"]["method"] == "backstop"
        assert floor.exchange.backstop.positions["BTC"].leg.size == Decimal("3.5")

    def test_spreads_the_loss_over_all_cross_positions(self, floor):
        account = longs(floor, "2", 40)
        floor.lever(ANN, 10, coin="HYPE")
        floor.price("HYPE", "40")
        floor.swap(ANN, BOB, "500", "40", coin="HYPE")
        floor.price("BTC", 95_000)
        floor.price("HYPE", "38")
        liquidation.sweep(floor.exchange)
        assert account.positions == {}
        assert 0 <= account.cash[""] < Decimal(5)

    def test_an_isolated_position_falls_alone(self, floor):
        account = longs(floor, "0.5", 20, cross=False)
        floor.price("BTC", 95_100)
        liquidation.sweep(floor.exchange)
        assert account.positions == {}
        assert account.cash[""] >= 7_500


class TestAutoDeleveraging:
    def test_hits_the_most_profitable_of_the_other_side_at_the_mark_before(self, floor):
        floor.exchange.deposit(floor.exchange.account(BOB), Decimal(100_000))
        floor.lever(CAT, 10)
        floor.swap(ANN, BOB, "0.2", 100_000)
        floor.swap(ANN, CAT, "0.1", 102_000)
        floor.price("BTC", 99_000)
        floor.price("BTC", 98_000)
        position = floor.exchange.account(ANN).positions["BTC"]
        hit = liquidation.deleverage(floor.exchange, floor.exchange.account(ANN), position)
        # Bob gains 2 % at 20x, Cat 3.9 % at 10x: profit times leverage ranks Bob first.
        assert hit == [BOB, CAT]
        rows = [floor.fills(who)[-1] for who in (ANN, BOB, CAT)]
        assert {row["dir"] for row in rows} == {"Auto-Deleveraging"}
        assert {row["px"] for row in rows} == {"99000.0"}
        assert floor.size(ANN) == 0


class TestFunding:
    def test_longs_pay_shorts_when_the_rate_is_positive(self, floor):
        floor.swap(ANN, BOB, "0.2", 100_000)
        cash = floor.exchange.account(ANN).cash[""]
        floor.exchange.next_hash()
        funding.pay(floor.exchange)
        (paid,), (received,) = (floor.exchange.account(who).fundings for who in (ANN, BOB))
        rate = Decimal(paid["delta"]["fundingRate"])
        # No premium: a hundredth of a percent in eight hours.
        assert rate == Decimal("0.0000125")
        assert Decimal(paid["delta"]["usdc"]) == -Decimal("0.2") * 100_000 * rate == Decimal("-0.25")
        assert received["delta"]["usdc"] == "0.25"
        assert floor.exchange.account(ANN).cash[""] == cash - Decimal("0.25")
        assert paid["hash"] == "0x" + "0" * 64

    def test_what_was_paid_is_positive_in_the_positions_sums(self, floor):
        floor.swap(ANN, BOB, "0.2", 100_000)
        funding.pay(floor.exchange)
        state = floor.exchange.account(ANN).state("", now=NOON)
        sums = state["assetPositions"][0]["position"]["cumFunding"]
        assert sums == {"allTime": "0.25", "sinceOpen": "0.25", "sinceChange": "0.25"}
        floor.swap(ANN, BOB, "0.01", 100_000)
        state = floor.exchange.account(ANN).state("", now=NOON)
        assert state["assetPositions"][0]["position"]["cumFunding"]["sinceChange"] == "0.0"

    def test_the_rate_follows_the_premium_within_its_cap(self, floor):
        market = floor.exchange.markets["BTC"]
        market.premiums = [Decimal("0.002")] * 3
        assert market.fix_funding(now=NOON) == (Decimal("0.002") - Decimal("0.0005")) / 8
        market.premiums = [Decimal("0.9")]
        assert market.fix_funding(now=NOON) == Decimal("0.04")
        assert [row["time"] for row in market.funding_history] == [NOON, NOON]
