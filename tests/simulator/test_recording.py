"""A trader's real fills on a clock."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from simulator.recording import Anchor, BadState, Replay, Schedule, copy_of, load_recording, load_schedule

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "hyperliquid_fills.json"
RECORDING = load_recording()
ROWS = len(RECORDING.fills)
NOON = 1_760_000_000_000


def schedule(pace=1500):
    return Schedule((Anchor(0, NOON + pace, pace),))


class TestTheRecording:
    def test_is_the_run_of_the_vectors_row_by_row(self):
        cases = json.loads(VECTORS.read_text())["cases"]
        run = next(case for case in cases if case["id"] == "hl/trader2/BTC/2.9")["fills"]
        assert len(run) == ROWS == 452
        for ours, theirs in zip(RECORDING.fills, run, strict=True):
            assert abs(ours.signed) == Decimal(theirs["qty"])
            assert (ours.signed > 0) == (theirs["side"] == "buy")
            assert ours.price == Decimal(theirs["price"])
            assert ours.closed_pnl == Decimal(theirs["closed_pnl"])
            assert ours.fee == Decimal(theirs["fee"])

    def test_chains_from_flat_to_flat(self):
        size = Decimal(0)
        for fill in RECORDING.fills:
            assert fill.start_position == size
            size += fill.signed
        assert size == 0

    def test_gives_each_row_its_own_trade_id_and_keeps_the_order_ids(self):
        assert len({fill.tid for fill in RECORDING.fills}) == ROWS
        assert len({fill.hash for fill in RECORDING.fills}) == ROWS
        assert len({fill.oid for fill in RECORDING.fills}) == 4


class TestTheSchedule:
    def test_releases_a_fill_at_its_own_time_and_not_a_millisecond_before(self):
        for index in (0, 1, 200, ROWS - 1):
            due = schedule().time_of(index)
            assert schedule().released(now=due - 1, rows=ROWS) == index
            assert schedule().released(now=due, rows=ROWS) == index + 1

    def test_stops_at_the_end(self):
        assert schedule().released(now=NOON + 10**9, rows=ROWS) == ROWS

    def test_a_new_pace_keeps_the_past(self):
        now = NOON + 15_100
        faster = schedule().paced(pace=100, now=now, rows=ROWS)
        assert [faster.time_of(i) for i in range(10)] == [schedule().time_of(i) for i in range(10)]
        assert faster.released(now=now, rows=ROWS) == 10
        assert faster.released(now=now + 100, rows=ROWS) == 11
        assert faster.time_of(12) == now + 300

    def test_survives_a_restart(self, tmp_path):
        state = tmp_path / "deep" / "state.json"
        first = load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)
        again = load_schedule(state, run="r", pace=1500, now=NOON + 90_000, rows=ROWS)
        assert again == first

    def test_survives_a_restart_at_another_pace_and_one_after_that(self, tmp_path):
        state = tmp_path / "state.json"
        load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)
        second = load_schedule(state, run="r", pace=10, now=NOON + 16_000, rows=ROWS)
        third = load_schedule(state, run="r", pace=10, now=NOON + 17_000, rows=ROWS)
        assert third == second
        assert second.time_of(0) == NOON + 1500

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            '{"run": "r"}',
            '{"run": "r", "anchors": []}',
            '{"run": "r", "anchors": [[0, 1, 0]]}',
        ],
    )
    def test_a_damaged_state_is_set_aside_and_its_copy_tells_the_same_past(self, tmp_path, capsys, content):
        state = tmp_path / "state.json"
        load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)
        first = load_schedule(state, run="r", pace=10, now=NOON + 16_000, rows=ROWS)
        state.write_text(content)
        assert load_schedule(state, run="r", pace=10, now=NOON + 90_000, rows=ROWS) == first
        [aside] = tmp_path.glob("state.json.damaged-*")
        assert aside.read_text() == content
        assert f"it is now {aside}, going on from {state}.copy" in capsys.readouterr().err
        assert load_schedule(state, run="r", pace=10, now=NOON + 91_000, rows=ROWS) == first

    def test_a_state_whose_copy_is_damaged_too_is_refused_and_says_what_to_do(self, tmp_path):
        state = tmp_path / "state.json"
        for file in (state, copy_of(state)):
            file.write_text("{")
        with pytest.raises(BadState, match="start afresh together with the book"):
            load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)

    def test_a_lost_state_is_made_again_from_its_copy(self, tmp_path):
        state = tmp_path / "state.json"
        first = load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)
        state.unlink()
        assert load_schedule(state, run="r", pace=1500, now=NOON + 90_000, rows=ROWS) == first

    def test_a_state_of_another_recording_is_refused(self, tmp_path):
        state = tmp_path / "state.json"
        load_schedule(state, run="other", pace=1500, now=NOON, rows=ROWS)
        with pytest.raises(BadState):
            load_schedule(state, run="r", pace=1500, now=NOON, rows=ROWS)


class TestTheAccount:
    replay = Replay(RECORDING, schedule())

    def test_is_worth_its_deposit_plus_realized_less_fees_when_flat_at_the_end(self):
        margin = self.replay.margin(now=NOON + 10**9)
        closed = sum(fill.closed_pnl for fill in RECORDING.fills)
        fees = sum(fill.fee for fill in RECORDING.fills)
        assert margin.holdings == ()
        assert closed == Decimal("-9952.699280")
        # closedPnl uses the entry cut to one decimal: at most a tenth of a dollar a coin closed.
        volume = sum(abs(fill.signed) for fill in RECORDING.fills)
        assert abs(margin.cash - (1_000_000 + closed - fees)) <= volume * Decimal("0.1")

    def test_marks_stay_within_three_hundredths_of_a_percent_of_the_last_fill(self):
        for step in range(0, 700_000, 7_919):
            now = NOON + step
            mark, last = self.replay.mark(now=now), self.replay.oracle(now=now)
            assert abs(mark / last - 1) <= Decimal("0.00031")
            assert mark == self.replay.mark(now=now)

    def test_a_mark_moves_between_fills(self):
        marks = {self.replay.mark(now=NOON + 10**9 + step) for step in range(0, 10_000, 500)}
        assert len(marks) > 5

    def test_the_position_is_never_near_liquidation(self):
        for index in range(0, ROWS - 1, 9):
            margin = self.replay.margin(now=self.replay.schedule.time_of(index))
            price = margin.liquidation_price(margin.holdings[0])
            assert price is None or abs(price / margin.holdings[0].mark - 1) > Decimal("0.1")
