from decimal import Decimal

import pytest

from positions.book import Cause, ChangeKind, InvalidEntry, Leg, OutOfOrder, PositionStatus, apply
from tests.words import asset_book, book, entry, fill, flat, in_words, inverse, minute, pair, perp, position


def after(start, line, **changes):
    """ante, apply, booked: the state after one more line, and what it did."""
    state, change = apply(start, entry(line, number=50, **changes))
    return in_words(state), change.kind


class TestAFill:
    def test_opens_at_its_price(self):
        assert after(flat(), "buy 2 BTC @ 60000 fee 1.2 USDT") == ("long 2 @ 60000 fees 1.2 USDT", "opened")

    def test_increases_at_the_weighted_average(self):
        assert after(position("long 2 @ 60000"), "buy 1 @ 63000") == ("long 3 @ 61000", "increased")

    def test_reduces_and_leaves_the_average(self):
        assert after(position("long 2 @ 60000"), "sell 1 @ 61000") == (
            "long 1 @ 60000 realized 1000",
            "reduced",
        )

    def test_closes(self):
        assert after(position("short 2 @ 60000"), "buy 2 @ 59000") == ("flat realized 2000", "closed")

    def test_flips_into_a_new_episode_at_its_own_price(self):
        state, change = apply(position("long 2 @ 60000"), entry("sell 3 @ 61000 fee 3 USDT", number=50))
        assert in_words(state) == "short 1 @ 61000 fees 1 USDT"
        assert in_words(change.closed) == "flat realized 2000 fees 2 USDT"
        assert (change.kind, change.realized) == (ChangeKind.FLIPPED, Decimal(2000))
        assert (state.opened_by, change.closed.opened_by) == ("50", "1")

    def test_after_a_close_opens_a_new_episode_with_clean_sums(self):
        closed = book("buy 1 @ 100 fee 1 USDT", "sell 1 @ 110").position
        assert after(closed, "sell 1 @ 105") == ("short 1 @ 105", "opened")

    def test_of_a_multiplied_contract_counts_the_multiplier(self):
        story = book("buy 100 @ 60000", "sell 100 @ 61000", contract=perp(multiplier="0.01"))
        assert in_words(story.position) == "flat realized 1000"

    def test_of_an_inverse_contract_averages_harmonically(self):
        state = book("buy 50 @ 10000", "buy 50 @ 15000", contract=inverse()).position
        assert round(state.entry_price, 9) == 12000

    def test_of_an_inverse_contract_earns_the_coin(self):
        state = book("buy 60000 @ 60000", "sell 60000 @ 50000", contract=inverse()).position
        assert in_words(state) == "flat realized -0.2"

    def test_keeps_fees_by_currency(self):
        state = book("buy 1 @ 100 fee 1 USDT", "buy 1 @ 100 fee 0.01 BNB fee-worth 6").position
        assert in_words(state) == "long 2 @ 100 fees 1 USDT fees 0.01 BNB"
        assert (state.fees_value, state.net_pnl, state.incomplete) == (7, -7, 0)

    def test_with_a_rebate_earns_it(self):
        state = book("buy 1 @ 100 fee -1 USDT").position
        assert (in_words(state), state.net_pnl) == ("long 1 @ 100 fees -1 USDT", 1)

    def test_remembers_its_largest_size(self):
        assert book("buy 3 @ 100", "sell 2 @ 100").position.peak_size == 3

    def test_of_another_instrument_is_refused(self):
        with pytest.raises(InvalidEntry, match="instrument of entry 1"):
            apply(flat(), fill("buy 1 @ 100", instrument="ETH"))

    def test_of_another_leg_is_refused(self):
        with pytest.raises(InvalidEntry, match="leg of entry 1"):
            apply(flat(leg=Leg.LONG), fill("short sell 1 @ 100"))


class TestTheStatus:
    @pytest.mark.parametrize(
        ("story", "status"),
        [
            ([], PositionStatus.FLAT),
            (["buy 2 @ 100"], PositionStatus.OPEN),
            (["buy 2 @ 100", "sell 1 @ 100"], PositionStatus.REDUCED),
            (["buy 2 @ 100", "sell 1 @ 100", "funding -1 USDT"], PositionStatus.REDUCED),
            (["buy 2 @ 100", "sell 1 @ 100", "buy 1 @ 100"], PositionStatus.OPEN),
            (["buy 2 @ 100", "sell 2 @ 100"], PositionStatus.CLOSED),
            (["buy 2 @ 100", "sell 2 @ 90 liquidation"], PositionStatus.LIQUIDATED),
            (["buy 2 @ 100", "sell 1 @ 90 liquidation", "sell 1 @ 95"], PositionStatus.CLOSED),
            (["buy 2 @ 100", "sell 3 @ 90 liquidation"], PositionStatus.OPEN),
        ],
    )
    def test_follows_the_last_move(self, story, status):
        assert book(*story).position.status is status

    def test_of_the_episode_a_liquidation_flipped_is_liquidated(self):
        assert book("buy 2 @ 100", "sell 3 @ 90 liquidation").episodes[0].closed_cause is Cause.LIQUIDATION


class TestAnUnknown:
    def test_price_makes_the_cost_unknown_until_flat(self):
        state = book("buy 1 @ 100", "buy 1 @ ?").position
        assert (state.open_cost, state.entry_price, state.cost_known) == (None, None, False)
        assert book("buy 1 @ 100", "buy 1 @ ?", "sell 2 @ 120").position.open_cost == 0

    def test_cost_makes_realized_pnl_incomplete_with_a_count(self):
        state = book("buy 2 @ ?", "sell 1 @ 120", "sell 1 @ 130").position
        assert (state.realized_pnl, state.unknown_pnl, state.incomplete) == (0, 2, 2)

    def test_exit_price_leaves_the_remaining_cost_known(self):
        state = book("buy 2 @ 100", "sell 1 @ ?").position
        assert (in_words(state), state.unknown_pnl) == ("long 1 @ 100", 1)

    def test_fee_is_counted_and_is_not_zero(self):
        state = book("buy 2 @ 100 fee ?", "sell 1 @ 100 fee 1 USDT").position
        assert (state.fees, state.unknown_fees) == ({"USDT": 1}, 1)

    def test_value_of_a_foreign_fee_is_counted(self):
        state = book("buy 2 @ 100 fee 0.1 BNB").position
        assert (state.fees, state.fees_value, state.unknown_values) == ({"BNB": Decimal("0.1")}, 0, 1)

    def test_value_of_a_dollar_fee_on_an_inverse_contract_is_counted(self):
        assert (
            book("buy 100 @ 50000 fee 1 BNB fee-worth 300", contract=inverse()).position.unknown_values == 1
        )

    def test_price_becomes_known_by_an_amend(self):
        state = book("buy 2 @ ? fee ?", "sell 1 @ 120", "amend 1 price 100 fee 2 USDT").position
        assert (in_words(state), state.incomplete) == ("long 1 @ 100 realized 20 fees 2 USDT", 0)


class TestFundingFeesAndInterest:
    def test_belong_to_the_open_episode(self):
        state = book("buy 1 @ 100", "funding -3 USDT", "fee -2 USDT", "interest 1 USDT").position
        assert in_words(state) == "long 1 @ 100 fees 2 USDT funding -3 USDT interest 1 USDT"
        assert state.net_pnl == -4

    def test_after_a_close_belong_to_the_closed_episode(self):
        story = book("buy 1 @ 100", "sell 1 @ 100", "funding -3 USDT", "buy 1 @ 200")
        assert [in_words(episode) for episode in story.episodes] == ["flat funding -3 USDT", "long 1 @ 200"]

    def test_before_the_first_episode_wait_for_it(self):
        assert in_words(book("funding -3 USDT", "buy 1 @ 100").position) == "long 1 @ 100 funding -3 USDT"

    def test_at_the_time_of_a_fill_are_for_what_was_held_before_it(self):
        story = book("buy 1 @ 100", "at 5 sell 1 @ 100", "at 5 funding -3 USDT", "at 6 buy 1 @ 100")
        assert in_words(story.episodes[0]) == "flat funding -3 USDT"


class TestAdjustments:
    def test_of_quantity_keep_their_pnl_apart_from_trading(self):
        state = book("buy 2 @ 100", "adjust sell 1 @ 110 because a fill is missing").position
        assert (in_words(state), state.adjustment_pnl, state.net_pnl) == ("long 1 @ 100", 10, 10)

    def test_of_unknown_cost_make_the_cost_unknown(self):
        assert book("buy 2 @ 100", "adjust buy 1 @ ? because found").position.open_cost is None

    def test_of_cash_are_separable(self):
        assert book("buy 2 @ 100", "adjust -5 USDT because rebate").position.adjustment_pnl == -5

    def test_are_changes_of_the_kind_adjusted(self):
        story = book("buy 2 @ 100", "adjust sell 1 @ 110 because a fill is missing")
        assert story.changes[-1].kind is ChangeKind.ADJUSTED

    def test_dust_conversions_are_no_trading_pnl(self):
        state = book("buy 2 @ 100", "sell 0.001 @ 90 dust", contract=pair()).position
        assert (state.realized_pnl, state.adjustment_pnl) == (0, Decimal("-0.01"))


class TestSpotFeesInTheAsset:
    def test_reduce_the_quantity_and_keep_the_average(self):
        state = book("buy 1 @ 50000 fee 0.001 BTC", contract=pair()).position
        assert in_words(state) == "long 0.999 @ 50000 fees 0.001 BTC"
        assert (state.fees_value, state.open_cost) == (50, 49950)

    def test_that_meet_nothing_left_open_a_short(self):
        story = book("buy 1 @ 50000", "sell 1 @ 50100 fee 0.001 BTC", contract=pair())
        assert [in_words(episode) for episode in story.episodes] == [
            "flat realized 100",
            "short 0.001 @ 50100 fees 0.001 BTC",
        ]
        assert story.changes[-1].kind is ChangeKind.FLIPPED

    def test_beyond_the_fill_are_refused(self):
        with pytest.raises(InvalidEntry, match="fee of entry 1"):
            book("buy 1 @ 50000 fee 2 BTC", contract=pair())


class TestAnOpeningBalance:
    """What a wallet held at connection; its history may be read afterwards."""

    def test_is_the_whole_position_without_earlier_history(self):
        assert holds("hold 20 BTC worth 600") == "long 20 @ 30"

    def test_is_not_added_to_the_history_that_made_it(self):
        assert holds("buy 25 @ 30", "sell 5 @ 32", "hold 20 BTC worth 640") == "long 20 @ 30 realized 10"

    def test_adds_only_what_history_does_not_explain(self):
        assert holds("buy 15 @ 30", "hold 20 BTC worth 800") == "long 20 @ 32.5"

    def test_can_be_less_than_history_adds_up_to(self):
        assert holds("buy 20 @ 30", "hold 19 BTC worth 608") == "long 19 @ 30"

    def test_adds_up_over_wallets(self):
        both = ("at 3 hold 20 BTC worth 600", "at 3 hold 2 BTC worth 60")
        assert holds(*both) == holds("buy 10 @ 30", *both) == "long 22 @ 30"

    def test_of_history_that_comes_late_is_the_same(self):
        early, late = "at 1 buy 20 @ 30 as early", "at 3 hold 20 BTC as late"
        assert holds(late, early) == holds(early, late) == "long 20 @ 30"


def holds(*lines):
    return in_words(asset_book(*lines, asset="BTC", contract=pair()).position)


class TestTheOutOfOrderError:
    @pytest.mark.parametrize(
        ("told", "late"),
        [
            (["at 5 buy 1 @ 100"], "at 4 buy 1 @ 100"),
            (["at 5 buy 1 @ 100 as b"], "at 5 buy 1 @ 100 as a"),
            (["at 5 buy 1 @ 100 as a"], "at 5 funding 1 USDT as b"),
            (["at 5 buy 1 @ 100 before 0 as a"], "at 5 buy 1 @ 100 before 3 as b"),
            (["at 5 buy 1 @ 100 before 0 as a"], "at 5 sell 1 @ 100 before 1 as b"),
            (["at 5 buy 1 @ 100 before 0 as a"], "at 5 buy 1 @ 100 as b"),
            (["at 5 buy 1 @ 100"], "bust 1"),
            (["at 5 buy 1 @ 100"], "amend 1 price 3"),
        ],
    )
    def test_is_raised_where_only_a_fold_can_place_the_entry(self, told, late):
        with pytest.raises(OutOfOrder):
            apply(book(*told).position, entry(late, number=9))

    @pytest.mark.parametrize(
        ("told", "next_line"),
        [
            (["at 5 buy 1 @ 100 before 0 as z"], "at 5 buy 1 @ 100 before 1 as a"),
            (["at 5 buy 1 @ 100 as a"], "at 5 sell 1 @ 100 as b"),
            (["at 5 funding 1 USDT as z"], "at 5 sell 1 @ 100 as a"),
        ],
    )
    def test_is_not_raised_for_a_chain_or_a_later_reference(self, told, next_line):
        start = book(*told).position
        state, _ = apply(start, entry(next_line, number=9))
        assert repr(state) == repr(book(*told, next_line).position)


class TestTheTimes:
    def test_of_opening_and_closing_are_the_venues(self):
        state = book("at 3 buy 1 @ 100", "at 8 sell 1 @ 100").position
        assert (state.opened_at, state.closed_at) == (minute(3), minute(8))
