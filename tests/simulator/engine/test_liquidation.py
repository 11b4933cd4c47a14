"""Liquidation, backstop, auto-deleveraging, funding: who pays whom, and when."""

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.engine import deleveraging, funding, liquidation
from simulator.engine.matching import Rejected

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


class TestAnAccountBelowMaintenanceMargin:
    def test_a_small_position_goes_to_the_book_whole(self, floor):
        floor.exchange.account(ANN).cash[""] -= 7_000
        floor.exchange.account(ANN).totals.withdrawals["USDC"] = Decimal(7_000)
        account = longs(floor, "0.9", 40)
        bidder(floor, "2", 97_500)
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
        bidder(floor, "9", 98_000)
        price = int(account.margin("").liquidation_price(account.margin("").holdings[0])) - 2
        floor.price("BTC", price)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == Decimal("2.8")
        # Too little margin again, but still in the pause.
        floor.exchange.now = NOON + 10_000
        floor.price("BTC", price - 250)
        assert account.margin("").cross_value < account.margin("").cross_maintenance
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == Decimal("2.8")
        floor.exchange.now = NOON + 40_000
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN) == 0
        assert floor.fills(ANN)[-1]["liquidation"]["method"] == "market"

    def test_resting_orders_are_cancelled_and_the_ledger_tells(self, floor):
        account = longs(floor, "3.5", 40)
        bidder(floor, "9", 98_000)
        floor.order(ANN, "sell", "0.01", 150_000, reduce_only=True)
        floor.price("BTC", int(account.margin("").liquidation_price(account.margin("").holdings[0])) - 2)
        liquidation.sweep(floor.exchange)
        assert account.orders == {}
        delta = account.ledger[-1]["delta"]
        assert delta["type"] == "liquidation"
        assert delta["liquidatedPositions"] == [{"coin": "BTC", "szi": "3.5"}]
        assert any(one.kind == "liquidation" for one in floor.exchange.outbox)


class TestTheLiquidationPriceShown:
    @settings(max_examples=60)
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


class TestTheBackstopVault:
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

    def test_leaves_a_builders_dex_to_auto_deleveraging(self, floor):
        for who in (ANN, BOB):
            floor.exchange.deposit(floor.exchange.account(who), Decimal(10_000), dex="flx")
            floor.lever(who, 10, cross=False, coin="flx:CRCL")
        floor.price("flx:CRCL", 100)
        floor.swap(ANN, BOB, 100, 100, coin="flx:CRCL")
        # Of a margin of 1,000 USDH, 395 are left at 94 (maintenance 470), 295 at 93: less than two thirds.
        floor.price("flx:CRCL", 94)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN, "flx:CRCL") == 100
        floor.price("flx:CRCL", 93)
        liquidation.sweep(floor.exchange)
        assert floor.size(ANN, "flx:CRCL") == floor.size(BOB, "flx:CRCL") == 0
        assert floor.fills(ANN)[-1]["dir"] == floor.fills(BOB)[-1]["dir"] == "Auto-Deleveraging"


def adl(floor, who, coin="BTC"):
    """What the fault does: deleverage a position whatever its margin."""
    account = floor.exchange.account(who)
    position = account.positions[coin]
    price = deleveraging.closing_price(account, position)
    return deleveraging.deleverage(floor.exchange, account, position, price)


def poor_vault(floor):
    """A vault that can take nothing over."""
    vault = floor.exchange.backstop
    vault.totals.withdrawals["USDC"] = vault.cash[""]
    vault.cash[""] = Decimal(0)


class TestAutoDeleveraging:
    def test_ranks_by_gain_times_the_leverage_really_used(self, floor):
        floor.swap(ANN, BOB, "0.2", 102_000)
        floor.swap(ANN, CAT, "0.2", 100_000)
        floor.exchange.deposit(floor.exchange.account(BOB), Decimal(90_000))
        floor.price("BTC", 98_000)
        account = floor.exchange.account(ANN)
        # Bob gains 4 %, Cat 2 %, but Bob has ten times Cat's money behind the same position:
        # 102,000 / 98,000 * 19,600 / 100,797 against 100,000 / 98,000 * 19,600 / 10,397.
        ranked = deleveraging.ranking(floor.exchange, account, account.positions["BTC"])
        assert [other.address for other, _ in ranked] == [CAT, BOB]
        first, second = (deleveraging.index(*pair) for pair in ranked)
        assert round(first, 3) == Decimal("1.924")
        assert round(second, 3) == Decimal("0.202")

    def test_takes_who_has_no_profit_last(self, floor):
        floor.swap(ANN, BOB, "0.2", 102_000)
        floor.lever(CAT, 40)
        floor.swap(ANN, CAT, "1", 97_000)
        floor.price("BTC", 98_000)
        account = floor.exchange.account(ANN)
        ranked = deleveraging.ranking(floor.exchange, account, account.positions["BTC"])
        assert [other.address for other, _ in ranked] == [BOB, CAT]

    def test_pays_the_mark_before_when_a_fault_picks_an_account_with_margin(self, floor):
        floor.swap(ANN, BOB, "0.2", 100_000)
        floor.swap(ANN, CAT, "0.1", 102_000)
        floor.price("BTC", 99_000)
        floor.price("BTC", 98_000)
        assert adl(floor, ANN) == [BOB, CAT]
        rows = [floor.fills(who)[-1] for who in (ANN, BOB, CAT)]
        assert {row["dir"] for row in rows} == {"Auto-Deleveraging"}
        assert {row["px"] for row in rows} == {"99000.0"}
        assert floor.size(ANN) == 0

    def test_happens_by_itself_when_the_vault_cannot_take_over(self, floor):
        poor_vault(floor)
        account = longs(floor, "3.5", 40)
        floor.price("BTC", 90_000)
        liquidation.sweep(floor.exchange)
        # 10,000 behind 3.5 BTC from 100,000, less the fee: nothing is left at 97,200.
        taken, given = floor.fills(ANN)[-1], floor.fills(BOB)[-1]
        assert (taken["dir"], given["dir"]) == ("Auto-Deleveraging", "Auto-Deleveraging")
        assert (taken["tid"], taken["px"], taken["sz"]) == (given["tid"], given["px"], "3.5")
        assert Decimal(97_180) < Decimal(taken["px"]) < Decimal(97_210)
        assert (floor.size(ANN), floor.size(BOB)) == (0, 0)
        assert 0 <= account.cash[""] < Decimal(5)
        assert account.ledger[-1]["delta"]["type"] == "liquidation"
        assert floor.exchange.backstop.positions == {}

    def test_leaves_the_rest_to_the_next_in_rank(self, floor):
        poor_vault(floor)
        longs(floor, "1.5", 40)
        floor.lever(CAT, 40)
        floor.swap(ANN, CAT, "2", 100_000)
        floor.price("BTC", 90_000)
        liquidation.sweep(floor.exchange)
        assert [floor.fills(who)[-1]["sz"] for who in (CAT, BOB)] == ["2.0", "1.5"]
        assert [row["startPosition"] for row in floor.fills(ANN)[-2:]] == ["3.5", "1.5"]

    def test_asks_the_vault_first(self, floor):
        longs(floor, "3.5", 40)
        floor.price("BTC", 90_000)
        liquidation.sweep(floor.exchange)
        assert floor.fills(ANN)[-1]["liquidation"]["method"] == "backstop"

    def test_asks_no_vault_for_an_isolated_position_below_zero(self, floor):
        account = longs(floor, "0.5", 20, cross=False)
        before = account.cash[""]
        floor.price("BTC", 94_000)
        liquidation.sweep(floor.exchange)
        assert floor.fills(ANN)[-1]["dir"] == floor.fills(BOB)[-1]["dir"] == "Auto-Deleveraging"
        assert before <= account.cash[""] < before + 5

    def test_ends_a_vault_that_its_takings_have_ruined(self, floor):
        vault = floor.exchange.backstop
        poor_vault(floor)
        floor.exchange.deposit(vault, Decimal(60_000))
        longs(floor, "3.5", 40)
        floor.price("BTC", 97_000)
        liquidation.sweep(floor.exchange)
        assert floor.size(vault.address) == Decimal("3.5")
        floor.price("BTC", 75_000)
        liquidation.sweep(floor.exchange)
        assert vault.positions == {}
        assert 0 <= vault.cash[""] < 5
        assert floor.fills(BOB)[-1]["dir"] == "Auto-Deleveraging"

    def test_leaves_open_what_nobody_can_bear(self, floor):
        poor_vault(floor)
        floor.lever(BOB, 10, coin="HYPE")
        floor.price("HYPE", 40)
        floor.swap(ANN, BOB, "0.3", 100_000)
        floor.swap(BOB, CAT, "2000", 40, coin="HYPE")
        account, bob = floor.exchange.account(ANN), floor.exchange.account(BOB)
        account.cash[""] -= 9_000
        account.totals.withdrawals["USDC"] = Decimal(9_000)
        floor.price("BTC", 90_000)
        floor.price("HYPE", "33.58")
        # Bob made 3,000 and lost 12,840: the 111 he has left pay for a hundredth of a bitcoin, not for 0.3.
        assert 100 < bob.cross_equity("") < 120
        liquidation.check(floor.exchange, account)
        assert Decimal("0.28") < floor.size(ANN) < Decimal("0.29")
        assert 0 <= bob.cross_equity("") < 1
        told = len(account.ledger)
        liquidation.check(floor.exchange, account)
        assert len(account.ledger) == told


class TestAFillThatWouldRuin:
    def test_is_refused_to_who_takes_it(self, floor):
        longs(floor, "3.5", 40)
        floor.exchange.deposit(floor.exchange.account(CAT), Decimal(1_000_000))
        floor.order(CAT, "buy", "5", 90_000)
        with pytest.raises(Rejected, match="Insufficient margin"):
            floor.order(ANN, "sell", "3.5", 89_000, tif="Ioc", reduce_only=True)
        assert floor.size(ANN) == Decimal("3.5")

    def test_is_refused_to_who_rests(self, floor):
        account = longs(floor, "3.5", 40)
        floor.exchange.deposit(floor.exchange.account(CAT), Decimal(1_000_000))
        floor.order(ANN, "sell", "3.5", 90_000, reduce_only=True)
        floor.order(CAT, "buy", "1", 91_000)
        assert account.history[-1]["status"] == "marginCanceled"
        assert floor.size(ANN) == Decimal("3.5")
        assert floor.size(CAT) == 0


class TestHourlyFunding:
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
