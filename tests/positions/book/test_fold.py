from decimal import Decimal

import pytest

from positions.book import Leg, LegSizes, OutOfOrder, fold, fold_legs, split_by_leg
from tests.words import book, entries, entry, flat, in_words, minute, position


class TestEpisodes:
    def test_run_from_flat_to_flat(self):
        story = book("buy 1 @ 100", "sell 1 @ 110", "sell 2 @ 120", "buy 2 @ 100")
        assert [in_words(episode) for episode in story.episodes] == ["flat realized 10", "flat realized 40"]
        assert [episode.opened_by for episode in story.episodes] == ["1", "3"]

    def test_of_a_flip_are_two(self):
        story = book("buy 1 @ 100", "sell 3 @ 110", "buy 1 @ 105")
        assert [in_words(episode) for episode in story.episodes] == [
            "flat realized 10",
            "short 1 @ 110 realized 5",
        ]

    def test_appear_and_vanish_with_a_late_fill(self):
        told = ["at 1 buy 1 @ 100", "at 3 sell 1 @ 110", "at 4 buy 1 @ 120"]
        assert [e.opened_by for e in book(*told).episodes] == ["1", "3"]
        late = book(*told, "at 2 buy 1 @ 102 as late")
        assert [e.opened_by for e in late.episodes] == ["1"]

    def test_are_none_before_any_fill(self):
        assert book("funding 1 USDT").episodes == ()

    def test_start_with_the_one_that_a_refold_continues(self):
        start = position("long 2 @ 100")
        story = fold([entry("sell 1 @ 110", number=5)], start=start)
        assert [in_words(episode) for episode in story.episodes] == ["long 1 @ 100 realized 10"]


class TestLateFills:
    def test_count_at_their_time(self):
        story = book("at 1 buy 1 @ 100", "at 3 sell 1 @ 120", "at 2 buy 1 @ 110")
        assert in_words(story.position) == "long 1 @ 105 realized 15"

    def test_of_funding_belong_to_the_episode_open_at_their_time(self):
        told = ["at 1 buy 1 @ 100", "at 3 sell 1 @ 100", "at 4 buy 1 @ 100", "at 2 funding -3 USDT"]
        assert [in_words(episode) for episode in book(*told).episodes] == [
            "flat funding -3 USDT",
            "long 1 @ 100",
        ]

    def test_before_a_known_state_need_a_fold_from_further_back(self):
        start = book("at 5 buy 1 @ 100").position
        with pytest.raises(OutOfOrder, match="x belongs before 1"):
            fold([entry("at 4 buy 1 @ 100 as x")], start=start)


class TestDuplicates:
    def test_are_booked_once(self):
        story = book("at 1 buy 1 @ 100 as x", "at 1 buy 1 @ 100 as x", "sell 1 @ 110")
        assert (in_words(story.position), story.conflicts) == ("flat realized 10", ())

    def test_with_other_content_conflict_and_the_first_is_kept(self):
        story = book("at 1 buy 1 @ 100 as x", "at 1 buy 1 @ 105 as x")
        assert in_words(story.position) == "long 1 @ 100"
        assert [(conflict.venue_ref, conflict.fields) for conflict in story.conflicts] == [("x", ("price",))]

    def test_that_know_more_fill_in_what_was_unknown(self):
        story = book("at 1 buy 1 @ ? fee ? as x", "at 1 buy 1 @ 105 fee 1 USDT as x")
        assert (in_words(story.position), story.conflicts) == ("long 1 @ 105 fees 1 USDT", ())

    def test_that_know_less_change_nothing(self):
        story = book("at 1 buy 1 @ 105 fee 1 USDT as x", "at 1 buy 1 @ ? fee ? as x")
        assert (in_words(story.position), story.conflicts) == ("long 1 @ 105 fees 1 USDT", ())

    def test_never_undo_an_amend(self):
        story = book("at 1 buy 1 @ 100 as x", "amend x price 90", "at 1 buy 1 @ 100 as x")
        assert (in_words(story.position), story.conflicts) == ("long 1 @ 90", ())

    def test_that_repeat_the_amended_content_do_not_conflict(self):
        story = book("at 1 buy 1 @ 100 as x", "amend x price 90", "at 1 buy 1 @ 90 as x")
        assert (in_words(story.position), story.conflicts) == ("long 1 @ 90", ())


class TestBusts:
    def test_take_the_fill_away(self):
        assert in_words(book("buy 1 @ 100", "buy 1 @ 120", "bust 2").position) == "long 1 @ 100"

    def test_before_their_fill_wait_for_it(self):
        alone = book("bust x", "buy 1 @ 100")
        assert [waiting.target for waiting in alone.waiting] == ["x"]
        both = book("bust x", "buy 1 @ 100", "buy 1 @ 120 as x")
        assert (in_words(both.position), both.waiting) == ("long 1 @ 100", ())

    def test_of_a_bust_restore_the_fill(self):
        assert in_words(book("buy 1 @ 100", "bust 1", "bust 2").position) == "long 1 @ 100"

    def test_of_an_amend_restore_the_original(self):
        assert in_words(book("buy 1 @ 100", "amend 1 price 90", "bust 2").position) == "long 1 @ 100"

    def test_of_an_adjustment_reverse_it(self):
        story = book("buy 1 @ 100", "adjust buy 1 @ 90 because seen", "bust 2")
        assert in_words(story.position) == "long 1 @ 100"

    def test_outlast_an_amend_of_the_same_fill(self):
        assert in_words(book("buy 1 @ 100", "bust 1", "amend 1 price 90").position) == "flat"

    def test_in_a_circle_end(self):
        book("buy 1 @ 100", "bust 3 as 2", "bust 2 as 3")


class TestAmends:
    def test_before_their_fill_wait_for_it(self):
        assert in_words(book("amend x price 90", "buy 1 @ 100 as x").position) == "long 1 @ 90"

    def test_apply_in_the_order_of_their_own_times(self):
        story = ["buy 1 @ 100", "at 9 amend 1 price 80", "at 5 amend 1 price 90"]
        assert in_words(book(*story).position) == "long 1 @ 80"

    def test_change_only_what_they_state(self):
        story = book("buy 1 @ 100 fee 1 USDT", "amend 1 qty 2")
        assert in_words(story.position) == "long 2 @ 100 fees 1 USDT"

    def test_may_move_a_fill_in_time(self):
        moved = entry("amend 2 qty 1", number=9, amended_time=minute(0))
        story = book("at 1 buy 2 @ 100", "at 2 sell 1 @ 110", moved)
        assert [effective.venue_ref for effective in story.effective] == ["2", "1"]

    def test_scale_the_par_value_with_the_quantity(self):
        story = book("buy 2 @ 100 worth 200", "amend 1 qty 1")
        assert story.effective[0].par.amount == 100


class TestInferredFills:
    guess = "at 5 buy 3 @ 100 inferred until 10 as guess"

    def test_count_until_a_real_fill_up_to_the_watermark_is_received(self):
        assert in_words(book(self.guess).position) == "long 3 @ 100"
        assert book(self.guess).replaced == ()

    def test_are_replaced_once_a_real_fill_up_to_the_watermark_is_received(self):
        story = book(self.guess, "at 10 buy 3 @ 101")
        assert (in_words(story.position), story.replaced) == ("long 3 @ 101", ("guess",))

    @pytest.mark.parametrize(
        "line",
        [
            "at 10.1 buy 3 @ 101",
            "at 9 buy 3 @ 101 manual",
            "at 9 buy 3 @ 101 inferred",
            "at 9 funding 1 USDT",
        ],
    )
    def test_stay_for_a_later_fill_and_for_what_no_venue_reported(self, line):
        assert book(self.guess, line).replaced == ()

    def test_stay_for_a_fill_that_was_received_before_them(self):
        early = entry("at 4 buy 1 @ 99", number=0)
        assert book(entry(self.guess, number=1), early).replaced == ()

    def test_stay_when_the_real_fill_was_busted(self):
        assert book(self.guess, "at 9 buy 3 @ 101 as real", "bust real").replaced == ()

    def test_can_be_busted_too(self):
        assert in_words(book(self.guess, "bust guess", "at 20 buy 1 @ 101").position) == "long 1 @ 101"


class TestAnOpeningLot:
    lot = "at 1 buy 3 @ 100 opening until 10 as lot"

    def test_counts_beside_fills_after_its_report(self):
        assert in_words(book(self.lot, "at 11 buy 1 @ 104").position) == "long 4 @ 101"

    def test_is_replaced_once_a_fill_from_before_its_report_arrives(self):
        story = book(self.lot, "at 9 buy 3 @ 101")
        assert (in_words(story.position), story.replaced) == ("long 3 @ 101", ("lot",))


class TestFillsOfOneMillisecond:
    def test_are_ordered_by_the_chain_of_positions_before(self):
        story = book(
            "at 1 sell 2 @ 103 before 3 as a",
            "at 1 buy 2 @ 102 before 1 as b",
            "at 1 buy 1 @ 101 before 0 as c",
        )
        assert [effective.venue_ref for effective in story.effective] == ["c", "b", "a"]

    def test_are_ordered_by_reference_without_such_a_chain(self):
        story = book("at 1 buy 2 @ 102 as b", "at 1 buy 1 @ 101 as a")
        assert [effective.venue_ref for effective in story.effective] == ["a", "b"]

    def test_keep_the_rest_of_the_chain_together_when_one_is_missing(self):
        story = book(
            "at 1 buy 1 @ 1 before 6 as a", "at 1 buy 1 @ 1 before 5 as b", "at 1 buy 1 @ 1 before 0 as c"
        )
        assert [effective.venue_ref for effective in story.effective] == ["c", "b", "a"]

    def test_take_the_order_that_uses_every_fill(self):
        story = book(
            "at 1 buy 2 @ 1 before 0 as a", "at 1 buy 1 @ 1 before 0 as b", "at 1 sell 1 @ 1 before 1 as c"
        )
        assert [effective.venue_ref for effective in story.effective] == ["b", "c", "a"]


class TestHedgeMode:
    starts = {leg: flat(leg=leg) for leg in (Leg.LONG, Leg.SHORT)}

    def of(self, *lines):
        return {
            leg: in_words(story.position)
            for leg, story in fold_legs(entries(*lines), starts=self.starts).items()
        }

    def test_keeps_two_books(self):
        assert self.of("long buy 2 @ 100", "short sell 1 @ 110") == {
            "long": "long 2 @ 100",
            "short": "short 1 @ 110",
        }

    def test_shares_funding_without_a_leg_by_size(self):
        told = self.of("long buy 2 @ 100", "short sell 1 @ 110", "unlegged funding -3 USDT")
        assert told == {"long": "long 2 @ 100 funding -2 USDT", "short": "short 1 @ 110 funding -1 USDT"}

    def test_loses_nothing_in_sharing(self):
        lines = ["long buy 1 @ 1", "short sell 2 @ 1", "at 9 unlegged funding 1 USDT as f"]
        sizes = {
            leg: LegSizes([e for e in entries(*lines) if e.leg is leg], start=self.starts[leg])
            for leg in self.starts
        }
        parts = split_by_leg(entry(lines[-1]), sizes=sizes)
        assert sum(part.amount for part in parts) == Decimal(1)
        assert [part.venue_ref for part in parts] == ["f", "f"]

    def test_gives_funding_to_the_leg_that_closed_last_when_both_are_flat(self):
        told = self.of(
            "short sell 1 @ 1",
            "short buy 1 @ 1",
            "long buy 1 @ 1",
            "long sell 1 @ 1",
            "unlegged funding -3 USDT",
        )
        assert told == {"long": "flat funding -3 USDT", "short": "flat"}

    def test_uses_the_sizes_at_the_time_of_the_funding(self):
        told = self.of(
            "at 1 long buy 2 @ 1",
            "at 5 short sell 2 @ 1",
            "at 3 unlegged funding -3 USDT",
            "at 2 short sell 1 @ 1",
        )
        assert told == {"long": "long 2 @ 1 funding -2 USDT", "short": "short 3 @ 1 funding -1 USDT"}
