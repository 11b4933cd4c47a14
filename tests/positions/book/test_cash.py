from decimal import Decimal

from positions.book import BaseFee, apply, broken, by_asset, cash_legs
from tests.words import PAR, asset_book, book, entry, flat, in_words, inverse, minute, pair, perp

ETHBTC = pair("ETH/BTC")


def legs(line, contract=None, realized=None):
    """The cash of a line in words."""
    found = cash_legs(entry(line), contract, realized=None if realized is None else Decimal(realized))
    return {leg.asset: leg.amount for leg in found}


class TestCashOfASpotFill:
    def test_is_base_against_quote(self):
        assert legs("buy 2 @ 60000", pair()) == {"BTC": 2, "USDT": -120000}
        assert legs("sell 2 @ 60000", pair()) == {"BTC": -2, "USDT": 120000}

    def test_takes_the_fee_where_it_was_taken(self):
        assert legs("buy 2 @ 60000 fee 0.002 BTC", pair()) == {"BTC": Decimal("1.998"), "USDT": -120000}
        assert legs("sell 2 @ 60000 fee 12 USDT", pair()) == {"BTC": -2, "USDT": 119988}
        assert legs("buy 2 @ 60000 fee 1 BNB", pair()) == {"BTC": 2, "USDT": -120000, "BNB": -1}

    def test_is_unknown_without_a_price_or_a_fee(self):
        assert legs("buy 2 @ ?", pair()) == {"BTC": 2, "USDT": None}
        assert legs("buy 2 @ 60000 fee ?", pair()) == {"BTC": 2, "USDT": None}


class TestCashOfADerivativeFill:
    def test_is_its_realized_pnl_and_its_fee(self):
        assert legs("sell 1 @ 61000 fee 3 USDT", perp(), realized="1000") == {"USDT": 997}

    def test_is_only_the_fee_when_it_opens(self):
        assert legs("buy 1 @ 61000 fee 3 USDT", perp(), realized="0") == {"USDT": -3}

    def test_is_coin_for_an_inverse_contract(self):
        assert legs("sell 100 @ 61000 fee 0.00001 BTC", inverse(), realized="0.001") == {
            "BTC": Decimal("0.00099")
        }

    def test_is_unknown_when_its_pnl_is(self):
        assert legs("sell 1 @ ?", perp()) == {"USDT": None}


class TestCashOfOtherEntries:
    def test_is_the_amount(self):
        assert legs("funding -3 USDT", perp()) == {"USDT": -3}
        assert legs("withdraw 5 USDC") == {"USDC": -5}
        assert legs("adjust -5 USDT because rebate", perp()) == {"USDT": -5}

    def test_of_an_opening_lot_is_none(self):
        assert legs("buy 2 @ 60000 opening", pair()) == {}
        assert legs("buy 2 @ 60000 opening", perp(), realized="0") == {}

    def test_of_a_stated_quantity_is_the_asset_for_spot_only(self):
        assert legs("adjust buy 2 @ 100 because found", pair()) == {"BTC": 2}
        assert legs("adjust buy 2 @ 100 because found", perp()) == {}

    def test_of_corrections_is_none(self):
        assert legs("bust x", perp()) == legs("amend x price 3", perp()) == {}

    def test_names_its_wallet(self):
        assert [leg.wallet for leg in cash_legs(entry("deposit 1 USDC", wallet="perp"), None)] == ["perp"]


class TestSpotPositions:
    def test_are_priced_in_the_par_currency(self):
        story = asset_book("buy 2 @ 60000 fee 12 USDT", asset="BTC", contract=pair())
        assert in_words(story.position) == "long 2 @ 60000 fees 12 USDT"
        assert (story.position.fees_value, story.position.incomplete) == (12, 0)

    def test_take_two_from_a_pair_of_assets(self):
        story = ["buy 10 @ 0.05 worth 30000", "sell 10 @ 0.04 worth 26000"]
        assert in_words(asset_book(*story, asset="ETH", contract=ETHBTC).position) == "flat realized -4000"
        # BTC: sold 0.5 for 30000, bought 0.4 for 26000
        btc = asset_book(*story, asset="BTC", contract=ETHBTC).position
        assert in_words(btc) == "short 0.1 @ 60000 realized -2000"

    def test_of_a_pair_without_par_value_have_an_unknown_cost(self):
        story = asset_book("buy 10 @ 0.05", asset="ETH", contract=ETHBTC)
        assert (story.position.size, story.position.open_cost) == (10, None)

    def test_learn_their_cost_by_an_amend(self):
        amend = entry("amend 1 worth 30000", number=2)
        story = asset_book("buy 10 @ 0.05", amend, asset="ETH", contract=ETHBTC)
        assert in_words(story.position) == "long 10 @ 3000"

    def test_pay_a_fee_in_the_quote_from_the_quote(self):
        line = "buy 10 @ 0.05 fee 0.0005 BTC worth 30000"
        eth = asset_book(line, asset="ETH", contract=ETHBTC).position
        assert (in_words(eth), eth.fees_value) == ("long 10 @ 3000 fees 0.0005 BTC", 30)
        btc = asset_book(line, asset="BTC", contract=ETHBTC).position
        assert (btc.size, btc.open_cost) == (Decimal("-0.5005"), 30030)

    def test_pay_a_fee_in_a_third_asset_from_that_asset(self):
        bnb = asset_book("buy 1 @ 60000 fee 0.1 BNB fee-worth 60", asset="BNB", contract=pair()).position
        assert in_words(bnb) == "short 0.1 @ 600"

    def test_move_by_deposits_and_withdrawals_without_pnl(self):
        story = ["deposit 2 BTC worth 100000", "withdraw 1 BTC worth 70000"]
        assert in_words(asset_book(*story, asset="BTC", contract=pair()).position) == "long 1 @ 50000"

    def test_of_a_deposit_without_par_value_have_an_unknown_cost(self):
        assert asset_book("deposit 2 BTC", asset="BTC", contract=pair()).position.open_cost is None

    def test_ignore_moves_between_wallets(self):
        assert in_words(asset_book("move 2 BTC", asset="BTC", contract=pair()).position) == "flat"

    def test_grow_by_interest_in_kind(self):
        state = asset_book("interest 0.1 BTC loose worth 6000", asset="BTC", contract=pair()).position
        assert in_words(state) == "long 0.1 @ 60000 interest 0.1 BTC"
        assert state.net_pnl == 6000

    def test_pay_fees_in_kind_at_their_value(self):
        story = ["buy 1 @ 50000", "fee -0.1 BTC loose worth 6000"]
        state = asset_book(*story, asset="BTC", contract=pair()).position
        assert in_words(state) == "long 0.9 @ 50000 realized 1000 fees 0.1 BTC"
        assert state.net_pnl == -5000  # what the coins had cost

    def test_are_not_opened_by_nothing(self):
        state, _ = apply(flat(pair("BTC/USD")), entry("interest 0 BTC"))
        assert (in_words(state), state.opened_by, broken(state)) == ("flat", None, ())

    def test_take_stated_amounts_as_stated_quantities(self):
        state = asset_book("adjust 0.5 BTC because found", asset="BTC", contract=pair()).position
        assert (state.size, state.open_cost) == (Decimal("0.5"), None)

    def test_are_none_for_par_currencies_and_derivatives(self):
        assert by_asset(entry("deposit 5 USDC"), None, par=PAR) == ()
        assert by_asset(entry("buy 1 @ 100"), perp(), par=PAR) == ()
        assert by_asset(entry("funding 0.1 BTC"), inverse(), par=PAR) == ()
        assert [part.instrument for part in by_asset(entry("buy 1 @ 100"), pair(), par=PAR)] == ["BTC"]


class TestCapitalisedFees:
    hype = pair("HYPE/USDC", BaseFee.CAPITALISED)

    def test_raise_the_average_and_are_not_counted_again(self):
        state = book("buy 100 @ 8 fee 1 HYPE", contract=self.hype).position
        assert state.size == 99
        assert state.open_cost == 800
        assert (state.fees, state.net_pnl) == ({}, 0)

    def test_come_out_of_the_proceeds_of_a_sale(self):
        state = book("buy 100 @ 8", "sell 50 @ 10 fee 1 HYPE", contract=self.hype).position
        assert in_words(state) == "long 49 @ 8 realized 92"  # 500 for 51 that cost 8 each

    def test_of_the_separate_kind_are_counted(self):
        state = book("buy 100 @ 8 fee 1 HYPE", contract=pair("HYPE/USDC")).position
        assert (in_words(state), state.net_pnl) == ("long 99 @ 8 fees 1 HYPE", -8)


class TestEachPartOfASpotEntry:
    def test_keeps_reference_time_and_receipt(self):
        for part in by_asset(entry("buy 10 @ 0.05 worth 3 as x", received=7), ETHBTC, par=PAR):
            assert (part.venue_ref, part.time, part.received) == ("x", minute(1), 7)
